// Puts the page together: views, keys, state in the head, theme, operator view.

import { acknowledge } from "./flags.js";
import { byId, el, failed, plain, put, say, theme } from "./dom.js";
import { tellOf } from "./dialog.js";
import { gaugeView, historyView } from "./gauge.js";
import { largeView, liveView } from "./live.js";
import { mapView } from "./map.js";
import { STATES } from "./quantities.js";
import { rollsView } from "./rolls.js";
import { statisticsView } from "./statistics.js";
import { current, now, on, start, tell } from "./store.js";

const KEYS = [["1 to 6", "live, roll map, statistics, rolls, gauge, history"], ["o", "operator view"], ["t", "dark or light"],
  ["a", "acknowledge all"], ["+  −  0", "on the roll map: zoom, whole roll"], ["arrows", "on the roll map: move; with shift ten cells"],
  ["enter", "on the roll map: the curve of the row"], ["?", "this list"]];

const chosen = localStorage.getItem("theme");
theme(chosen ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));

const views = {};
let opened = null;

function open(name) {
  opened = name;
  for (const [key, { tab, view }] of Object.entries(views)) {
    const here = key === name;
    tab.setAttribute("aria-selected", String(here));
    tab.tabIndex = here ? 0 : -1;
    view.panel.hidden = !here;
    view.show(here);
  }
}

function add(name, title, view, key) {
  view.panel = el("div", { role: "tabpanel", id: `view-${name}`, "aria-labelledby": `tab-${name}`, hidden: true }, view.element);
  const tab = el("button", { role: "tab", id: `tab-${name}`, "aria-controls": `view-${name}`, title: `${title} (${key})`, onclick: () => open(name) }, title);
  views[name] = { tab, view };
  byId("tabs").append(tab);
  byId("main").append(view.panel);
  return view;
}

function head() {
  const row = now.newest;
  const live = row && current();
  byId("main").classList.toggle("old", !live);
  const [sign, look] = live ? STATES[row.state] ?? ["?", "is-bad"] : ["◌", "dim"];
  byId("state").className = `badge ${look}`;
  const old = row ? `no new windows; last: ${plain(row.state)}` : "no windows yet";
  say(byId("state"), `${sign} ${live ? `${plain(row.state)}${row.state === "measuring" ? "" : `: ${plain(row.state_reason)}`}` : old}`);
  say(byId("device"), now.device ?? "");
  say(byId("roll"), now.roll ? `roll ${now.roll}` : "no roll runs");
  say(byId("link"), !now.connected ? "page: reconnecting …" : now.link?.own ? `link: ${now.link.text}` : "");
  const trouble = [now.link?.failed && `The logger has stopped: ${now.link.text}`, now.error, now.problem, now.access.libraries && `Curves: ${now.access.libraries}`].filter(Boolean);
  byId("banner").hidden = !trouble.length;
  say(byId("banner"), trouble.join("  "));
}

function operator() {
  const large = byId("large");
  large.hidden = !large.hidden;
  document.body.classList.toggle("still", !large.hidden);
  byId("operator").setAttribute("aria-pressed", String(!large.hidden));
  if (!large.hidden) large.querySelector("button").focus();
}

function turn() {
  const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  localStorage.setItem("theme", next);
  theme(next);
  tell("theme");
}

const help = () => tellOf("Keys", el("dl", {}, KEYS.map(([key, text]) => [el("dt", {}, el("kbd", {}, key)), el("dd", {}, text)])));

function key(event) {
  if (event.target.closest("input, select, textarea, dialog") || event.ctrlKey || event.metaKey || event.altKey) return;
  const names = Object.keys(views);
  if (event.key >= "1" && event.key <= String(names.length)) {
    open(names[Number(event.key) - 1]);
    views[opened].tab.focus();
  } else if (event.key === "o" || (event.key === "Escape" && !byId("large").hidden)) operator();
  else if (event.key === "t") turn();
  else if (event.key === "?") help();
  else if (event.key === "a" && now.access.may_change) {
    const latched = now.flags.filter((flag) => flag.latched).map((flag) => flag.flag);
    if (latched.length) acknowledge(latched);
  } else if (event.target.getAttribute("role") === "tab" && ["ArrowLeft", "ArrowRight"].includes(event.key)) {
    const step = event.key === "ArrowRight" ? 1 : -1;
    open(names[(names.indexOf(opened) + step + names.length) % names.length]);
    views[opened].tab.focus();
  } else return;
  event.preventDefault();
}

try {
  await start();
  const map = mapView();
  const statistics = statisticsView();
  add("live", "Live", liveView(), 1);
  add("map", "Roll map", map, 2);
  add("statistics", "Statistics", statistics, 3);
  add("rolls", "Rolls and laboratory", rollsView((roll) => { open("map"); map.of(roll); }, (roll) => { open("statistics"); statistics.of(roll); }), 4);
  add("gauge", "Gauge health", gaugeView(), 5);
  add("history", "History", historyView(), 6);
  const large = largeView(byId("large"), operator);
  say(byId("access"), now.access.may_change ? "may change" : "look only");
  byId("access").title = now.access.may_change ? "This page was opened with the token." : "Open the address that 'porogauge serve' printed to change something.";
  byId("operator").addEventListener("click", operator);
  byId("theme").addEventListener("click", turn);
  byId("help").addEventListener("click", help);
  document.addEventListener("keydown", key);
  on("now", () => { head(); large(); });
  setInterval(() => { head(); large(); }, 200);
  tell("now", now);
  head();
  open("live");
  document.body.dataset.ready = "yes";
} catch (error) {
  put(byId("main"), failed(error));
}
