// Flags with their explanation; acknowledge, shelve.

import { change } from "./api.js";
import { clock, el, isolate, plain, put } from "./dom.js";
import { askFor } from "./dialog.js";
import { now, refresh } from "./store.js";

export function acknowledge(flags) {
  askFor(`Acknowledge ${flags.map(plain).join(", ")}`, [["why", "Why", { placeholder: "what was done" }]],
    (fields) => change("acknowledge", { flags, ...fields }).then(refresh));
}

function shelve(flag) {
  askFor(`Shelve ${plain(flag)}`, [
    ["minutes", "Minutes", { type: "number", min: 1, max: 1440, value: 30, required: true }],
    ["why", "Why", {}],
  ], ({ minutes, ...fields }) =>
    change("shelve", { flag, minutes: Number(minutes), device: now.device, ...fields }).then(refresh),
  "A shelved flag is quiet on this page until the time is over. The gauge's outputs do not change.");
}

function unshelve(flag) {
  askFor(`Show ${plain(flag)} again`, [["why", "Why", {}]],
    (fields) => change("unshelve", { flag, device: now.device, ...fields }).then(refresh));
}

function one(flag, known) {
  const name = flag.flag;
  const shelved = now.shelved[name];
  const may = now.access.may_change;
  const what = [flag.active ? "active" : "gone", flag.latched ? "to be acknowledged" : ""].filter(Boolean);
  const classes = ["flag", shelved && "shelved", flag.latched && !flag.active && "latched", !known && "new"];
  return el("article", { class: classes.filter(Boolean).join(" "), "data-flag": name },
    el("h3", {}, `${shelved ? "◌" : "▲"} ${plain(name)}`, el("small", {}, what.join(", "))),
    el("p", {}, flag.sentence), flag.todo && el("p", { class: "dim" }, flag.todo),
    flag.causes?.length > 0 && el("details", { open: openDetails.has(name), ontoggle: (event) => {
      if (event.target.open) openDetails.add(name);
      else openDetails.delete(name);
    } }, el("summary", {}, "What else it could be"), el("ul", {}, flag.causes.map((cause) => el("li", {}, cause)))),
    shelved && el("p", { class: "dim" }, `shelved until ${clock(shelved.until)} by `, isolate(shelved.who), ": ", isolate(shelved.why)),
    may && el("div", { class: "row" },
      flag.latched && el("button", { class: "main", onclick: () => acknowledge([name]) }, "Acknowledge"),
      shelved ? el("button", { onclick: () => unshelve(name) }, "Show again")
        : el("button", { onclick: () => shelve(name) }, "Shelve …")));
}

const openDetails = new Set();

export function flagList() {
  const list = el("div", { "aria-live": "polite" });
  const all = el("button", { class: "main", hidden: true, onclick: () =>
    acknowledge(now.flags.filter((flag) => flag.latched).map((flag) => flag.flag)) }, "Acknowledge all (a)");
  const element = el("section", { class: "card", id: "flags", "aria-label": "Flags" },
    el("div", { class: "row" }, el("h2", {}, "Flags"), all), list);
  let drawn = "";
  let known = new Set();
  return {
    element,
    show() {
      // What is being read or pressed stays; sentences hold numbers that move.
      const key = JSON.stringify([now.flags, now.shelved, now.access.may_change]);
      if (key === drawn || list.contains(document.activeElement)) return;
      drawn = key;
      all.hidden = !now.access.may_change || !now.flags.some((flag) => flag.latched);
      put(list, now.flags.length ? now.flags.map((flag) => one(flag, known.has(flag.flag)))
        : el("p", { class: "is-good" }, "✓ none"));
      known = new Set(now.flags.map((flag) => flag.flag));
    },
  };
}
