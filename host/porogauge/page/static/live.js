// The live view: numbers with uncertainty and limits, curves at the window rate, flags, climate.

import { get } from "./api.js";
import { Chart } from "./chart.js";
import { choice, el, field, number, plain, put, say } from "./dom.js";
import { flagList } from "./flags.js";
import { QUANTITIES, STATES, u95Of, valueOf } from "./quantities.js";
import { current, loadLines, now, on } from "./store.js";

const MOST = 30000; // windows kept: five and a half minutes at 90 a second
const DELAY_S = 0.25; // curves run so far behind, so that batches of windows flow evenly
const names = Object.keys(QUANTITIES);

// Newest windows as columns, x in seconds of the board's clock.
class Recent {
  constructor() {
    this.boot = null;
    this.clear();
  }

  clear() {
    this.x = [];
    this.flags = [];
    this.lines = Object.fromEntries(names.map((name) => [name, [[], [], []]]));
  }

  add(windows) {
    for (const row of windows) {
      const x = row.t_us / 1e6;
      if (row.boot !== this.boot || x <= this.x[this.x.length - 1]) {
        if (row.boot === this.boot) continue;
        this.boot = row.boot;
        this.clear();
      }
      // A hole in the stream is a hole in the curve.
      if (this.x.length && x - this.x[this.x.length - 1] > 1) this.push(x - 1e-3, null);
      this.push(x, row);
    }
    if (this.x.length > MOST) this.drop(this.x.length - MOST + 2000);
  }

  push(x, row) {
    this.x.push(x);
    this.flags.push(Boolean(row?.flags.length));
    for (const name of names) {
      const value = valueOf(name, row);
      const u95 = u95Of(name, row) ?? 0;
      const lines = this.lines[name];
      lines[0].push(value);
      lines[1].push(value == null ? null : value - u95);
      lines[2].push(value == null ? null : value + u95);
    }
  }

  drop(count) {
    this.x.splice(0, count);
    this.flags.splice(0, count);
    for (const name of names) this.lines[name].forEach((line) => line.splice(0, count));
  }

  from(x) {
    let low = 0, high = this.x.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.x[middle] < x) low = middle + 1;
      else high = middle;
    }
    return Math.max(0, low - 1);
  }
}

function limitBar() {
  const bar = el("div", { class: "scale", "aria-hidden": "true" });
  const ends = el("div", { class: "ends" }, el("span"), el("span"));
  let drawn = "";
  const parts = { band: el("i", { class: "band" }), mark: el("i", { class: "mark" }) };
  let span = [0, 1];
  const at = (value) => `${100 * Math.max(0, Math.min(1, (value - span[0]) / (span[1] - span[0])))}%`;
  const piece = (kind, low, high) => {
    const made = el("i", { class: kind });
    made.style.left = at(low);
    made.style.width = `calc(${at(high)} - ${at(low)})`;
    return made;
  };
  const layout = (limits, guard, digits, value) => {
    const there = ["lolo", "lo", "hi", "hihi"].map((end) => limits[end]).filter((limit) => limit != null);
    if (!there.length) there.push(value * .9, value * 1.1);
    const least = Math.min(...there), most = Math.max(...there);
    const room = .18 * (most - least || Math.abs(most) * .2 || 1);
    span = [least - room, most + room];
    if (there.length === 1) span = least === limits.hihi || least === limits.hi
      ? [Math.min(value, least) - room, most + room] : [least - room, Math.max(value, most) + room];
    const made = [];
    for (const [end, side, outer] of [["lolo", 1, 1], ["lo", 1, 0], ["hi", -1, 0], ["hihi", -1, 1]]) {
      const limit = limits[end];
      if (limit == null) continue;
      if (outer) made.push(piece("zone", side > 0 ? span[0] : limit, side > 0 ? limit : span[1]));
      const inner = limit + side * guard;
      made.push(piece("guard", Math.min(limit, inner), Math.max(limit, inner)));
      const line = el("i", { class: outer ? "limit" : "limit inner" });
      line.style.left = at(limit);
      made.push(line);
    }
    put(bar, made, parts.band, parts.mark);
    say(ends.firstChild, number(span[0], digits));
    say(ends.lastChild, number(span[1], digits));
  };
  const show = (limits, guard, digits, value, u95) => {
    const key = JSON.stringify([limits, guard.toPrecision(2), there(limits) < 2 && value?.toPrecision(1)]);
    if (key !== drawn) {
      drawn = key;
      layout(limits ?? {}, guard, digits, value ?? 1);
    }
    for (const part of Object.values(parts)) part.hidden = value == null;
    if (value == null) return;
    parts.mark.style.left = at(value);
    parts.band.style.left = at(value - u95);
    parts.band.style.width = `calc(${at(value + u95)} - ${at(value - u95)})`;
  };
  return { element: el("div", {}, bar, ends), show };
}

const there = (limits) => ["lolo", "lo", "hi", "hihi"].filter((end) => limits?.[end] != null).length;

function limitText(limits, digits, unit) {
  const text = ["lolo", "lo", "hi", "hihi"].filter((end) => limits?.[end] != null)
    .map((end) => `${end.toUpperCase()} ${number(limits[end], digits)}`).join("  ");
  return text ? `${text} ${unit}`.trim() : "no limits";
}

function quantityCard(name) {
  const { label, unit, digits } = QUANTITIES[name];
  const value = el("span", { "data-value": name }, "–");
  const u = el("div", { class: "u", "data-u95": name });
  const why = el("div", { class: "is-warn" });
  const old = el("div", { class: "is-warn" });
  const limits = el("div", { class: "dim" });
  const bar = limitBar();
  const holder = el("div", { class: "chart", role: "img", "aria-label": `${label}, live curve` });
  const element = el("section", { class: `card quantity ${name}`, "aria-label": label },
    el("div", {}, el("h2", {}, label), el("div", { class: "value" }, value, " ", el("small", {}, unit)),
      u, old, why, bar.element, limits), holder);
  const chart = new Chart(holder, { name, label, unit, height: 165, ago: true });
  chart.quantum = name === "permittivity" ? .005 : .05;
  return {
    element, chart,
    numbers() {
      const row = now.newest;
      const found = valueOf(name, row);
      const u95 = u95Of(name, row) ?? 0;
      const stated = now.limits?.[name];
      say(value, number(found, digits));
      say(old, current() ? "" : "last value, not current");
      say(u, found == null ? "" : `± ${number(u95, digits)} ${unit} (U95)`);
      say(why, found == null && row ? `no number: ${plain(row.reason === "ok" ? row.state : row.reason)}` : "");
      const guard = (now.limits?.guard ?? 0) * u95 / 2;
      bar.show(stated, guard, digits, found, u95);
      say(limits, limitText(stated, digits, unit));
      chart.limits = stated;
      chart.guard = guard;
    },
  };
}

function stateCard() {
  const list = el("dl");
  const output = el("div", { class: "verdict" });
  const element = el("section", { class: "card", "aria-label": "Gauge" }, el("h2", {}, "Gauge"), output, list);
  const rows = new Map();
  const set = (name, text) => {
    if (!rows.has(name)) {
      const cell = el("dd");
      rows.set(name, cell);
      list.append(el("dt", {}, name), cell);
    }
    say(rows.get(name), text);
  };
  return {
    element,
    numbers() {
      const row = now.newest;
      if (!row) {
        say(output, "no windows yet");
        return;
      }
      const good = row.outputs.includes("good");
      output.className = `verdict ${good ? "is-good" : "is-bad"}`;
      say(output, `${good ? "✓ good" : "✕ reject"}${current() ? "" : " (last)"}`);
      set("position", `${number(row.position_mm / 1000, 2)} m`);
      set("marker", row.outputs.includes("marker") ? "marking" : "off");
      set("window", `${row.seq} of boot ${row.boot}`);
      set("air", `${number(row.air_c, 1)} °C, ${number(row.rh_percent, 0)} %RH`);
      set("frame", `${number(row.frame_c, 2)} °C`);
      set("reference", row.standard_windows ? `C0 ${number(row.c0_af / 1e6, 4)} pF` : "the calibration's");
      set("recipe", now.recipe ? `${now.recipe.name ?? ""} ${now.recipe.id}`.trim() : "unknown");
      set("calibration", now.calibration ? `${now.calibration.name ?? ""} ${now.calibration.id}`.trim() : "unknown");
      const link = now.link ?? {};
      set("records", link.own
        ? `${number(link.rate_hz, 1)}/s, ${link.stored ?? 0} stored, ${link.lost ?? 0} lost`
        : "stored by another program");
    },
  };
}

export function liveView() {
  const recent = new Recent();
  const cards = names.map(quantityCard);
  const gauge = stateCard();
  const flags = flagList();
  let seconds = 20;
  let moving = true;
  let fresh = false;
  let shown = true;
  let offset = null; // board's clock less this browser's

  const controls = el("div", { class: "row" },
    field("show", choice([["10", "10 s"], ["20", "20 s"], ["60", "1 min"], ["300", "5 min"]], "20",
      (value) => { seconds = Number(value); fresh = true; }, "Seconds shown")),
    el("button", { "aria-pressed": "false", onclick: (event) => {
      moving = !moving;
      event.target.setAttribute("aria-pressed", String(!moving));
      event.target.textContent = moving ? "Pause curves" : "Go on";
    } }, "Pause curves"));
  const element = el("div", { class: "live" },
    el("div", { class: "quantities" }, controls, cards.map((card) => card.element)),
    el("div", { class: "side" }, flags.element, gauge.element));

  on("windows", (windows) => {
    const boot = recent.boot;
    recent.add(windows);
    const newest = windows[windows.length - 1].t_us / 1e6;
    const guess = newest - performance.now() / 1000;
    // The quickest batch tells best; the clock may drift by a thousandth.
    if (offset === null || boot !== recent.boot || guess > offset || guess < offset - 2) offset = guess;
    else offset -= 2e-5;
    fresh = true;
  });
  on("now", () => {
    flags.show();
    gauge.numbers();
    cards.forEach((card) => card.numbers());
    fresh = true;
  });
  on("theme", () => cards.forEach((card) => card.chart.build()));

  let told = 0;
  function frame(at) {
    requestAnimationFrame(frame);
    if (!shown || document.hidden || offset === null) return;
    if (at - told > 100) {
      told = at;
      gauge.numbers();
      cards.forEach((card) => card.numbers());
    }
    if (!moving) return;
    const end = Math.min(at / 1000 + offset - DELAY_S, recent.x[recent.x.length - 1] ?? 0);
    const span = [end - seconds, end];
    if (fresh) {
      const first = recent.from(span[0] - 1);
      const x = recent.x.slice(first);
      for (const [index, name] of names.entries()) {
        cards[index].chart.flags = recent.flags.slice(first);
        cards[index].chart.draw([x, ...recent.lines[name].map((line) => line.slice(first))], span);
      }
      fresh = false;
    } else {
      for (const card of cards) {
        if (card.chart.span?.[1] !== end) card.chart.scroll(span);
      }
    }
  }
  for (const card of cards) card.chart.xTicks = (tick) => `${Math.round(tick - (card.chart.span?.[1] ?? tick))} s`;
  requestAnimationFrame(frame);

  // What was there before this page was opened.
  loadLines().then(async ({ length }) => {
    const from = Math.max(0, length.seconds - 40);
    const past = await get("trend", { axis: "seconds", columns: 4000, device: now.chosen, from });
    if (!past.single || !now.newest || recent.x.length > 200) return;
    const shift = now.newest.t_us / 1e6 - past.x[past.x.length - 1];
    prefill(recent, past, shift);
    offset ??= now.newest.t_us / 1e6 - performance.now() / 1000 + DELAY_S;
    fresh = true;
  }).catch(() => {}); // then curves begin empty

  return { element, show(on_) { shown = on_; fresh = true; } };
}

function prefill(recent, past, shift) {
  const later = { x: recent.x, flags: recent.flags, lines: recent.lines };
  recent.clear();
  recent.boot ??= now.newest.boot;
  const first = later.x[0] ?? Infinity;
  past.x.forEach((x, index) => {
    if (x + shift >= first) return;
    recent.x.push(x + shift);
    recent.flags.push(past.flags[index] !== 0);
    for (const name of names) {
      const { mean, u } = past.values[name];
      const value = mean[index];
      recent.lines[name][0].push(value);
      recent.lines[name][1].push(value == null ? null : value - 2 * u[index]);
      recent.lines[name][2].push(value == null ? null : value + 2 * u[index]);
    }
  });
  recent.x.push(...later.x);
  recent.flags.push(...later.flags);
  for (const name of names) recent.lines[name].forEach((line, i) => line.push(...later.lines[name][i]));
}

export function largeView(element, close) {
  const state = el("div");
  const verdict = el("div");
  const big = Object.fromEntries(["thickness", "porosity"].map((name) => [name, [el("b"), el("span")]]));
  const foot = el("div", { class: "foot" });
  put(element, el("div", { class: "state" }, state, verdict),
    Object.entries(big).map(([name, parts]) => el("div", { class: `big ${name}` }, parts)), foot,
    el("button", { onclick: close }, "Back (o)"));
  return () => {
    if (element.hidden) return;
    const row = current() ? now.newest : null;
    const [sign, look] = row ? STATES[row.state] ?? ["?", "is-bad"] : ["◌", "is-warn"];
    state.className = look;
    say(state, `${sign} ${row ? plain(row.state) : "no new windows"}`);
    const good = row?.outputs.includes("good");
    verdict.className = good ? "is-good" : "is-bad";
    say(verdict, !row ? "" : good ? "✓ good" : "✕ reject");
    for (const [name, [value, rest]] of Object.entries(big)) {
      const found = valueOf(name, row);
      const { unit, digits } = QUANTITIES[name];
      const u95 = u95Of(name, row) ?? 0;
      value.style.color = `var(--${name})`;
      say(value, number(found, digits - 1));
      say(rest, found == null ? plain(row?.reason) : `${unit}  ± ${number(u95, u95 < .1 ? digits : digits - 1)}`);
    }
    const flags = (row?.flags ?? []).filter((flag) => !now.shelved[flag]).map(plain);
    foot.className = `foot ${flags.length ? "is-bad" : "dim"}`;
    say(foot, !row ? "the last numbers are old and not shown" : flags.length ? `▲ ${flags.join(", ")}` : row.state === "measuring" ? "no flags" : plain(row.state_reason));
  };
}
