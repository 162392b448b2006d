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

/** How many targets are fresh, stale and rejected: by the list, else by the status. */
export function targetCounts({ list, status }) {
  const stale = status.stale_targets || 0;
  if (!list) return { fresh: status.targets_valid, stale, rejected: Math.max(0, status.targets_invalid - stale) };
  return { fresh: list.items.size - stale, stale, rejected: list.rejected.length };
}

/** Problems that only kinds of this name have: `[word, level, text, more]`; the table of causes completes the text. */
const OWN = {
  targets(one) {
    const { stale, rejected } = targetCounts(one);
    return [
      stale && ["stale", "warn", `${count(stale, "target")} stale.`, { panel: "targets" }],
      rejected && ["rejected", "warn", `${count(rejected, "Secret")} rejected.`, { panel: "targets" }],
    ];
  },
  rules({ status: { dangling_targets: pairs = [] } }) {
    const names = [...new Set(pairs.map((pair) => pair.target))];
    return [names.length && ["dangling", "warn", `${count(names.length, "target")} named that ${names.length === 1 ? "does" : "do"} not exist.`, { names, panel: "rules" }]];
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
      out.length && ["unsynced", "warn", `${out.length} of ${count(instances.length, "instance")} out of sync.`, { names: out, panel: "alertmanager" }],
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
  if (status.consecutive_failures) {
    const [text, section] = cause(world, kind, status.error_type);
    const level = unhealthy || status.consecutive_failures >= ALARMING ? "bad" : "warn";
    const note = `${count(status.consecutive_failures, "attempt")} failed. ${health.loaded ? "The last good version is" : "Nothing is"} served.`;
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
export function state({ health, status }, [worst], { causes }) {
  const found = (word, level) => ({ word, level, label: causes.states[word]?.[2] || word });
  if (health.status === "off") return found("off", "none");
  if (worst && worst.level !== "ok") return found(worst.word, worst.level);
  return status.generation === null ? found("starting", "busy") : found("fresh", "ok");
}

/** `2 targets stale, 1 Secret rejected`, empty if none is. */
export function faulty(one) {
  const { stale, rejected } = targetCounts(one);
  return [stale && `${count(stale, "target")} stale`, rejected && `${count(rejected, "Secret")} rejected`].filter(Boolean).join(", ");
}

/** The level of the worst of the judged kinds. */
export function worstLevel(judged) {
  return [...judged.values()].map((one) => one.state).sort(worstFirst)[0]?.level || "none";
}
