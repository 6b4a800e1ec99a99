// The roll map: rows of web one below the other, coloured by value, flag or state; and the curve
// of what is under the cursor. A row as long as a roller's turn lines up what that roller does.

import { get, picture } from "./api.js";
import { Chart } from "./chart.js";
import { choice, clock, colour, el, failed, field, number, plain, put, say } from "./dom.js";
import { css, FLAG, NO_FLAG, NO_NUMBER, NONE, STATE, VALUES } from "./palette.js";
import { QUANTITIES } from "./quantities.js";
import { loadLines, now, on } from "./store.js";

const CELL = 4; // pixels of a row at least
const STEPS = [1, 2, 5];

// The next round number up.
function round(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return (STEPS.find((step) => step * power >= value * .999) ?? 10) * power;
}

export function mapView() {
  const view = { roll: null, axis: "metres", value: "thickness", what: "mean", by: "value", from: 0, row: 0, rows: 1, columns: 1 };
  let found = null;
  let asked = null;
  let waiting = false;
  let shown = false;
  let length = 0;
  let cursor = [0, 0];
  let times = []; // of the last steps, ms from the wish to the picture

  const canvas = el("canvas", { tabindex: "0", role: "img", "aria-label": "Roll map" });
  const raster = document.createElement("canvas");
  const readout = el("div", { class: "readout", "aria-live": "off" });
  const status = el("div", { class: "dim", role: "status" });
  const legend = el("div", { class: "legend" });
  const title = el("h2", {}, "Roll map");
  const rowInput = el("input", { type: "number", min: "0.01", step: "any", "aria-label": "Length of a row", class: "short", onchange: () => {
    const row = Number(rowInput.value);
    if (row > 0) go({ row, from: view.from });
  } });
  const rowUnit = el("span", { class: "dim" }, "m");
  const detail = el("div", { class: "chart", role: "img", "aria-label": "Curve under the cursor" });
  const chart = new Chart(detail, { name: "thickness", label: "", unit: "", height: 190, bands: 2, xLabel: "metres",
    onZoom: (low, high) => trend(low, high) });

  const pick = (name, options, label) => field(label, choice(options, view[name], (value) => {
    view[name] = value;
    if (name === "axis") reset();
    else go({});
    if (name === "value") trendHere();
  }, label));
  const element = el("div", { class: "card" },
    el("div", { class: "row" }, title, status),
    el("div", { class: "row" },
      pick("value", Object.entries(QUANTITIES).map(([key, { label }]) => [key, label]), "quantity"),
      pick("what", [["mean", "mean"], ["min", "minimum"], ["max", "maximum"], ["u", "uncertainty"]], "of the windows"),
      pick("by", [["value", "value"], ["flags", "flags"], ["state", "state"]], "colour by"),
      pick("axis", [["metres", "length"], ["seconds", "time"]], "along"),
      field("a row is", el("span", {}, rowInput, " ", rowUnit)),
      el("button", { onclick: () => zoom(.5), title: "Zoom in (+)" }, "+"),
      el("button", { onclick: () => zoom(2), title: "Zoom out (-)" }, "−"),
      el("button", { onclick: () => reset(), title: "Whole roll (0)" }, "Whole roll")),
    el("div", { class: "map" }, canvas), legend, readout, detail);

  const unit = () => (view.axis === "metres" ? "m" : "s");

  function size() {
    const width = Math.max(100, canvas.clientWidth);
    const height = Math.max(160, Math.min(.5 * innerHeight, 420));
    view.columns = Math.min(1200, Math.floor(width / 2));
    canvas.style.height = `${height}px`;
    const ratio = devicePixelRatio;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    return height;
  }

  function reset() {
    const height = size();
    const most = Math.floor(height / CELL);
    view.from = 0;
    view.row = round(Math.max(length / most, length > 0 ? length / 60 : 1, .1));
    go({});
  }

  // Goes to a piece of the map: asks for it, the newest wish counts.
  function go(wish) {
    const height = size();
    Object.assign(view, wish);
    view.row = Math.max(.02, Math.min(view.row, Math.max(length, 1)));
    view.rows = Math.max(1, Math.min(Math.ceil((length - 0) / view.row), Math.floor(height / CELL)));
    view.from = Math.max(0, Math.min(view.from, Math.max(0, length - view.row * view.rows)));
    if (document.activeElement !== rowInput) rowInput.value = String(Number(view.row.toPrecision(4)));
    say(rowUnit, unit());
    load();
  }

  async function load() {
    if (!shown) return;
    if (asked) {
      waiting = true;
      return;
    }
    const begun = performance.now();
    asked = new AbortController();
    try {
      const made = await picture("map", { device: view.roll ? null : now.chosen, roll: view.roll, axis: view.axis, from: view.from,
        row: view.row, rows: view.rows, columns: view.columns, value: view.value, what: view.what }, asked.signal);
      found = made;
      length = made.length;
      draw();
      times.push(performance.now() - begun);
      times = times.slice(-100);
      element.dataset.steps = JSON.stringify(times);
      const preview = made.complete < 1 ? `preview of samples; ${Math.round(100 * made.complete)} % of the windows read` : "";
      say(status, preview || `${number(length, length < 100 ? 2 : 0)} ${unit()}`);
      if (made.complete < 1) setTimeout(() => load(), 1000);
    } catch (error) {
      put(readout, failed(error));
    }
    asked = null;
    if (waiting) {
      waiting = false;
      load();
    }
  }

  // What is beyond the outer limits is flagged; the colours are for what is between them.
  function scaleOf([low, high]) {
    const { lolo, hihi } = (view.what !== "u" && now.limits?.[view.value]) || {};
    const least = lolo == null || lolo >= high ? low : Math.max(low, lolo);
    const most = hihi == null || hihi <= least ? high : Math.min(high, hihi);
    return [least, most];
  }

  function colours() {
    const { values, flags, states, range } = found;
    const cells = new Uint32Array(values.length);
    const [low, high] = scaleOf(range ?? [0, 1]);
    const scale = 255 / Math.max(high - low, 1e-9);
    for (let i = 0; i < cells.length; i++) {
      const state = states[i];
      if (!state) cells[i] = NONE;
      else if (view.by === "flags") cells[i] = flags[i] ? FLAG : NO_FLAG;
      else if (view.by === "state") cells[i] = STATE[31 - Math.clz32(state & 0x20 || state & 0x10 || state)];
      else if (Number.isNaN(values[i])) cells[i] = NO_NUMBER;
      else cells[i] = VALUES[Math.max(0, Math.min(255, (values[i] - low) * scale)) | 0];
    }
    return { cells, low, high };
  }

  function draw() {
    if (!found) return;
    const { rows, columns, flags, values } = found;
    const { cells, low, high } = colours();
    raster.width = columns;
    raster.height = rows;
    raster.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(cells.buffer), columns, rows), 0, 0);
    const context = canvas.getContext("2d");
    const { width, height } = canvas;
    context.fillStyle = colour("card");
    context.fillRect(0, 0, width, height);
    context.imageSmoothingEnabled = false;
    context.drawImage(raster, 0, 0, columns, rows, 0, 0, width, height);
    // Flags besides values: a line under the cells, told by shape and not by colour.
    if (view.by === "value") {
      const tall = height / rows;
      const line = Math.max(1, Math.min(3 * devicePixelRatio, tall / 3));
      for (let r = 0; r < rows; r++) {
        for (let c = 0; c < columns; c++) {
          const flagged = (at) => flags[r * columns + at] && !Number.isNaN(values[r * columns + at]);
          if (!flagged(c)) continue;
          let end = c;
          while (end + 1 < columns && flagged(end + 1)) end++;
          const x = c * width / columns;
          const wide = Math.max(2 * devicePixelRatio, (end + 1 - c) * width / columns);
          context.fillStyle = "#fff";
          context.fillRect(x, (r + 1) * tall - line, wide, line);
          context.fillStyle = "#b23c00";
          context.fillRect(x, (r + 1) * tall - line, wide, Math.max(1, line * .7));
          c = end;
        }
      }
    }
    mark();
    canvas.setAttribute("aria-label", `Roll map of ${QUANTITIES[view.value].label}, ${rows} rows of ${number(view.row, 2)} ${unit()} from ${number(view.from, 1)} ${unit()}`);
    showLegend(low, high);
  }

  function mark() {
    const context = canvas.getContext("2d");
    const { width, height } = canvas;
    const wide = width / found.columns, tall = height / found.rows;
    context.strokeStyle = colour("text");
    context.lineWidth = devicePixelRatio;
    context.strokeRect(cursor[1] * wide - 2, cursor[0] * tall - 1, wide + 4, tall + 2);
  }

  let legendKey = "";
  function showLegend(low, high) {
    const { unit: its, digits, label } = QUANTITIES[view.value];
    const key = JSON.stringify([view.by, view.value, view.what, number(low, digits), number(high, digits)]);
    if (key === legendKey) return;
    legendKey = key;
    const box = (c, text) => {
      const made = el("span", {}, "\u2003");
      made.style.background = c;
      return el("span", {}, made, " ", text);
    };
    const rest = [box(css(NO_NUMBER), "no number"), box("transparent", "no window")];
    if (view.by === "flags") put(legend, box(css(FLAG), "any flag"), box(css(NO_FLAG), "none"), rest[1]);
    else if (view.by === "state") put(legend, (now.lines?.state_names ?? []).map((name, i) => box(css(STATE[i]), plain(name))), rest[1]);
    else {
      const strip = el("canvas", { width: 256, height: 1, "aria-hidden": "true" });
      strip.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(VALUES.buffer.slice(0)), 256, 1), 0, 0);
      put(legend, `${label}, ${view.what === "u" ? "standard uncertainty" : view.what}: ${number(low, digits)}`, strip,
        `${number(high, digits)} ${its}`, rest[0], el("span", {}, "line below: flags of a number"), rest[1]);
    }
  }

  const placeOf = ([r, c]) => view.from + r * view.row + (c + .5) * view.row / view.columns;

  function cellAt(event) {
    const box = canvas.getBoundingClientRect();
    const clamp = (value, most) => Math.max(0, Math.min(most - 1, Math.floor(value)));
    return [clamp((event.clientY - box.top) / box.height * (found?.rows ?? 1), found?.rows ?? 1),
      clamp((event.clientX - box.left) / box.width * (found?.columns ?? 1), found?.columns ?? 1)];
  }

  function read(cell) {
    if (!found) return;
    cursor = cell;
    const index = cell[0] * found.columns + cell[1];
    const { label, digits, unit: its } = QUANTITIES[view.value];
    const names = now.lines?.flag_names ?? [];
    const flags = names.filter((_, bit) => found.flags[index] >>> bit & 1).map(plain);
    const states = (now.lines?.state_names ?? []).filter((_, bit) => found.states[index] >>> bit & 1).map(plain);
    const value = found.values[index];
    const text = !found.states[index] ? "no window" : Number.isNaN(value) ? states.join(", ")
      : `${label} ${number(value, digits)} ${its} (${view.what})`;
    say(readout, `${number(placeOf(cell), 2)} ${unit()}${wall(placeOf(cell))}: ${text}; ${flags.length ? flags.join(", ") : "no flags"}`);
  }

  // Wall time of a place in time, where the clock of its boot is known.
  function wall(place) {
    if (view.axis !== "seconds" || view.roll || !now.lines) return "";
    const boot = now.lines.boots.filter((each) => each.seconds <= place).pop();
    return boot?.wall ? `, ${clock(boot.wall + place - boot.seconds)}` : "";
  }

  function zoom(factor, cell = cursor) {
    if (!found) return;
    const place = placeOf(cell);
    const row = view.row * factor;
    const rows = Math.min(Math.ceil(length / row), Math.floor(canvas.clientHeight / CELL));
    const back = Math.min(cell[0], rows - 1) * row + (cell[1] + .5) * row / view.columns;
    go({ row, from: place - back });
  }

  let detailKey = 0;
  async function trend(low, high) {
    const key = ++detailKey;
    const { label, unit: its } = QUANTITIES[view.value];
    try {
      const curve = await get("trend", { device: view.roll ? null : now.chosen, roll: view.roll, axis: view.axis, from: low, to: high,
        columns: Math.max(200, Math.min(1500, detail.clientWidth)) });
      if (key !== detailKey) return;
      const { min, mean, max, u } = curve.values[view.value];
      const band = (sign) => mean.map((value, i) => (value == null ? null : value + sign * 2 * u[i]));
      const options = { name: view.value, label, unit: its, xLabel: view.axis === "metres" ? "metres" : "seconds" };
      if (chart.options.name !== options.name || chart.options.xLabel !== options.xLabel) {
        Object.assign(chart.options, options);
        chart.build();
      }
      chart.limits = now.limits?.[view.value];
      chart.guard = (now.limits?.guard ?? 0) * (median(u) ?? 0);
      chart.flags = curve.flags;
      chart.draw([curve.x, mean, min, max, band(-1), band(1)], [curve.from, curve.to]);
      detail.dataset.curve = JSON.stringify({ from: curve.from, to: curve.to, single: curve.single, windows: curve.windows });
    } catch (error) {
      put(readout, failed(error));
    }
  }

  const trendHere = () => trend(placeOf([cursor[0], 0]), placeOf([cursor[0], view.columns - 1]));

  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(event.deltaY > 0 ? 1.5 : 1 / 1.5, cellAt(event));
  }, { passive: false });
  let drag = null;
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    drag = { x: event.clientX, y: event.clientY, from: view.from, moved: false };
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!drag) {
      read(cellAt(event));
      return;
    }
    const box = canvas.getBoundingClientRect();
    const rows = Math.round((event.clientY - drag.y) / box.height * view.rows);
    const along = (event.clientX - drag.x) / box.width * view.row;
    drag.moved ||= Math.abs(event.clientX - drag.x) + Math.abs(event.clientY - drag.y) > 4;
    if (drag.moved) go({ from: drag.from - rows * view.row - along });
  });
  canvas.addEventListener("pointerup", (event) => {
    if (drag && !drag.moved) {
      read(cellAt(event));
      draw();
      trendHere();
    }
    drag = null;
  });
  canvas.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (move && found) {
      const far = event.shiftKey ? 10 : 1;
      const [r, c] = [cursor[0] + move[0] * far, cursor[1] + move[1] * far];
      if (r < 0 || r >= found.rows) go({ from: view.from + Math.sign(move[0]) * view.row * Math.max(1, Math.floor(view.rows / 4)) });
      read([Math.max(0, Math.min(found.rows - 1, r)), Math.max(0, Math.min(found.columns - 1, c))]);
      draw();
    } else if (event.key === "Enter") trendHere();
    else if (event.key === "+" || event.key === "=") zoom(.5);
    else if (event.key === "-") zoom(2);
    else if (event.key === "0") reset();
    else if (event.key === "PageDown") go({ from: view.from + view.row * view.rows });
    else if (event.key === "PageUp") go({ from: view.from - view.row * view.rows });
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  new ResizeObserver(() => { if (shown) go({}); }).observe(canvas.parentElement);
  on("theme", () => { draw(); chart.build(); });

  // A running web grows: the whole-roll view follows it, a piece that is looked at stays.
  setInterval(async () => {
    if (!shown || document.hidden) return;
    const whole = view.from === 0 && view.row * view.rows >= length;
    const before = length;
    await measure();
    if (whole && length > before * 1.01) reset();
    else if (whole && length !== before) load();
  }, 3000);

  async function measure() {
    await loadLines().catch(() => {});
    if (!view.roll) length = now.lines?.length?.[view.axis] ?? 0;
    else length = (await get("trend", { roll: view.roll, axis: view.axis, columns: 1 }).catch(() => ({ length }))).length;
  }

  return {
    element,
    async show(on_) {
      shown = on_;
      if (!on_) return;
      if (!view.row) await this.of(view.roll);
      else load();
    },
    async of(roll) {
      view.roll = roll;
      put(title, roll ? `Roll map of ${roll}` : "Roll map");
      await measure();
      reset();
      trend(0, length);
    },
  };
}

function median(values) {
  const there = values.filter((value) => value != null).sort((a, b) => a - b);
  return there[there.length >> 1];
}
