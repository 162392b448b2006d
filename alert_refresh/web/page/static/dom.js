// Making and changing elements. What comes from the daemon becomes text, never markup.

import { now } from "./api.js";

/** An element: `el("a.help", { href: "x", onclick: f }, "text", other)`. What is null, empty or false is left out. */
export function el(tag, ...children) {
	const [name, ...classes] = tag.split(".");
	const made = document.createElement(name);
	made.classList.add(...classes);
	const attributes = children[0]?.constructor === Object ? children.shift() : {};
	for (const [key, value] of Object.entries(attributes)) {
		if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
		else if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
	}
	made.append(...children.flat(Infinity).filter((child) => child || child === 0));
	return made;
}

export function button(text, onclick, attributes = {}) {
	return el("button", { type: "button", onclick, ...attributes }, text);
}

/** Set the text of an element, unless it is that already: what does not change is not announced again. */
export function say(element, text) {
	if (element.textContent !== text) element.textContent = text;
}

/** Change what is in `root`; a button or link of the same sort in the place of the one that had the focus has it then. */
export function change(root, work) {
	const had = document.activeElement;
	const all = () => [...root.querySelectorAll("a, button")];
	const at = all().indexOf(had);
	work();
	if (all()[at]?.className === had.className) all()[at].focus();
}

/** Show what `make` returns, unless `key` is what was shown last. */
export function show(element, key, make) {
	const wanted = JSON.stringify(key);
	if (element.shownKey === wanted) return;
	element.shownKey = wanted;
	change(element, () => element.replaceChildren(...[make()].flat(Infinity).filter(Boolean)));
}

/** Text from outside, isolated: right-to-left letters in it do not turn what stands beside it. */
export function name(text) {
	return el("bdi", text);
}

/** Names with commas between them, `more` of which are not listed. */
export function names(all, more = 0) {
	return [all.map((one, at) => [at ? ", " : "", name(one)]), more > 0 ? ` and ${more} more` : ""];
}

export function help(section) {
	return section ? el("a.help", { href: `runbooks/${section}` }, "What to do") : null;
}

/** `1 target`, `2 targets`. */
export function count(number, noun, nouns = `${noun}s`) {
	return `${number.toLocaleString("en")} ${number === 1 ? noun : nouns}`;
}

/** Seconds as `12 s`, `3 min`, `2 h 5 min`, `3 d 4 h`. */
export function span(seconds) {
	const whole = Math.max(0, Math.round(seconds));
	if (whole < 60) return `${whole} s`;
	const [minutes, hours, days] = [60, 3600, 86400].map((unit) => Math.floor(whole / unit));
	const parts = days ? [`${days} d`, hours % 24 && `${hours % 24} h`] : [hours && `${hours} h`, minutes % 60 && `${minutes % 60} min`];
	return parts.filter(Boolean).join(" ");
}

/** Milliseconds as `27 ms`, `1.2 s`, `3 min`. */
export function took(ms) {
	if (ms < 1000) return `${Math.round(ms)} ms`;
	return ms < 60000 ? `${+(ms / 1000).toFixed(1)} s` : span(ms / 1000);
}

const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: "medium", hourCycle: "h23" });
export const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });

/** A time, which `tick` keeps true: its distance from now if `style` is `ago`, `for` or `in`, else the time of the day. */
export function distance(at, style) {
	const datetime = new Date(at).toISOString();
	const made = el("time", { datetime, title: `${datetime.slice(0, 19).replace("T", " ")} UTC`, "data-style": style });
	update(made);
	return made;
}

export function moment(at) {
	return distance(at, "at");
}

/** A sentence of the daemon, with the times in it as everywhere on the page. */
export function localTimes(sentence) {
	return sentence.split(/(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC)/).map((part, at) => (at % 2 && Date.parse(part) ? moment(part) : part));
}

function update(element) {
	const time = new Date(element.dateTime);
	const seconds = (now() - time) / 1000;
	const { style } = element.dataset;
	if (style === "at") say(element, (new Date(now()).toDateString() === time.toDateString() ? "" : `${DAY.format(time)} `) + CLOCK.format(time));
	else if (style === "in") say(element, seconds >= 0 ? "now" : `in ${span(-seconds)}`);
	else say(element, style === "for" ? span(seconds) : seconds < 1 ? "just now" : `${span(seconds)} ago`);
}

/** Bring every time on the page up to date. */
export function tick() {
	document.querySelectorAll("time").forEach(update);
}
