// What buttons do, and what is said of it afterwards.

import { get, NoToken, post, Refused } from "./api.js";
import { askToken, confirmed, showRefresh, showTarget } from "./details.js";
import { count, say, took } from "./dom.js";
import { cause, path, singular, title } from "./words.js";

const WAIT = "wait=5s";
const SHOWN = 8000;

export class Actions {
	/** `change(kind, fields)` notes that something runs, `after()` reads what became of it. */
	constructor(world, { change, after, draw }) {
		Object.assign(this, { world, change, after, draw, toast: document.getElementById("toast") });
	}

	act(action, kind, problem) {
		if (action === "refresh") return this.refresh(kind, `${path(kind)}/refresh?${WAIT}`, title(kind));
		return problem ? this.decide(action, kind, problem) : this.automated(action, kind);
	}

	opens() {
		return {
			target: (row) => this.target(row),
			refresh: async (past) => showRefresh(await get(`api/v2/refreshes/${past.request_id}`).catch(() => past)),
			view: (view) => this.refresh("views", `${path("views")}/refresh?view=${encodeURIComponent(view)}&${WAIT}`, view),
			section: (type) => cause(this.world, "views", type)[1],
		};
	}

	refresh(kind, address, what) {
		return this.attempt(kind, "refresh", async () => `${what}: ${refreshed(await post(address, askToken))}`);
	}

	async decide(action, kind, { hold, number, names }) {
		const noun = singular(kind);
		const text = "What is still served is gone at once.";
		if (action === "approve" && !(await confirmed(`Remove ${count(number, noun)}?`, text, "Remove", names))) return;
		await this.attempt(kind, action, async () => {
			const done = await post(`${path(kind)}/${action}?proposal=${hold.proposal}`, askToken);
			return `${count(done.count, noun)} ${action === "approve" ? "removed" : "kept"}.`;
		});
	}

	async automated(action, kind) {
		const text = "Views are refreshed only when someone asks for it then.";
		if (action === "stop" && !(await confirmed("Stop the automated service?", text, "Stop"))) return;
		await this.attempt(kind, action, async () => (await post(`api/entities/refresh/automated/${action}`, askToken)).message);
	}

	async target(row) {
		const [, section] = this.world.causes.states[row.word] || [];
		if ((await showTarget(row, section)) !== "refresh") return;
		await this.refresh("targets", `${path("targets")}/${encodeURIComponent(row.name)}/refresh?${WAIT}`, row.name);
	}

	/** Do what may be refused, and say what became of it. `waiting` is the button that tells that it runs. */
	async attempt(kind, waiting, work) {
		this.change(kind, { waiting });
		this.draw();
		try {
			this.tell(await work(), "ok");
		} catch (error) {
			if (!(error instanceof NoToken)) this.tell(this.refusal(kind, error), "bad");
		}
		this.change(kind, { waiting: null });
		this.after();
	}

	refusal(kind, error) {
		if (!(error instanceof Refused)) return `The daemon does not answer: ${error.message}`;
		const { error: code, error_type: type, message, retry_after_seconds: wait } = error.body;
		if (code === "rate_limit_exceeded") return `${message}. Possible again in ${wait} s.`;
		if (code === "refresh_failed") return `${title(kind)}: the refresh failed. ${cause(this.world, kind, type)[0]} ${message}`;
		return code === "forbidden" ? "This token may only read; the admin token is needed." : error.message;
	}

	tell(text, level) {
		clearTimeout(this.timer);
		this.toast.dataset.level = level;
		say(this.toast, text);
		this.timer = setTimeout(() => say(this.toast, ""), SHOWN);
	}
}

function refreshed({ result, difference, duration_ms: ms }) {
	if (!result) return "the refresh was accepted and is still running.";
	const changes = ["added", "removed", "changed"].filter((sort) => difference?.[`${sort}_count`]);
	const what = changes.map((sort) => `${difference[`${sort}_count`]} ${sort}`).join(", ") || "nothing changed";
	return `refreshed in ${took(ms)}, ${what}${result === "held" ? "; removals are held" : ""}.`;
}
