// Requests to the daemon. Every address is relative, so that the page works below any path prefix.

const PATIENCE = 30000;

/** The daemon answered with an error; `body` is its JSON, empty if a proxy answered. */
export class Refused extends Error {
	constructor(status, body) {
		super(body.message || `The answer was ${status}`);
		this.body = body;
	}
}

/** The person did not give a token. */
export class NoToken extends Error {}

let skew = 0;
let token = null; // in memory only: never stored, gone with the page

/** Milliseconds since 1970 by the daemon's clock, which every time on the page is compared with. */
export function now() {
	return Date.now() + skew;
}

async function answered(response) {
	const sent = Date.parse(response.headers.get("Date"));
	if (sent && response.headers.get("Cache-Control") === "no-store") {
		const apart = sent - Date.now();
		skew = Math.abs(apart) > 2000 ? apart : 0; // the header has whole seconds
	}
	let body = {};
	try {
		body = await response.json();
	} catch (error) {
		if (response.ok) throw error; // cut off, or a page of something else
	}
	if (!response.ok) throw new Refused(response.status, body);
	return body;
}

export async function get(path) {
	return answered(await fetch(path, { signal: AbortSignal.timeout(PATIENCE) }));
}

let asking = null; // while a token is asked for: once for all who want it

/** POST without a body. `ask(again)` resolves to a token, or to null; it is called only if the daemon wants one. */
export async function post(path, ask) {
	for (;;) {
		const sent = token;
		const headers = sent === null ? {} : { Authorization: `Bearer ${sent}` };
		const response = await fetch(path, { method: "POST", headers, redirect: "error" });
		if (response.status !== 401) return answered(response);
		if (token !== sent) continue; // somebody gave one meanwhile
		token = null; // a refused one is never sent again
		asking ??= ask(sent !== null).finally(() => {
			asking = null;
		});
		token = await asking;
		if (token === null) throw new NoToken();
	}
}
