// What is new: the daemon's stream of events, and polling beside it, which also tells whether the daemon answers.

import { now } from "./api.js";

const EVENTS = "api/v2/events";
const POLL = { live: 15000, hidden: 60000, other: 5000 }; // also while live: of age no event tells
const HIDDEN = 5000; // a hidden page gives its stream back: daemon and browser have few

function backoff(first, times, most) {
	return Math.min(first * 2 ** times, most);
}

/**
 * Follows the daemon. `poll()` rejects if it does not answer; `events` are listeners by name; `changed(state)` is told
 * `{ word, since, reason }`, word one of connecting, live, polling, lost, gone, paused.
 */
export class Live {
	constructor({ poll, changed, events }) {
		Object.assign(this, { poll, changed, events, state: { word: "connecting", since: now() }, refused: 0, failed: 0 });
	}

	start() {
		this.open();
		this.later(POLL.live);
		document.addEventListener("visibilitychange", () => this.visible());
		addEventListener("pageshow", ({ persisted }) => persisted && this.again());
	}

	/** Begin anew: nobody may have told that the stream ended. */
	again() {
		if (this.state.word === "paused") return;
		this.become("connecting");
		this.open();
		this.later(0);
	}

	open() {
		clearTimeout(this.opening);
		this.source?.close();
		this.source = new EventSource(EVENTS);
		this.source.onopen = () => {
			this.refused = 0;
			this.become("live");
			this.later(0); // what came before the stream
		};
		this.source.onerror = () => this.ended();
		for (const [event, listener] of Object.entries(this.events)) {
			this.source.addEventListener(event, ({ data }) => {
				try {
					listener(JSON.parse(data));
				} catch {} // no event of the daemon's: the poll reads what it would have told
			});
		}
	}

	/** The stream ended or was refused. The browser connects again by itself unless the answer was an error. */
	async ended() {
		if (this.state.word === "paused") return;
		if (this.source.readyState === EventSource.CLOSED) {
			this.opening = setTimeout(() => this.open(), backoff(5000, this.refused++, 60000));
			this.become("polling", await refusal());
		} else if (this.state.word !== "gone") {
			this.become("lost", "the connection was lost");
		}
		this.later(0);
	}

	later(milliseconds) {
		clearTimeout(this.timer);
		this.timer = setTimeout(() => this.turn(), milliseconds);
	}

	async turn() {
		try {
			await this.poll();
			if (this.state.word === "gone") this.open(); // the browser may wait long
			this.failed = 0;
			this.later(document.hidden ? POLL.hidden : POLL[this.state.word] || POLL.other);
		} catch {
			if (this.failed > 0) this.become("gone"); // a single failure may be a restart
			this.later(backoff(1000, this.failed++, 30000));
		}
	}

	visible() {
		clearTimeout(this.hiding);
		if (document.hidden) {
			this.hiding = setTimeout(() => {
				this.become("paused");
				clearTimeout(this.opening);
				this.source.close();
			}, HIDDEN);
		} else if (this.state.word === "paused") {
			this.state.word = "connecting";
			this.again();
		}
	}

	become(word, reason = "") {
		const before = this.state;
		const same = word === before.word || (word === "gone" && before.word === "lost");
		this.state = { word, reason, since: same ? before.since : now() };
		this.changed(this.state);
	}
}

/** Why the daemon refuses the stream, which an EventSource does not tell. */
async function refusal() {
	const asking = new AbortController();
	try {
		const response = await fetch(EVENTS, { signal: asking.signal });
		return response.ok ? "the connection was lost" : (await response.json()).message;
	} catch {
		return "the stream of events does not get through";
	} finally {
		asking.abort();
	}
}
