// What the state of a kind means: its problems, the worst first. The line above all is the `summary` of /health.

import { count } from "./dom.js";

const LEVELS = ["none", "ok", "busy", "warn", "bad"];
const ALARMING = 3; // failures in a row, as for the alert AlertRefreshFailing
const PATHS = { targets: "api/v2/publishing/targets" };

const MEANING = {
	ok: ["fresh", "success", "ok", "in sync"],
	busy: ["pending", "running", "queued"],
	warn: ["stale", "held", "missing", "out of sync"],
	bad: ["rejected", "failed", "retrying", "undeliverable"],
};
/** The level of the state of an item, or the result of a refresh. */
export function levelOf(word) {
	return Object.keys(MEANING).find((level) => MEANING[level].includes(word)) || "none";
}

export function path(kind) {
	return PATHS[kind] || `api/v2/${kind}`;
}

export function title(text) {
	return text.charAt(0).toUpperCase() + text.slice(1);
}

export function singular(kind) {
	return kind.replace(/s$/, "");
}

/** The cause of a failed refresh as `[sentence, section]`. */
export function cause({ causes }, kind, type) {
	return causes.causes[kind]?.[type] || causes.other;
}

export function worstFirst(a, b) {
	return LEVELS.indexOf(b.level) - LEVELS.indexOf(a.level);
}

/** When the failures in a row began, by the refreshes, newest first; undefined if none is remembered. */
function failingSince(kind, refreshes) {
	let since;
	for (const one of refreshes) {
		if (one.kind !== kind || ["running", "queued", "cancelled"].includes(one.result)) continue;
		if (one.result === "success" || one.result === "held") break;
		since = one.started_at;
	}
	return since;
}

/** Removals that wait for a decision. */
function waiting({ status: { held } }) {
	return held && !held.rejected ? held.count : 0;
}

/** How many targets are fresh, held, otherwise stale, and rejected: by the list, else by the status. */
export function targetCounts(one) {
	const { list, status } = one;
	const all = status.stale_targets || 0;
	const held = waiting(one);
	const stale = Math.max(0, all - held);
	if (!list) return { fresh: status.targets_valid, held, stale, rejected: Math.max(0, status.targets_invalid - all) };
	return { fresh: list.items.size - all, held, stale, rejected: list.rejected.length };
}

/** Names of stale targets that are not held, and since when. */
function staleOnes(one) {
	const isHeld = ({ faults }) => waiting(one) && faults.some(({ field }) => field === "held");
	const found = [...(one.list?.items.values() || [])].filter((target) => target.state === "stale" && !isHeld(target));
	return { names: found.map(({ name }) => name), since: found.map(({ since }) => since).sort()[0] };
}

/** Problems that only kinds of this name have: `[word, level, text, more]`; the table of causes completes the text. */
const OWN = {
	targets(one) {
		const { stale, rejected } = targetCounts(one);
		const secrets = (one.list?.rejected || []).map(({ source }) => source.secret || source.file);
		return [
			stale && ["stale", "warn", `${count(stale, "target")} stale.`, { ...staleOnes(one), number: stale, panel: "targets" }],
			rejected && ["rejected", "warn", `${count(rejected, "Secret")} rejected.`, { names: secrets, number: rejected, panel: "targets" }],
		];
	},
	rules({ status: { missing_targets: names, missing_targets_count: number } }) {
		return [number && ["dangling", "warn", `${count(number, "target")} named that ${number === 1 ? "does" : "do"} not exist.`, { names, number, panel: "rules" }]];
	},
	views({ status }) {
		const failed = status.consecutive_failures ? 0 : status.views_failed; // a failed attempt says so itself
		return [
			failed && ["view", "warn", `${count(failed, "view")} not refreshed.`, { panel: "views" }],
			status.automated === false && ["stopped", "warn", ""],
		];
	},
	alertmanager({ status: { instances = [], undeliverable = [], undeliverable_rules: rules = [], waiting_for: why, ...counts } }) {
		const out = instances.filter((one) => !one.in_sync).map((one) => one.url);
		const lost = (word, number, noun, names) => number && [word, "warn", `${count(number, noun)} undeliverable.`, { names, number, panel: "alertmanager" }];
		return [
			why && ["waiting", "warn", "", { raw: why }],
			out.length && ["unsynced", "warn", instances.length > 1 ? `${out.length} of ${instances.length} instances out of sync.` : "Out of sync.", { names: out, panel: "alertmanager" }],
			lost("undeliverable", counts.undeliverable_count, "target", undeliverable.map((one) => one.target)),
			lost("unrouted", counts.undeliverable_rules_count, "rule", rules.map((one) => one.rule)),
		];
	},
};

/** The problems of a kind, the worst first: `{ word, level, text, section, raw, since, next, names, hold, panel }`. */
export function problems(kind, one, world) {
	const { health, status } = one;
	if (!status || health.status === "off") return [];
	const unhealthy = health.status === "unhealthy";
	const found = [];
	const add = (word, level, text, more) => {
		const [sentence, section] = world.causes.states[word] || world.causes.other;
		found.push({ word, level, text: `${text} ${sentence}`.trim(), section, ...more });
	};
	const stuck = world.stuck.filter((thread) => thread.startsWith(`${kind}-`));
	if (stuck.length) add("stuck", "bad", "", { raw: stuck.join(", ") });
	if (status.generation === null && !status.consecutive_failures) add("starting", "busy", "", { since: world.refreshes.find((past) => past.kind === kind && past.result === "running")?.started_at });
	if (status.consecutive_failures) {
		const [text, section] = cause(world, kind, status.error_type);
		const level = unhealthy || status.consecutive_failures >= ALARMING ? "bad" : "warn";
		const note = `${count(status.consecutive_failures, "attempt")} failed. ${health.loaded && status.config_hash !== null ? "The last good version is" : "Nothing is"} served.`;
		const since = failingSince(kind, world.refreshes) || status.last_refresh;
		found.push({ word: "failing", level, text, section, raw: status.error, since, note, next: status.next_attempt || status.next_refresh });
	} else if (health.stale) add("outdated", unhealthy ? "bad" : "warn", "", { since: status.last_refresh });
	if (status.held) {
		const { names, since, rejected, count: number } = status.held;
		const text = `The source no longer has ${count(number, singular(kind))}.`;
		add(rejected ? "kept" : "held", rejected ? "ok" : "warn", text, { names, since, number, hold: status.held });
	}
	if (status.breaker_open) add("breaker", "warn", "");
	if (status.restored) add("restored", "warn", "", { since: status.last_refresh });
	const { watch } = status;
	if (watch && !watch.connected && !status.consecutive_failures && status.last_refresh) add("unwatched", "warn", "", { raw: watch.error });
	for (const own of OWN[kind]?.(one) || []) if (own) add(...own);
	return found.sort(worstFirst);
}

/** The state of a kind: its word, as it is shown and as the tables have it, and its level. */
export function state({ health }, [worst], { causes }) {
	const found = (word, level) => ({ word, level, label: causes.states[word]?.[2] || word });
	if (health.status === "off") return found("off", "none");
	return worst && worst.level !== "ok" ? found(worst.word, worst.level) : found("fresh", "ok");
}
