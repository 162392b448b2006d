// The page: reads what the daemon says, judges it and draws it.

import { get, now, Refused } from "./api.js";
import { Actions } from "./actions.js";
import { Chart } from "./chart.js";
import { distance, el, help, localTimes, moment, say, show, tick } from "./dom.js";
import { Kinds, line } from "./kinds.js";
import { Live } from "./live.js";
import { PANELS, Panels } from "./panels.js";
import { path, problems, state, title, worstFirst } from "./words.js";

const FIRST = ["targets", "rules", "views"]; // before the daemon has told which kinds there are
const PAST = 300; // refreshes read at first
const MOST = 1000; // refreshes kept, as by the daemon
const NEWS = 20; // refreshes read when one has ended, and targets read alone
const SOON = 300; // milliseconds
const LATE = 5000; // by which an event has come
const ASLEEP = 30000; // between two ticks
const LOOK = 1000; // between two looks at a refresh that runs

const $ = (id) => document.getElementById(id);

/** Everything that is shown. `kinds` maps a name to `{ health, status, list, waiting }`. */
const world = {
	kinds: new Map(FIRST.map((kind) => [kind, {}])),
	summary: "Reading the state",
	stuck: [],
	refreshes: [],
	cursor: null,
	causes: { causes: {}, other: ["", ""], states: { off: ["", ""], skipped: ["", ""] } },
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
		if ((list?.generation || 0) < status?.generation) soon(`list ${kind}`, async () => readList(kind), LOOK);
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
	world.refreshes = (cursor ? [...others, ...read] : [...read, ...others]).slice(0, MOST);
	if (cursor || limit === PAST) world.cursor = found.next_cursor;
	draw();
}

async function readCauses() {
	world.causes = await get("page/causes.json");
	draw();
}

/** A daemon of another version than at first has another page, too. */
async function readVersion() {
	const { version } = await get("api/v2/version");
	const shown = $("version").textContent;
	if (shown && shown !== version && !document.querySelector("dialog[open]")) location.reload();
	say($("version"), version);
}

const heard = new Map(); // the generation of each kind that the stream told

/** What no event tells. Rejects if the daemon does not answer. */
async function poll() {
	await readHealth();
	await Promise.all([...world.kinds.keys()].map(readKind));
	if (!world.causes.other[0]) readCauses().catch(() => {});
	if (world.live.word !== "live") return readRefreshes(NEWS);
	const deaf = () => [...world.kinds].some(([kind, { status }]) => status?.generation > (heard.get(kind) || 0));
	if (deaf()) soon("deaf", async () => deaf() && live.again(), LATE); // the stream is silent
}

const asked = new Map(); // what is to be done, and whether again

/** Do this in so many milliseconds, once for all who ask, and again if somebody asks while it runs. */
async function soon(what, work, milliseconds = SOON) {
	if (asked.has(what)) return asked.set(what, true);
	do {
		asked.set(what, false);
		await new Promise((resolve) => setTimeout(resolve, milliseconds));
		asked.set(what, false);
		await work().catch(() => {}); // what fails is read again by the poll
	} while (asked.get(what));
	asked.delete(what);
}

const due = new Map();

/** Look at the status again when something is due: no event tells that a refresh begins. */
function lookAgain(kind, { status, next_attempt, next_refresh }) {
	const next = Date.parse(next_attempt || next_refresh) - now() + SOON;
	const wait = status === "in_progress" ? LOOK : Math.max(LOOK, next);
	clearTimeout(due.get(kind));
	if (wait < 2 ** 31) due.set(kind, setTimeout(() => readKind(kind).catch(() => {}), wait));
}

const events = {
	sync({ generations, missed }) {
		for (const [kind, generation] of Object.entries(generations)) {
			heard.set(kind, generation);
			if (missed || generation !== world.kinds.get(kind)?.status?.generation) soon(kind, () => readKind(kind), 0);
		}
		soon("all refreshes", () => readRefreshes(missed ? PAST : NEWS), 0); // that ended before
	},
	published(event) {
		const { kind, generation } = event;
		heard.set(kind, generation);
		if (kind === "targets") {
			patchTargets(event).catch(() => {});
			soon("rules", () => readKind("rules"));
		}
		soon(kind, () => readKind(kind));
		soon("health", readHealth);
	},
	refresh({ kind }) {
		soon("health", readHealth);
		soon("refreshes", () => readRefreshes(NEWS));
		soon(kind, () => readKind(kind));
	},
};

let patching = false;

/** Read the targets that an event names alone, if they are few: the whole list follows. */
async function patchTargets({ added, removed, changed, added_count, removed_count, changed_count }) {
	const list = world.kinds.get("targets")?.list;
	if (!list || patching || added_count + removed_count + changed_count > NEWS) return;
	patching = true;
	const found = await Promise.all([...added, ...changed].map((name) => get(`${path("targets")}/${encodeURIComponent(name)}`))).finally(() => {
		patching = false;
	});
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
	const level = gone || world.stuck.length ? "bad" : [...judged.values()].map((one) => one.state).sort(worstFirst)[0]?.level || "none";
	document.body.toggleAttribute("data-gone", gone);
	$("verdict").dataset.level = level;
	show($("headline"), text, () => localTimes(text));
	document.title = `${["warn", "bad"].includes(level) ? "(!) " : ""}${$("headline").textContent} - alert-refresh`;
	$("icon").href = `page/icon-${level === "busy" ? "none" : level}.png`;
	drawAdvice(judged, gone);
	$("gone").hidden = !gone;
	const { word, since, reason } = world.live;
	$("live").dataset.state = word;
	show($("live"), [word, since, reason], () => [LIVE[word], reason && `: ${reason}`, word === "live" ? "" : [", since ", moment(since)]]);
}

const LIVE = { connecting: "Connecting", live: "Live", polling: "Not live, read every 5 s", lost: "Not live", gone: "Not live", paused: "Paused while hidden" };

function drawAdvice(judged, gone) {
	const found = [...judged].map(([kind, { problems: [worst] }]) => ({ kind, ...worst }));
	const worst = found.filter(({ text, level }) => text && level !== "ok").sort(worstFirst);
	const off = judged.size > 0 && [...judged.values()].every((one) => one.state.word === "off");
	const { since } = world.live;
	show($("advice"), [gone && since, off && world.causes.states.off, worst], () => {
		if (gone) return el("p", "Since ", moment(since), ", for ", distance(since, "for"), ". What is below was true then.");
		if (off) return el("p", world.causes.states.off[0], " ", help(world.causes.states.off[1]));
		return worst.map((problem) => el("p", el("strong", `${title(problem.kind)}: `), line(problem), " ", help(problem.section)));
	});
}

const live = new Live({
	poll,
	events,
	changed(found) {
		if (found.word === "live") readVersion().catch(() => {});
		world.live = found;
		draw();
	},
});

let ticked = Date.now();
setInterval(() => {
	tick();
	if (!document.hidden && Date.now() - ticked > ASLEEP) live.again();
	ticked = Date.now();
}, 1000);

async function start() {
	await Promise.allSettled([readCauses(), readHealth(), ...FIRST.map(readKind)]);
	await Promise.allSettled([...world.kinds.keys()].slice(FIRST.length).map(readKind));
	drawNow();
	await Promise.all(lists.values());
	live.start();
	readRefreshes().catch(() => {});
}

start();
