// The durations of the last refreshes over time, by uPlot; failures are crosses, holds diamonds.

import { DAY, el, took } from "./dom.js";

const COLOURS = { targets: "--kind-1", rules: "--kind-2", views: "--kind-3", alertmanager: "--kind-4" };
const SHORTEST = 0.5; // milliseconds: the scale is logarithmic
const NARROWEST = 120; // seconds
const HEIGHT = 180;
const HOUR = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const STEPS = [60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400, 604800, 2592000];
const MARKS = { failed: ["--bad", "\u2715"], retrying: ["--bad", "\u2715"], held: ["--warn", "\u25c7"] };

function colour(variable) {
	return getComputedStyle(document.body).getPropertyValue(variable).trim();
}

const tens = (_, all) => all.map((value) => (Math.log10(value) % 1 ? null : value));
const x = (one) => Date.parse(one.started_at) / 1000;
const y = (one) => Math.max(SHORTEST, one.duration_ms);

function legend(kind) {
	const made = el("li", el("span.line"), kind);
	made.firstChild.style.borderColor = colour(COLOURS[kind] || "--text");
	return made;
}

export class Chart {
	constructor(section, root, legend) {
		Object.assign(this, { section, root, legend, past: [], kinds: [] });
		new ResizeObserver(() => this.plot?.setSize({ width: root.clientWidth, height: HEIGHT })).observe(root);
		matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
	}

	update(refreshes) {
		const past = refreshes.filter((one) => one.started_at && one.attempts).sort((a, b) => x(a) - x(b));
		if (past.length === this.past.length && past.every((one, at) => one === this.past[at])) return;
		const kinds = [...new Set(past.map((one) => one.kind))].sort();
		const same = this.plot && kinds.join() === this.kinds.join();
		this.data = [past.map(x), ...kinds.map((kind) => past.map((one) => (one.kind === kind ? y(one) : null)))];
		Object.assign(this, { past, kinds });
		this.section.hidden = !past.length;
		if (same) this.plot.setData(this.data);
		else this.draw();
	}

	async draw() {
		if (!this.past.length) return;
		const { default: uPlot } = await import("./uplot.js"); // not before the first states are drawn
		this.plot?.destroy();
		const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
		const line = (kind) => ({ stroke: colour(COLOURS[kind] || "--text"), width: 1.5, spanGaps: true, points: { show: true, size: 5 } });
		const options = {
			width: this.root.clientWidth,
			height: HEIGHT,
			legend: { show: false },
			cursor: { show: false },
			scales: { x: { range: () => this.range() }, y: { distr: 3 } },
			axes: [
				{ ...axis, size: 28, incrs: STEPS, values: (_, all, axis, space, step) => all.map((value) => (step < 86400 ? HOUR : DAY).format(value * 1000)) },
				{ ...axis, size: 64, grid: { ...axis.grid, filter: tens }, values: (_, all) => all.map((value) => (value < 1 ? null : took(value))) },
			],
			series: [{}, ...this.kinds.map(line)],
			hooks: { draw: [(plot) => this.mark(plot)] },
		};
		this.plot = new uPlot(options, this.data, this.root);
		this.legend.replaceChildren(...this.kinds.map(legend));
	}

	range() {
		const [first, last] = [x(this.past[0]), x(this.past.at(-1))];
		const low = Math.min(first, last - NARROWEST);
		return [low, last + (last - low) / 60];
	}

	mark({ ctx, valToPos }) {
		ctx.save();
		Object.assign(ctx, { font: `bold ${16 * devicePixelRatio}px sans-serif`, textAlign: "center", textBaseline: "middle" });
		for (const one of this.past.filter(({ result }) => MARKS[result])) {
			const [variable, sign] = MARKS[one.result];
			ctx.fillStyle = colour(variable);
			ctx.fillText(sign, valToPos(x(one), "x", true), valToPos(y(one), "y", true));
		}
		ctx.restore();
	}
}
