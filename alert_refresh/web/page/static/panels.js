// What is below the kinds: a panel each for targets, rules, views, Alertmanager and the history, one shown at a time.

import { button, count, distance, el, help, moment, name, show, took } from "./dom.js";
import { Listing } from "./table.js";
import { levelOf, title } from "./words.js";

const ORDER = ["rejected", "stale", "undeliverable", "fresh"];

export function badge(word) {
	return word ? el("span.badge", { "data-level": levelOf(word) }, el("span.shape"), word) : null;
}

export function faultLines(faults) {
	return faults.map(({ field, message }) => el("p", el("code", name(field)), " ", name(message)));
}

/** Where a target or a rejected Secret comes from: `namespace/secret`, or the file. */
function origin(source) {
	const { namespace, secret, shape, ...others } = source;
	return [namespace, secret].filter(Boolean).join("/") || Object.values(others).join(" ");
}

const rows = new WeakMap(); // the row of each item, the same one as long as the item is

/** The row of an item: its fields and its level; `more` are fields that depend on others. */
function rowOf(item, word, more = {}) {
	const known = rows.get(item);
	const key = JSON.stringify([word, more]);
	if (known?.key === key) return known;
	const row = { ...item, ...more, item, key, word, level: levelOf(word) };
	rows.set(item, row);
	return row;
}

function textOf({ item, from, word }) {
	const faults = [...(item.faults || []), ...(item.delivery_faults || [])].flatMap(({ field, message }) => [field, message]);
	const values = Object.values(item).filter((value) => typeof value !== "object");
	return [...values, item.match, item.targets, ...faults, from, word, item.enabled === false && "disabled"].join(" ").toLowerCase();
}

function compare(a, b) {
	return a < b ? -1 : a > b ? 1 : 0;
}

function targetRows({ kinds }) {
	const list = kinds.get("targets")?.list;
	if (!list) return null;
	const served = [...list.items.values()].map((item) => rowOf(item, item.state === "fresh" && item.delivery === "undeliverable" ? "undeliverable" : item.state, { from: origin(item.source) }));
	const rejected = list.rejected.map((item) => rowOf(item, "rejected", { name: item.source.secret || "a Secret", enabled: true, from: origin(item.source) }));
	return [...rejected, ...served].sort((a, b) => ORDER.indexOf(a.word) - ORDER.indexOf(b.word) || compare(a.name, b.name) || compare(a.from, b.from));
}

function ruleRows({ kinds }) {
	const list = kinds.get("rules")?.list;
	const there = kinds.get("targets")?.list?.items;
	if (!list) return null;
	const made = list.items.map((item) => {
		const missing = item.targets.filter((one) => there && !there.has(one));
		return rowOf(item, missing.length ? "missing" : "fresh", { missing });
	});
	return made.sort((a, b) => compare(a.family, b.family) || b.priority - a.priority || compare(a.id, b.id));
}

const disabled = ({ enabled }) => enabled === false && badge("disabled");

/** Panels by name: each makes `{ root, update(world), narrow(option) }`; `open` has what buttons in it do. */
export const PANELS = {
	targets(open) {
		return new Listing({
			label: "Targets",
			nouns: ["target or rejected Secret", "targets and rejected Secrets"],
			search: "Search targets by name, type, source or fault",
			rows: targetRows,
			text: textOf,
			open: open.target,
			filters: [
				["State", ["faulty", "fresh", "stale", "rejected", "undeliverable", "disabled"], (row, option) => (option === "faulty" ? row.level !== "ok" : option === "disabled" ? !row.enabled : row.word === option || row.delivery === option)],
				["Type", ["slack", "pagerduty", "rootly", "webhook"], (row, option) => row.type === option],
			],
			updated({ kinds, causes }, { note, table, all }) {
				table.toggleAttribute("data-delivery", all.some(({ delivery }) => delivery));
				const { count: number = 0, items = [] } = kinds.get("targets")?.list?.skipped || {};
				show(note, items, () => number > 0 && el("details", el("summary", `${count(number, "object")} skipped`), items.map(({ source, reason }) => el("p", name(origin(source)), ": ", name(reason))), help(causes.states.skipped[1])));
			},
			columns: [
				["Target", (row) => name(row.name)],
				["State", (row) => [badge(row.word), disabled(row), row.since && el("span.quiet", " since ", moment(row.since))]],
				["Type", ({ type }) => type],
				["Source", ({ from }) => name(from)],
				["What is wrong", ({ faults, delivery_faults: lost = [] }) => faultLines([...faults, ...lost]), "wide"],
				["Delivery", ({ delivery }) => badge(delivery), "delivery"],
			],
		});
	},

	rules: () =>
		new Listing({
			label: "Rules",
			nouns: ["rule"],
			search: "Search rules by id, family, matcher or target",
			rows: ruleRows,
			text: textOf,
			filters: [["Show", ["faulty", "disabled"], (row, option) => (option === "faulty" ? row.word === "missing" : !row.enabled)]],
			columns: [
				["Family", ({ family }) => name(family || "none")],
				["Rule", (row) => [name(row.id), " ", disabled(row), row.description && el("p.quiet", name(row.description))]],
				["Priority", ({ priority }) => priority],
				["Matches", ({ match }) => (match.length ? match.map((one) => el("p", el("code", name(one)))) : "every alert"), "wide"],
				["Targets", (row) => row.targets.map((one) => el("p", name(one), " ", row.missing.includes(one) && badge("missing")))],
			],
		}),

	views: (open) =>
		new Listing({
			label: "Views",
			nouns: ["view"],
			search: "Search views by name or reason",
			rows: ({ kinds }) => kinds.get("views")?.list?.items.map((item) => rowOf(item, item.state)),
			text: textOf,
			filters: [["Show", ["faulty"], ({ word }) => word === "stale"]],
			columns: [
				["View", (row) => name(row.name)],
				["State", ({ word }) => badge(word)],
				["Age", (row) => (row.last_success ? distance(row.last_success, "for") : "never fresh")],
				["Last time", (row) => [...new Set([row.outcome, row.mode, took(row.duration_ms)])].join(", ")],
				["Why", (row) => [row.reason && name(row.reason), " ", row.error_type && help(open.section(row.error_type)), el("p.quiet", "Skipped ", row.skip)], "wide"],
				["Next", (row) => (row.next_refresh ? distance(row.next_refresh, "in") : "no schedule")],
				["Refresh", (row) => button("Refresh", () => open.view(row.name), { "aria-label": `Refresh ${row.name}` })],
			],
		}),

	alertmanager() {
		const root = el("div");
		const list = (heading, all) => all.length > 0 && [el("h3", heading), el("ul.plain", all.map((one) => el("li", one)))];
		const update = ({ kinds }) => {
			const { instances = [], undeliverable = [], undeliverable_rules: lost = [], overlapping = [], warnings = [] } = kinds.get("alertmanager")?.status || {};
			show(root, [instances, undeliverable, lost, overlapping, warnings], () => [
				instances.length === 0 && el("p", "Written only: ALERTMANAGER_URL is not set."),
				list("Instances", instances.map((one) => [badge(one.in_sync ? "in sync" : "out of sync"), name(one.url), " ", one.version, one.error && el("p.raw", name(one.error))])),
				list("Undeliverable targets", undeliverable.map((one) => [name(one.target), faultLines(one.faults)])),
				list("Undeliverable rules", lost.map((one) => [name(one.rule), faultLines(one.faults)])),
				list("Targets that may be notified twice", overlapping.map(name)),
				list("Warnings", warnings.map(name)),
			]);
		};
		return { root, update };
	},

	history(open) {
		const older = button("Show older refreshes", open.older);
		return new Listing({
			label: "History",
			nouns: ["refresh", "refreshes"],
			search: "Search refreshes by kind, trigger or cause",
			rows: ({ refreshes }) => refreshes.map((item) => rowOf(item, item.result)),
			text: textOf,
			open: ({ item }) => open.refresh(item),
			updated({ cursor }, { root }) {
				older.parentNode || root.append(older);
				older.hidden = !cursor;
			},
			filters: [
				["Result", ["failed", "held", "success"], ({ word }, option) => word === option || (option === "failed" && word === "retrying")],
			],
			columns: [
				["Started", (row) => (row.started_at ? moment(row.started_at) : "not yet")],
				["Kind", ({ kind }) => kind],
				["Result", ({ word }) => badge(word)],
				["Trigger", ({ trigger }) => trigger],
				["Took", (row) => took(row.duration_ms)],
				["Attempts", ({ attempts }) => attempts],
				["Items", ({ items }) => items],
				["Cause", ({ error }) => error && name(error), "wide"],
			],
		});
	},
};

export class Panels {
	constructor(tabs, panel, open) {
		Object.assign(this, { tabs, panel, open, made: new Map(), current: "" });
		tabs.addEventListener("keydown", (event) => this.key(event));
		addEventListener("hashchange", () => this.choose(location.hash.slice(1)));
	}

	/** One tab for each of these names; `judged` tells which have something wrong. */
	update(names, judged, world) {
		this.world = world;
		show(this.tabs, names, () => names.map((one) => button(title(one), () => this.choose(one), { role: "tab", id: `tab-${one}`, "aria-controls": "panel" })));
		for (const tab of this.tabs.children) tab.dataset.level = judged.get(tab.id.slice(4))?.state.level || "none";
		const wanted = [this.current, location.hash.slice(1), names[0]].find((one) => names.includes(one));
		this.choose(wanted);
	}

	/** Show a panel; `faulty` shows what is wrong only. */
	choose(wanted, faulty = false) {
		if (![...this.tabs.children].some((tab) => tab.id === `tab-${wanted}`)) return;
		if (!this.made.has(wanted)) this.made.set(wanted, PANELS[wanted](this.open));
		const chosen = this.made.get(wanted);
		if (this.current !== wanted) this.panel.replaceChildren(chosen.root);
		this.current = wanted;
		this.panel.setAttribute("aria-labelledby", `tab-${wanted}`);
		for (const tab of this.tabs.children) {
			tab.setAttribute("aria-selected", tab.id === `tab-${wanted}`);
			tab.tabIndex = tab.id === `tab-${wanted}` ? 0 : -1;
		}
		chosen.update(this.world);
		if (!faulty) return;
		chosen.narrow?.("faulty");
		this.tabs.scrollIntoView();
	}

	key({ key }) {
		const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
		const all = [...this.tabs.children];
		if (!step) return;
		const next = all[(all.findIndex((tab) => tab.tabIndex === 0) + step + all.length) % all.length];
		this.choose(next.id.slice(4));
		next.focus();
	}
}
