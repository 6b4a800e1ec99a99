// Statistics of a roll or of all that is stored of a gauge.

import { get } from "./api.js";
import { Chart } from "./chart.js";
import { choice, el, failed, field, number, plain, put, table } from "./dom.js";
import { now } from "./store.js";

const VALUES = [["thickness", "Thickness"], ["porosity", "Porosity"], ["permittivity", "Permittivity"], ["solid", "Solid-equivalent thickness"]];

function estimate(found, digits = 3) {
  if (!found || found.value == null) return `none: ${found?.reason ?? ""}`;
  const text = number(found.value, digits);
  return found.low95 == null ? `${text}  (${found.reason ?? "no interval"})` : `${text}  (95 %: ${number(found.low95, digits)} to ${number(found.high95, digits)})`;
}

export function statisticsView() {
  let roll = null;
  let value = "thickness";
  let charts = [];
  const result = el("div", { class: "quantities" });
  const title = el("h2", {}, "Statistics");
  const element = el("div", { class: "quantities" }, el("section", { class: "card", "aria-label": "Choice" },
    el("div", { class: "row" }, title, field("of", choice(VALUES, value, (chosen) => { value = chosen; load(); }, "Quantity")),
      el("button", { onclick: () => load() }, "Compute again"))), result);

  async function load() {
    put(title, roll ? `Statistics of ${roll}` : "Statistics of all that is stored");
    put(result, el("p", { class: "dim", role: "status" }, "being computed; a day of windows takes seconds …"));
    try {
      show(await get("statistics", { roll, value, device: now.chosen }));
    } catch (error) {
      put(result, failed(error));
    }
  }

  function show(found) {
    charts.forEach((chart) => chart.destroy());
    charts = [];
    const { unit } = found;
    const holder = el("div", { class: "chart", role: "img", "aria-label": "Control chart" });
    const spectrum = el("div", { class: "chart", role: "img", "aria-label": "Spectrum" });
    const capability = found.capability ?? {};
    const signals = Object.entries(found.charts).flatMap(([name, chart]) => Object.entries(chart.signals ?? {})
      .filter(([, signal]) => signal.count).map(([rule, signal]) => [plain(name), plain(rule), signal.count, signal.by_chance == null ? "" : number(signal.by_chance, 1)]));
    put(result,
      el("div", { class: "grid" },
        el("section", { class: "card", "aria-label": "Values" }, el("h3", {}, "Values"), el("dl", {}, [
          ["windows", `${found.windows_used} of ${found.windows}`], ["length", `${number(found.length_m, 1)} m`],
          ["mean", `${estimate(found.mean)} ${unit}`], ["standard deviation", `${estimate(found.sd)} ${unit}`],
          ["U95 of a window", found.window_u95 == null ? "none" : `${number(found.window_u95, 3)} ${unit}`],
          ["readings", found.readings.reason ?? `${found.readings.used} over ${found.readings.length_m} m`],
          ["autocorrelation", found.autocorrelation.reason ?? `length ${estimate(found.autocorrelation.length_m)} m`],
        ].map(([name, text]) => [el("dt", {}, name), el("dd", {}, text)]))),
        el("section", { class: "card", "aria-label": "Capability" }, el("h3", {}, "Capability"), capability.reason ? el("p", {}, capability.reason)
          : el("dl", {}, [["limits", `${found.limits.lower ?? "–"} to ${found.limits.upper ?? "–"} ${unit} (${found.limits.source})`],
            ...["cp", "cpk", "pp", "ppk", "cnpk"].map((name) => [name.toUpperCase(), estimate(capability[name], 2)])]
            .map(([name, text]) => [el("dt", {}, name), el("dd", {}, text)]))),
        el("section", { class: "card", "aria-label": "Variance" }, el("h3", {}, "Variance components"), found.variance_components.reason
          ? el("p", {}, found.variance_components.reason) : el("div", {}, el("p", { class: "dim" }, found.variance_components.method),
            el("dl", {}, Object.entries(found.variance_components.components).map(([name, part]) => [el("dt", {}, plain(name)),
              el("dd", {}, part.value == null ? part.reason : `${part.percent == null ? "" : `${number(part.percent, 1)} %  `}${number(part.value, 5)} ${found.variance_components.unit}`)]))))),
      el("section", { class: "card", "aria-label": "Control chart" }, el("h3", {}, found.chart ? `Means of subgroups (${plain(found.chart.name)}), limits 3 sigma` : "Control chart"),
        found.chart ? holder : el("p", {}, "none"), signals.length > 0 && table(["chart", "rule", "signals", "by chance"], signals, "Signals of the rules")),
      el("section", { class: "card", "aria-label": "Spectrum" }, el("h3", {}, "Spectrum"), found.spectrum.reason ? el("p", {}, found.spectrum.reason) : [spectrum,
        table(["period", "95 %", "amplitude", "of the variance", "roller"], found.spectrum.periods.slice(0, 15).map((p) => [`${number(p.period_mm, 1)} mm`,
          `${number(p.low95_mm, 1)} to ${number(p.high95_mm, 1)}`, `${number(p.amplitude, 4)} ${unit}`, `${number(p.share_percent, 2)} %`, (p.rollers ?? []).join(", ")]), "Periods")]),
      found.notes.length > 0 && el("section", { class: "card", "aria-label": "Notes" }, el("h3", {}, "What to know"), found.notes.map((note) => el("p", {}, note))));
    if (found.chart) {
      const chart = new Chart(holder, { name: "accent", label: found.value, unit, height: 220, bands: 0, xLabel: "metres", points: found.chart.metres.length < 400 });
      chart.limits = { lolo: found.chart.lower, hihi: found.chart.upper };
      chart.flags = found.chart.beyond;
      chart.draw([found.chart.metres, found.chart.points]);
      charts.push(chart);
    }
    if (found.spectrum_curve) {
      const chart = new Chart(spectrum, { name: "accent", label: "density", unit: `${unit}² m`, height: 200, bands: 0, xLabel: "cycles a metre" });
      chart.draw([found.spectrum_curve.frequency_per_m, found.spectrum_curve.density]);
      charts.push(chart);
    }
  }

  let loaded = false;
  return {
    element,
    show(on_) {
      if (on_ && !loaded) load();
      loaded ||= on_;
    },
    of(chosen) {
      roll = chosen;
      loaded = true;
      load();
    },
  };
}
