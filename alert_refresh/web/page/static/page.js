// The page: reads what the daemon says, judges it and draws it.

import { get, now, Refused } from "./api.js";
import { Actions } from "./actions.js";
import { Chart } from "./chart.js";
import { distance, el, help, moment, say, show, tick } from "./dom.js";
import { Kinds, line } from "./kinds.js";
import { Live } from "./live.js";
import { PANELS, Panels } from "./panels.js";
import { path, problems, state, title, worstFirst, worstLevel } from "./words.js";

const FIRST = ["targets", "rules", "views"]; // asked for before the daemon tells which kinds there are
const PAST = 300; // refreshes read at first
const NEWS = 20; // refreshes read when one has ended, and targets read one by one
const SOON = 300; // milliseconds
const LOOK = 1000; // between two looks at a refresh that runs
const ADVICE = 3;

const $ = (id) => document.getElementById(id);

/** Everything that is shown. `kinds` maps a name to `{ health, status, list, waiting }`. */
const world = {
  kinds: new Map(FIRST.map((kind) => [kind, {}])),
  summary: "Reading the state",
  stuck: [],
  refreshes: [],
  cursor: null,
  causes: { causes: {}, other: ["", ""], states: {} },
  live: { word: "connecting", since: now() },
};

function change(kind, fields) {
  world.kinds.set(kind, { ...world.kinds.get(kind), ...fields });
}

async function readHealth() {
  const found = await get("health").catch((error) => {
    if (error instanceof Refused && error.body.kinds) return error.body; // unhealthy is a 503
    throw error;
  });
  world.stuck = found.stuck;
  world.summary = found.summary;
  Object.entries(found.kinds).forEach(([kind, health]) => change(kind, { health }));
  draw();
}

/** Read the status of a kind; its list follows if it is another than before. */
async function readKind(kind) {
  const before = world.kinds.get(kind).status;
  const status = await get(`${path(kind)}/status`);
  change(kind, { status });
  draw();
  lookAgain(kind, status);
  const listed = PANELS[kind] && kind !== "alertmanager" && status.generation;
  if (listed && listed !== world.kinds.get(kind).list?.generation) readList(kind);
  if (kind === "alertmanager" && before && before.generation !== status.generation) readList("targets"); // their delivery
}

const lists = new Map(); // being read; one that failed or is too old is read again

function readList(kind) {
  if (lists.has(kind)) return;
  const reading = get(path(kind)).then(({ [kind]: found, ...list }) => {
    list.items = kind === "targets" ? new Map(found.map((target) => [target.name, target])) : found;
    change(kind, { list });
    draw();
  });
  const ended = () => {
    lists.delete(kind);
    const { status, list } = world.kinds.get(kind);
    if ((list?.generation || 0) < status?.generation) later(`list ${kind}`, LOOK, async () => readList(kind));
  };
  lists.set(kind, reading.then(ended, ended));
}

const keyOf = ({ kind, request_id }) => `${kind} ${request_id}`;

/** Read the last refreshes, or those from a cursor on, and keep what is known of others. */
async function readRefreshes(limit = PAST, cursor = "") {
  const found = await get(`api/v2/refreshes?limit=${limit}${cursor && `&cursor=${cursor}`}`);
  const read = found.refreshes;
  const keys = new Set(read.map(keyOf));
  const over = ({ result }) => !["running", "queued", "retrying"].includes(result);
  const others = world.refreshes.filter((one) => !keys.has(keyOf(one)) && over(one));
  world.refreshes = cursor ? [...others, ...read] : [...read, ...others];
  if (cursor || limit === PAST) world.cursor = found.next_cursor;
  draw();
}

/** What no event tells. Rejects if the daemon does not answer. */
async function poll() {
  await readHealth();
  await Promise.all([...world.kinds.keys()].map(readKind));
  if (world.live.word !== "live") await readRefreshes(NEWS);
}

const timers = new Map();

/** Do this in so many milliseconds, once however often it is asked for. */
function later(what, milliseconds, work) {
  clearTimeout(timers.get(what));
  timers.set(what, setTimeout(() => work().catch(() => {}), milliseconds)); // what fails is read again by the poll
}

/** Look at the status again when something is due: no event tells that a refresh begins. */
function lookAgain(kind, { status, next_attempt, next_refresh }) {
  const due = Date.parse(next_attempt || next_refresh) - now() + SOON;
  const wait = status === "in_progress" ? LOOK : Math.max(LOOK, due);
  if (wait < 2 ** 31) later(`due ${kind}`, wait, () => readKind(kind));
}

const events = {
  sync({ generations, missed }) {
    for (const [kind, generation] of Object.entries(generations)) {
      if (missed || generation !== world.kinds.get(kind)?.status?.generation) later(kind, 0, () => readKind(kind));
    }
    later("refreshes", 0, () => readRefreshes(missed ? PAST : NEWS)); // what ended before the stream
  },
  async published(event) {
    if (event.kind === "targets") {
      await patchTargets(event).catch(() => {});
      later("rules", SOON, () => readKind("rules"));
    }
    later(event.kind, event.kind === "targets" ? SOON : 0, () => readKind(event.kind));
    later("health", SOON, readHealth);
  },
  refresh({ kind }) {
    later("health", SOON, readHealth);
    later("refreshes", SOON, () => readRefreshes(NEWS));
    later(kind, SOON, () => readKind(kind));
  },
};

/** Read the targets that an event names alone, if they are few: the whole list follows. */
async function patchTargets({ added, removed, changed, added_count, removed_count, changed_count }) {
  const list = world.kinds.get("targets")?.list;
  if (!list || added_count + removed_count + changed_count > NEWS) return;
  const found = await Promise.all([...added, ...changed].map((name) => get(`${path("targets")}/${encodeURIComponent(name)}`)));
  removed.forEach((name) => list.items.delete(name));
  found.forEach((target) => list.items.set(target.name, target));
  draw();
}

const actions = new Actions(world, { change, draw, after: () => poll().catch(() => {}) });
const kinds = new Kinds($("kinds"), (...about) => actions.act(...about), (panel, faulty) => panels.choose(panel, faulty));
const panels = new Panels($("tabs"), $("panel"), { ...actions.opens(), older: () => readRefreshes(PAST, world.cursor) });
const chart = new Chart($("durations"), $("chart"), $("legend"));
let drawing = true; // until there is something to draw

/** Draw everything before the next frame; what did not change is left alone. */
function draw() {
  if (!drawing) requestAnimationFrame(drawNow);
  drawing = true;
}

function drawNow() {
  drawing = false;
  const judged = new Map();
  for (const [kind, one] of world.kinds) {
    if (!one.status || !one.health) continue;
    const found = problems(kind, one, world);
    judged.set(kind, { one, problems: found, state: state(one, found, world) });
  }
  judged.forEach((one, kind) => kinds.update(kind, one, world));
  drawVerdict(judged);
  if (judged.size) panels.update([...Object.keys(PANELS).filter((kind) => judged.has(kind) && judged.get(kind).state.word !== "off"), "history"], judged, world);
  chart.update(world.refreshes);
}

function drawVerdict(judged) {
  const gone = world.live.word === "gone";
  const text = gone ? "The daemon does not answer" : world.summary;
  const level = gone || world.stuck.length ? "bad" : worstLevel(judged);
  document.body.toggleAttribute("data-gone", gone);
  $("verdict").dataset.level = level;
  say($("headline"), text);
  document.title = `${["warn", "bad"].includes(level) ? "(!) " : ""}${text} - alert-refresh`;
  $("icon").href = `page/icon-${level === "busy" ? "none" : level}.png`;
  drawAdvice(judged, gone);
  const { word, since, reason } = world.live;
  $("live").dataset.state = word;
  show($("live"), [word, since, reason], () => [LIVE[word], reason && `: ${reason}`, word === "live" ? "" : [", since ", moment(since)]]);
}

const LIVE = { connecting: "Connecting", live: "Live", polling: "Not live, read every 5 s", lost: "Not live", gone: "Not live", paused: "Paused while hidden" };

function drawAdvice(judged, gone) {
  const found = [...judged].flatMap(([kind, one]) => one.problems.filter(({ level }) => level !== "ok").map((problem) => ({ kind, ...problem })));
  const worst = found.sort(worstFirst).slice(0, ADVICE);
  const off = judged.size > 0 && [...judged.values()].every((one) => one.state.word === "off");
  const { since } = world.live;
  show($("advice"), [gone && since, off, worst], () => {
    if (gone) {
      return [
        el("p", "Since ", moment(since), ", for ", distance(since, "for"), ". What is below was true then."),
        el("p", "Does it run? ", el("code", "systemctl status alert-refresh"), ", ", el("code", "kubectl get pods"), ". If it does: look at the proxy and the network."),
      ];
    }
    if (off) return el("p", world.causes.states.off[0], " ", help(world.causes.states.off[1]));
    return worst.map((problem) => el("p", el("strong", `${title(problem.kind)}: `), line(problem), " ", help(problem.section)));
  });
}

const live = new Live({
  poll,
  events,
  changed(found) {
    world.live = found;
    draw();
  },
});

setInterval(tick, 1000);

async function start() {
  const causes = get("page/causes.json").then((found) => {
    world.causes = found;
  });
  await Promise.allSettled([causes, readHealth(), ...FIRST.map(readKind)]);
  await Promise.allSettled([...world.kinds.keys()].slice(FIRST.length).map(readKind));
  drawNow();
  await Promise.all(lists.values());
  live.start();
  readRefreshes().catch(() => {});
  get("api/v2/version").then(({ version }) => say($("version"), version), () => {});
}

start();
