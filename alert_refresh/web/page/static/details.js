// Dialogs: one target, one refresh, the token, and questions before something is removed or stopped.

import { button, el, help, moment, name, names, took } from "./dom.js";
import { badge, faultLines } from "./panels.js";

const dialog = document.getElementById("dialog");

/** Show a dialog; resolves to what was chosen, "" if it was closed. */
function ask(heading, ...content) {
	return new Promise((resolve) => {
		dialog.replaceChildren(el("h2", { id: "dialog-title" }, name(heading)), ...content);
		dialog.returnValue = "";
		dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true });
		dialog.showModal();
	});
}

function choice(text, value = "", attributes = {}) {
	return button(text, () => dialog.close(value), attributes);
}

function fields(pairs) {
	return el("dl", pairs.filter(([, value]) => value || value === 0).map(([term, value]) => [el("dt", term), el("dd", typeof value === "object" ? value : name(String(value)))]));
}

export async function confirmed(heading, text, action, list = []) {
	const chosen = await ask(heading, el("p", text), el("p.quiet", names(list)), el("p.decide", choice(action, "yes", { class: "danger" }), choice("Cancel")));
	return chosen === "yes";
}

/** The admin token, or null; `again` if the daemon refused the one before. */
export async function askToken(again) {
	const [box, input, refused] = ["token-dialog", "token", "refused"].map((id) => document.getElementById(id));
	refused.hidden = !again;
	box.returnValue = "";
	box.showModal();
	await new Promise((resolve) => box.addEventListener("close", resolve, { once: true }));
	const token = input.value.trim();
	input.value = "";
	return box.returnValue ? token : null;
}

/** One target or rejected Secret, whole. Resolves to "refresh" if it is to be refreshed. */
export function showTarget(row, section) {
	const { item, faults } = row;
	const filters = item.filter_config;
	return ask(
		item.name || "A rejected Secret",
		fields([
			["State", [badge(row.word), item.since && [" since ", moment(item.since)]]],
			["Delivery", item.delivery && [badge(item.delivery), faultLines(item.delivery_faults)]],
			["Type", item.type],
			["Format", item.format],
			["URL", item.url],
			["Headers", item.headers && names(Object.keys(item.headers))],
			["Filters", filters && JSON.stringify(filters).replace(/^{}$/, "")],
			["Source", Object.entries(item.source).map(([key, value]) => el("p", `${key} `, name(String(value))))],
			["Faults", faults.length > 0 && faultLines(faults)],
		]),
		el("p.decide", item.name && choice("Refresh this target", "refresh"), choice("Close"), help(section)),
	);
}

export function showRefresh(past) {
	const { difference } = past;
	const changes = ["added", "removed", "changed"].map((sort) => {
		const all = difference?.[sort].map((one) => (one.fields ? `${one.name} (${one.fields.join(", ")})` : one)) || [];
		return [sort, all.length > 0 && names(all, difference[`${sort}_count`] - all.length)];
	});
	const plain = ["trigger", "scope", "attempts", "error", "items", "rejected", "generation", "request_id"].map((key) => [key.replace("_", " "), past[key]]);
	return ask(
		`Refresh of ${past.kind}`,
		fields([["result", [badge(past.result)]], ["started", past.started_at && moment(past.started_at)], ["took", took(past.duration_ms)], ...plain, ...changes]),
		el("p.decide", choice("Close")),
	);
}
