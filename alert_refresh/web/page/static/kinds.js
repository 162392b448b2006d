// A card for each kind: its state, its age, what is next, why it is not well, and what can be done.

import { button, count, distance, el, help, moment, name, names, say, show, took } from "./dom.js";
import { levelOf, targetCounts, title } from "./words.js";

const TICKS = 40;
const NAMES = 12;

const SERVES = {
	targets(one) {
		const { fresh, held, stale, rejected } = targetCounts(one);
		return [`${count(fresh, "target")} fresh`, held && `${held} held`, stale && `${stale} stale`, rejected && `${count(rejected, "Secret")} rejected`].filter(Boolean).join(", ");
	},
	rules: ({ status }) => `${count(status.rules_loaded, "rule")} in ${count(Object.keys(status.families).length, "family", "families")}`,
	views: ({ status }) => `${count(status.views_configured, "view")}, automated service ${status.automated ? "running" : "stopped"}`,
	alertmanager: ({ status }) => `${count(status.receivers || 0, "receiver")}, ${count(status.routes || 0, "route")}`,
};

/** A problem in one line: what it is, since when, what is next. */
export function line({ text, since, note, next }) {
	return [text, since && [" Since ", moment(since), ", for ", distance(since, "for"), "."], note && [" ", note], next && [" Next attempt ", distance(next, "in"), "."]];
}

/** `act(action, kind, problem)` is called for buttons, `open(panel)` for what is below. */
export class Kinds {
	constructor(root, act, open) {
		Object.assign(this, { root, act, open, cards: new Map() });
	}

	/** Bring the card of a kind up to date. `judged` is `{ one, state, problems }`. */
	update(kind, { one: { health, status, list, waiting }, state, problems }, { refreshes }) {
		const card = this.cards.get(kind) || this.add(kind);
		const on = state.word !== "off";
		const busy = status.status === "in_progress";
		card.root.dataset.level = state.level;
		say(card.word, state.label);
		say(card.serves, on && status.generation !== null && SERVES[kind] ? SERVES[kind]({ status, list }) : "");
		show(card.times, [on, busy, status.last_refresh, status.next_refresh, status.refresh_duration_ms, status.next_attempt], () => on && times(status, busy));
		show(card.problems, [on, problems, status.message], () =>
			on ? problems.map((found) => this.problem(kind, found)) : el("p.off", "To switch it on, ", health.message || "see the documentation", "."));
		const past = refreshes.filter((one) => one.kind === kind).slice(0, TICKS).reverse();
		show(card.strip, past.map(({ request_id, result }) => [request_id, result]), () => past.length && strip(kind, past));
		const actions = on ? ["refresh"] : [];
		if (on && typeof status.automated === "boolean") actions.push(status.automated ? "stop" : "start");
		show(card.actions, [actions, waiting], () =>
			actions.map((action) => button(title(action) + (waiting === action ? " …" : ""), () => waiting || this.act(action, kind), { "aria-disabled": waiting && "true", "aria-label": `${title(action)} ${kind}` })));
	}

	add(kind) {
		const card = { word: el("span.word"), serves: el("p.serves") };
		for (const part of ["times", "strip", "actions", "problems"]) card[part] = el(`div.${part}`);
		const heading = el("h2", el("span.shape"), title(kind), " ", card.word);
		card.root = el("article.card", { "aria-label": title(kind) }, el("div.what", heading, card.serves), card.times, card.strip, card.actions, card.problems);
		this.cards.set(kind, card);
		this.root.append(card.root);
		return card;
	}

	problem(kind, found) {
		const { level, raw, names: all = [], number = all.length, hold, panel } = found;
		const them = number === 1 ? "it" : "them";
		const actions = [
			hold && button(`Remove ${them} now`, () => this.act("approve", kind, found), { class: "danger" }),
			hold && !hold.rejected && button(`Keep ${them}`, () => this.act("reject", kind, found)),
			panel && button("Show which", () => this.open(panel, true)),
		].filter(Boolean);
		const told = el("div",
			el("p", el("strong", found.text), line({ ...found, text: "" }), " ", help(found.section)),
			raw && el("p.raw", name(raw)),
			all.length > 0 && el("p.quiet", names(all.slice(0, NAMES), number - NAMES)));
		return el("div.problem", { "data-level": level }, told, actions.length > 0 && el("p.decide", actions));
	}
}

function times(status, busy) {
	const { last_refresh: last, next_attempt: retry, next_refresh: next } = status;
	return [
		el("p", last ? ["Refreshed ", distance(last, "ago"), `, took ${took(status.refresh_duration_ms)}`] : "Not refreshed yet"),
		busy ? el("p.running", "Refreshing now") : el("p", retry || next ? [retry ? "Next attempt " : "Next ", distance(retry || next, "in")] : "No schedule"),
	];
}

/** The last refreshes as a row of marks, the oldest first. */
function strip(kind, past) {
	const [bad, held] = ["failed", "held"].map((word) => past.filter(({ result }) => result === word).length);
	const label = `Refreshes of ${kind}: ${past.length} shown, ${bad} failed, ${held} held`;
	return el("div.ticks", { role: "img", "aria-label": label }, past.map((one) => el("span", { "data-level": levelOf(one.result) })));
}
