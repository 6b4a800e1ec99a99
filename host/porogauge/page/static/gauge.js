// Health of the gauge: drift, contamination, standardisations, machine; and its history.

import { change, get } from "./api.js";
import { Chart } from "./chart.js";
import { askFor } from "./dialog.js";
import { clock, el, failed, field, number, plain, put, table } from "./dom.js";
import { now } from "./store.js";

const DRIFTS = [["c0_drift_percent", "C0 against the calibration", "%"], ["d_drift_um", "D against the calibration", "µm"],
  ["contamination_index", "Contamination, 100 at its limit", ""]];
const SIGNS = { ok: "✓ ok", near: "◆ near its limit", beyond: "▲ beyond" };

// A word of the board's health; below absolute zero: not measured yet.
function machine(name, value) {
  if (!name.endsWith("_mc")) return String(value);
  return value < -273150 ? "not measured yet" : `${number(value / 1000, 2)} °C`;
}

export function gaugeView() {
  const body = el("div", { class: "grid" });
  let charts = [];

  function drift(found, [quantity, label, unit]) {
    const rows = found.trend.filter((row) => row.quantity === quantity);
    const holder = el("div", { class: "chart", role: "img", "aria-label": label });
    const last = rows[rows.length - 1];
    const card = el("section", { class: "card", "aria-label": label }, el("h2", {}, label), last ? [
      el("p", { class: last.verdict === "ok" ? "is-good" : "is-bad" }, `${SIGNS[last.verdict]}: ${number(last.value, 3)} ± ${number(last.u95, 3)} ${unit}, limit ${number(last.limit, 2)}`), holder]
      : el("p", { class: "dim" }, found.complete < 1 ? "the windows are still being read" : "no standardisation is stored"));
    if (rows.length) {
      const chart = new Chart(holder, { name: "accent", label, unit, height: 150, bands: 1, points: rows.length < 100 });
      const x = rows.map((row) => Date.parse(row.time) / 1000);
      const short = x[x.length - 1] - x[0] < 900;
      chart.xTicks = (tick) => new Date(1000 * tick).toLocaleTimeString("sv-SE").slice(0, short ? 8 : 5);
      chart.limits = { hihi: last.limit, lolo: quantity === "contamination_index" ? null : -last.limit };
      charts.push([chart, [x, rows.map((row) => row.value), rows.map((row) => row.value - row.u95), rows.map((row) => row.value + row.u95)], x.length === 1 ? [x[0] - 60, x[0] + 60] : undefined]);
    }
    return card;
  }

  async function load() {
    try {
      const found = await get("gauge", { device: now.chosen });
      charts.forEach(([chart]) => chart.destroy());
      charts = [];
      const row = found.newest;
      const words = found.machine?.words;
      put(body, DRIFTS.map((each) => drift(found, each)),
        el("section", { class: "card", "aria-label": "Reference" }, el("h2", {}, "Reference and climate"), row ? el("dl", {}, [
          ["standardisations", found.standardisations], ["C0", `${number(row.c0_af / 1e6, 5)} pF at ${number(row.c0_frame_c, 2)} °C`],
          ["D", `${number(row.d_nm / 1000, 3)} µm, u ${number(row.u_d_nm / 1000, 3)} µm, at ${number(row.d_frame_c, 2)} °C`],
          ["frame", `${number(row.frame_c, 2)} °C`], ["air", `${number(row.air_c, 1)} °C, ${number(row.rh_percent, 0)} %RH`],
          ["samples of a window", `laser A ${row.a_samples}, laser B ${row.b_samples}`], ["conversions lost before it", row.lost],
        ].map(([name, text]) => [el("dt", {}, name), el("dd", {}, text)])) : el("p", { class: "dim" }, "no windows yet")),
        el("section", { class: "card", "aria-label": "Machine" }, el("h2", {}, "Machine"), words ? [el("p", { class: "dim" }, `as the board told it, stored ${clock(found.machine.time)}`),
          el("dl", {}, Object.entries(words).filter(([, value]) => value !== 0).map(([name, value]) => [el("dt", {}, plain(name.replace(/_mc$/, ""))), el("dd", {}, machine(name, value))]))]
          : el("p", { class: "dim" }, "The board's journal has no health record yet.")),
        el("section", { class: "card", "aria-label": "Starts" }, el("h2", {}, "Starts of the board"),
          table(["boot", "firmware", "first seen", "last seen"], found.boots.slice(-20).reverse().map((boot) => [boot.boot, boot.firmware ?? "", clock(boot.first_seen), clock(boot.last_seen)]), "Boots")));
      charts.forEach(([chart, data, span]) => { chart.resize(); chart.draw(data, span); });
    } catch (error) {
      put(body, failed(error));
    }
  }
  return { element: body, show(on_) { if (on_) load(); } };
}

export function historyView() {
  const list = el("div");
  let rows = [];
  const search = el("input", { type: "search", "aria-label": "Search the history", placeholder: "every word has to be there", oninput: () => draw() });
  const note = el("button", { onclick: () => askFor("Note", [["text", "Note", { rows: 4, required: true }]],
    (fields) => change("note", { device: now.device, ...fields }).then(load)) }, "Write a note …");
  const element = el("section", { class: "card", "aria-label": "History" }, el("div", { class: "row" }, el("h2", {}, "History"), field("search", search), note), list);

  function draw() {
    const words = search.value.toLowerCase().split(/\s+/);
    const found = rows.filter((row) => words.every((word) => `${clock(row.time)} ${plain(row.kind)} ${row.text}`.toLowerCase().includes(word)));
    put(list, found.length ? table(["when", "what", "device", ""], found.slice(0, 300).map((row) => [clock(row.time), plain(row.kind), row.device ?? "", row.text]), "History")
      : el("p", { class: "dim" }, "Nothing."));
  }

  async function load() {
    note.hidden = !now.access.may_change;
    try {
      rows = (await get("history")).history;
      draw();
    } catch (error) {
      put(list, failed(error));
    }
  }
  return { element, show(on_) { if (on_) load(); } };
}
