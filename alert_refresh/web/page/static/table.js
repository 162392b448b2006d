// A table of thousands of rows, of which those near the window are drawn. Each chunk of rows is a tbody; one that is far
// away is an empty row of its height.

import { button, change, count, el, say } from "./dom.js";

const CHUNK = 25;
const NEAR = "600px";
const GUESS = 40; // height of a row in pixels until one was drawn
const PRINTED = 1000; // rows that are drawn for paper

export class Listing {
	/**
	 * `columns` are `[title, cell(row), class]`, `filters` `[label, options, keep(row, option)]`. `rows(world)` are all
	 * rows, nothing before they are loaded, `text(row)` their words; only rows that are other objects than before are drawn
	 * anew. `open(row)` shows one row whole, `updated(world, listing)` does the rest. `nouns` is a row, and several.
	 */
	constructor({ label, columns, filters, rows, text, open, updated, nouns, search }) {
		Object.assign(this, { columns, text, rows, open, updated, nouns, chunks: [], all: [], shown: [], height: GUESS });
		const changed = () => this.filter();
		this.search = el("input", { type: "search", placeholder: search, "aria-label": search, autocomplete: "off", spellcheck: "false", oninput: changed });
		this.filters = filters.map(([text, options, keep]) => {
			const select = el("select", { onchange: changed }, ["all", ...options].map((option) => el("option", { value: option === "all" ? "" : option }, option)));
			return { select, keep, root: el("label", `${text} `, select) };
		});
		this.count = el("p.quiet", { role: "status" });
		this.note = el("div");
		const heads = columns.map(([title, , kind]) => el(`th.${kind || "plain"}`, { scope: "col", role: "columnheader" }, title));
		this.table = el("table", { role: "table", "aria-label": label }, el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, heads)));
		this.root = el("div.listing", this.note, el("div.filters", this.search, this.filters.map((one) => one.root)), this.count, this.table);
		this.observer = new IntersectionObserver((seen) => seen.forEach((entry) => this.near(entry.target.chunk, entry)), { rootMargin: NEAR });
		addEventListener("beforeprint", () => this.chunks.slice(0, PRINTED / CHUNK).forEach((chunk) => this.near(chunk, { isIntersecting: true })));
	}

	update(world) {
		const rows = this.rows(world);
		this.all = rows || [];
		this.filter();
		if (!rows) say(this.count, "Not loaded yet");
		this.updated?.(world, this);
	}

	narrow(option) {
		this.filters[0].select.value = option;
		this.filter();
	}

	filter() {
		const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
		const filters = this.filters.filter(({ select }) => select.value);
		this.shown = this.all.filter((row) => words.every((word) => (row.text ??= this.text(row)).includes(word)) && filters.every(({ keep, select }) => keep(row, select.value)));
		const [shown, all] = [this.shown.length, count(this.all.length, ...this.nouns)];
		say(this.count, shown === this.all.length ? all : `${shown.toLocaleString("en")} of ${all}`);
		this.table.hidden = !shown;
		this.table.toggleAttribute("data-cut", shown > PRINTED);
		this.table.setAttribute("aria-rowcount", shown + 1);
		const wanted = Math.ceil(shown / CHUNK);
		while (this.chunks.length > wanted) {
			const { body } = this.chunks.pop();
			this.observer.unobserve(body);
			body.remove();
		}
		for (let at = 0; at < wanted; at++) this.fill(this.chunks[at] || this.add(at), this.shown.slice(at * CHUNK, (at + 1) * CHUNK));
	}

	add(at) {
		const chunk = { at, body: el("tbody", { role: "rowgroup" }), rows: [], drawn: at === 0 };
		chunk.body.chunk = chunk;
		this.chunks.push(chunk);
		this.table.append(chunk.body);
		this.observer.observe(chunk.body);
		return chunk;
	}

	fill(chunk, rows) {
		const before = chunk.rows;
		chunk.rows = rows;
		if (!chunk.drawn) {
			if (before.length !== rows.length) this.empty(chunk, rows.length * this.height);
			return;
		}
		const { children } = chunk.body;
		rows.forEach((row, at) => {
			if (at >= children.length) chunk.body.append(this.draw(row, chunk, at));
			else if (before[at] !== row) change(chunk.body, () => children[at].replaceWith(this.draw(row, chunk, at)));
		});
		while (children.length > rows.length) chunk.body.lastChild.remove();
	}

	draw(row, chunk, at) {
		const cells = this.columns.map(([title, cell, kind], index) => {
			const content = cell(row);
			return el(`td.${kind || "plain"}`, { role: "cell", "data-title": title }, index === 0 && this.open ? button(content, () => this.open(row), { class: "open" }) : content);
		});
		return el("tr", { role: "row", "aria-rowindex": chunk.at * CHUNK + at + 2, "data-level": row.level }, cells);
	}

	empty(chunk, height) {
		const cell = el("td", { role: "cell", colspan: this.columns.length });
		cell.style.height = `${height}px`;
		chunk.body.replaceChildren(el("tr.far", { role: "row" }, cell));
	}

	/** Draw the rows of a chunk that comes near, and drop those of one that is far away. */
	near(chunk, { isIntersecting, boundingClientRect }) {
		if (!chunk.body.isConnected || chunk.drawn === (isIntersecting || !chunk.at)) return;
		chunk.drawn = isIntersecting;
		if (isIntersecting) {
			chunk.body.replaceChildren(...chunk.rows.map((row, at) => this.draw(row, chunk, at)));
		} else {
			this.height = boundingClientRect.height / chunk.rows.length;
			this.empty(chunk, boundingClientRect.height);
		}
	}
}
