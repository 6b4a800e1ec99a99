// Rolls: history with search, verdict, laboratory; start and end of one.

import { change, get } from "./api.js";
import { askFor } from "./dialog.js";
import { clock, el, failed, field, isolate, number, plain, put, table } from "./dom.js";
import { now, on, refresh } from "./store.js";

const OUTCOMES = { pass: ["✓", "is-good"], fail: ["✕", "is-bad"], undecided: ["?", "is-warn"] };

const outcome = (name) => {
  const [sign, look] = OUTCOMES[name] ?? ["?", "is-warn"];
  return el("span", { class: look }, `${sign} ${name === "undecided" ? "cannot be decided" : name}`);
};

export function rollsView(openMap, openStatistics) {
  const list = el("div");
  const detail = el("div");
  const search = el("input", { type: "search", "aria-label": "Search rolls", placeholder: "name, grade, recipe, day, note …", oninput: () => later() });
  const begin = el("button", { onclick: () => askFor("Start a roll", [
    ["name", "Name", { required: true, maxlength: 80 }], ["grade", "Grade", { placeholder: "the recipe's own" }], ["why", "Why", { placeholder: "order" }],
  ], (fields) => change("roll/start", { device: now.device, ...fields }).then(load),
  "It begins with the next window. Recipe and calibration are locked until it ends.") }, "Start a roll …");
  const finish = el("button", { onclick: () => askFor(`End roll ${now.roll}`, [["why", "Why", {}]],
    (fields) => change("roll/end", { name: now.roll, ...fields }).then(load)) }, "End the roll …");
  const element = el("div", { class: "quantities" },
    el("section", { class: "card", "aria-label": "Rolls" }, el("div", { class: "row" }, el("h2", {}, "Rolls"), field("search", search), begin, finish), list), detail);
  let timer = null;
  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(load, 150);
  };

  async function load() {
    await refresh();
    try {
      const { rolls } = await get("rolls", { search: search.value });
      put(list, rolls.length ? table(["roll", "grade", "recipe", "length", "started", "ended", ""],
        rolls.map((roll) => [roll.name, roll.grade, roll.recipe, `${number(roll.metres, 1)} m`, clock(roll.started),
          roll.ended ? clock(roll.ended) : "runs", el("button", { "aria-label": `Open ${roll.name}`, onclick: () => open(roll) }, "Open")]), "Rolls")
        : el("p", { class: "dim" }, search.value ? "No roll has all of these words." : "No rolls yet."));
    } catch (error) {
      put(list, failed(error));
    }
    tools();
  }

  function tools() {
    begin.hidden = !now.access.may_change || Boolean(now.roll);
    finish.hidden = !now.access.may_change || !now.roll;
  }

  function open(roll) {
    const verdict = el("div", {}, el("p", { class: "dim" }, "being computed …"));
    const laboratory = el("div", {}, el("p", { class: "dim" }, "being computed …"));
    put(detail, el("section", { class: "card", "aria-label": "Roll" },
      el("div", { class: "row" }, el("h2", {}, "Roll ", isolate(roll.name)),
        el("button", { onclick: () => openMap(roll.name) }, "Roll map"),
        el("button", { onclick: () => openStatistics(roll.name) }, "Statistics"),
        now.access.may_change && el("button", { onclick: () => note(roll) }, "Note …")),
      el("dl", {}, [["device", roll.device], ["grade", roll.grade], ["recipe", roll.recipe], ["calibration", roll.calibration],
        ["length", `${number(roll.metres, 2)} m`]].map(([name, text]) => [el("dt", {}, name), el("dd", {}, isolate(text))])),
      el("h3", {}, "What happened to it"),
      table(["when", "what", "window", "who", "why"], roll.events.map((event) => [clock(event.time), event.kind, `${event.seq} of boot ${event.boot}`, event.who, event.why]), "Events of the roll"),
      el("h3", {}, "Verdict"), verdict, el("h3", {}, "Laboratory"), laboratory));
    detail.scrollIntoView({ block: "nearest" });
    get("verdict", { roll: roll.name }).then((found) => put(verdict,
      el("p", {}, el("strong", {}, outcome(found.outcome)), ` by ${found.measured} of ${found.segments} segments, guard band ${found.guard} u`),
      table(["claim", "outcome", "why"], found.claims.map((claim) => [plain(claim.property), outcome(claim.outcome), claim.sentence]), "Claims of the grade"),
      found.notes.map((text) => el("p", {}, isolate(text)))), (error) => put(verdict, failed(error)));
    get("lab", { roll: roll.name }).then((found) => put(laboratory,
      found.results.length ? table(["result", "value", "U95", "at", "method", "operator", "when"], found.results.map((r) => [r.text, `${r.value} ${r.unit}`,
        r.u == null ? "not stated" : `± ${number(2 * r.u, 3)}`, r.at_m == null ? "whole roll" : `${r.at_m} m`, r.method ?? "", r.operator ?? "", clock(r.time)]), "Laboratory results")
        : el("p", { class: "dim" }, "No results; 'porogauge lab add' keeps them."),
      found.reason && el("p", { class: "dim" }, found.reason),
      found.findings.map((finding) => el("p", {}, `${finding.agrees == null ? "?" : finding.agrees ? "✓" : "✕"} `, isolate(finding.sentence)))),
    (error) => put(laboratory, failed(error)));
  }

  const note = (roll) => askFor("Note", [["text", "Note", { rows: 4, required: true }]],
    (fields) => change("note", { device: roll.device, roll: roll.name, ...fields }));
  on("now", tools);
  return { element, show(on_) { if (on_) load(); } };
}
