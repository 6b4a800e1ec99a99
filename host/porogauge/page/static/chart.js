// Curves with uncertainty bands, limits, guard bands and flags, drawn by uPlot.

import { colour, el } from "./dom.js";

let library = null;
let reason = "";
try {
  library = (await import("../library/uPlot.js")).default;
} catch {
  reason = "The chart library is missing: curves cannot be drawn; all numbers are right. ";
}

export const chartsMissing = () => reason;

const LOW = ["lolo", "lo"];
const HIGH = ["hihi", "hi"];

// Limits as lines, with their guard band inside and what is beyond them shaded.
function drawLimits(u, limits, guard) {
  if (!limits) return;
  const { ctx } = u;
  const { left, top, width, height } = u.bbox;
  const inside = (y) => Math.max(top, Math.min(top + height, y));
  ctx.save();
  ctx.beginPath();
  ctx.rect(left, top, width, height);
  ctx.clip();
  for (const [names, sign] of [[LOW, 1], [HIGH, -1]]) {
    names.forEach((name, index) => {
      const limit = limits[name];
      if (limit == null) return;
      const y = u.valToPos(limit, "y", true);
      const inner = inside(u.valToPos(limit + sign * guard, "y", true));
      ctx.fillStyle = colour("guard");
      ctx.fillRect(left, Math.min(inside(y), inner), width, Math.abs(inner - inside(y)));
      if (index === 0) {
        const edge = sign > 0 ? top + height : top;
        ctx.fillStyle = colour("zone");
        ctx.fillRect(left, Math.min(inside(y), edge), width, Math.abs(edge - inside(y)));
      }
      ctx.strokeStyle = colour(index === 0 ? "beyond" : "warn");
      ctx.lineWidth = 1.5 * devicePixelRatio;
      ctx.setLineDash(index === 0 ? [] : [6 * devicePixelRatio, 4 * devicePixelRatio]);
      ctx.beginPath();
      ctx.moveTo(left, y);
      ctx.lineTo(left + width, y);
      ctx.stroke();
    });
  }
  ctx.restore();
}

// Where flags are, as a strip at the lower edge.
function drawFlags(u, flags) {
  if (!flags) return;
  const { ctx } = u;
  const { left, top, width, height } = u.bbox;
  const x = u.data[0];
  ctx.save();
  ctx.beginPath();
  ctx.rect(left, top, width, height);
  ctx.clip();
  ctx.fillStyle = colour("beyond");
  const tall = 5 * devicePixelRatio;
  for (let i = 0; i < flags.length && i < x.length; i++) {
    if (!flags[i]) continue;
    let end = i;
    while (end + 1 < flags.length && flags[end + 1]) end++;
    const a = u.valToPos(x[i], "x", true);
    const b = u.valToPos(x[Math.min(end + 1, x.length - 1)], "x", true);
    ctx.fillRect(a, top + height - tall, Math.max(2, b - a), tall);
    i = end;
  }
  ctx.restore();
}

// A chart in `parent`. `name`: quantity, whose colour it has. Call `draw` with new data:
// x, lines (first: the curve; then pairs of lower and upper edges of bands, outer first).
export class Chart {
  constructor(parent, { name, label, unit, height = 150, bands = 1, xLabel = "", onZoom, points, ago }) {
    this.parent = parent;
    this.options = { name, label, unit, height, bands, xLabel, onZoom, points, ago };
    this.limits = null;
    this.guard = 0;
    this.flags = null;
    this.range = null;
    this.xTicks = null;
    this.plot = null;
    this.build();
    this.watch = new ResizeObserver(() => this.resize());
    this.watch.observe(parent);
  }

  build() {
    const { name, label, unit, height, bands, xLabel, onZoom, points } = this.options;
    this.plot?.destroy();
    if (!library) {
      this.parent.replaceChildren(el("div", { class: "no-chart" }, reason));
      return;
    }
    const ink = colour(name) || colour("accent");
    const dim = colour("dim");
    const axis = { stroke: dim, grid: { stroke: colour("grid"), width: 1 },
      ticks: { stroke: colour("grid"), width: 1 }, font: "12px system-ui, sans-serif" };
    const edges = Array.from({ length: 2 * bands }, () => ({ stroke: "transparent", points: { show: false } }));
    const fill = (share) => ink + Math.round(share * 255).toString(16).padStart(2, "0");
    this.plot = new library({
      width: Math.max(120, this.parent.clientWidth || 300),
      height,
      padding: [8, 8, 0, 0],
      cursor: { drag: { x: Boolean(onZoom), y: false, setScale: false }, points: { size: 7 }, y: false },
      legend: { show: false },
      scales: { x: { time: false, range: (u, low, high) => this.span ?? [low, high] },
        y: { range: (u, low, high) => this.yRange(low, high) } },
      axes: [
        { ...axis, size: xLabel ? 44 : 28, label: xLabel, labelSize: 18, labelFont: "12px system-ui, sans-serif",
          space: 70, ...(this.options.ago ? { splits: () => this.ago() } : {}), values: (u, ticks) => (this.xTicks ? ticks.map(this.xTicks) : ticks.map(String)) },
        { ...axis, size: 54, space: 26 },
      ],
      series: [{}, { label: `${label}${unit ? ` (${unit})` : ""}`, stroke: points ? "transparent" : ink, width: 1.5,
        points: { show: Boolean(points), size: 4, fill: ink, stroke: ink } }, ...edges],
      bands: Array.from({ length: bands }, (_, index) => ({
        series: [3 + 2 * index, 2 + 2 * index], fill: fill(bands > 1 && index === 0 ? .18 : .32) })),
      hooks: {
        drawClear: [],
        drawAxes: [(u) => drawLimits(u, this.limits, this.guard)],
        draw: [(u) => drawFlags(u, this.flags)],
        setSelect: onZoom ? [(u) => {
          if (u.select.width < 4) return;
          const low = u.posToVal(u.select.left, "x");
          const high = u.posToVal(u.select.left + u.select.width, "x");
          u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
          onZoom(low, high);
        }] : [],
      },
    }, this.data ?? [[], ...Array.from({ length: 1 + 2 * bands }, () => [])], this.parent);
  }

  // What is measured and, if they are near, the limits: never so narrow that noise looks large.
  yRange(low, high) {
    if (this.range) return this.range;
    if (low == null || high == null) return [0, 1];
    let least = low, most = high;
    const width = Math.max(high - low, 1e-6);
    for (const limit of Object.values(this.limits ?? {})) {
      if (limit == null) continue;
      if (limit < low && low - limit < width) least = Math.min(least, limit);
      if (limit > high && limit - high < width) most = Math.max(most, limit);
    }
    const room = Math.max(.06 * (most - least), this.quantum ?? .002 * Math.abs(most)) || 1;
    return [least - room, most + room];
  }

  // Five ticks that stand still while the curve moves.
  ago() {
    const [low, high] = this.span ?? [0, 1];
    return [1, .75, .5, .25, 0].map((share) => high - share * (high - low));
  }

  draw(data, span) {
    this.data = data;
    this.span = span;
    this.plot?.setData(data, true);
  }

  // Only the window that is looked at moves.
  scroll(span) {
    this.span = span;
    this.plot?.setScale("x", { min: span[0], max: span[1] });
  }

  resize() {
    const width = this.parent.clientWidth;
    if (this.plot && width > 0 && width !== this.plot.width) {
      this.plot.setSize({ width, height: this.options.height });
    }
  }

  destroy() {
    this.watch.disconnect();
    this.plot?.destroy();
    this.plot = null;
  }
}
