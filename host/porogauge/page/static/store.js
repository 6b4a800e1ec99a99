// What the page knows now, and who wants to be told.

import { get, live } from "./api.js";

export const now = {
  device: null, newest: null, limits: null, flags: [], shelved: {}, roll: null, link: {},
  access: { may_change: false, libraries: "" }, lines: null, connected: false, complete: 1,
};

const listeners = { now: [], windows: [], theme: [] };
export const on = (what, listener) => listeners[what].push(listener);
export const tell = (what, value) => listeners[what].forEach((listener) => listener(value));

const SILENT_MS = 5000;

// Whether windows come: without new ones a number is old, and has to be shown as such.
export const current = () =>
  now.connected && now.heard !== undefined && performance.now() - now.heard < SILENT_MS;

let asking = false;
let again = false;

// Asks what does not come with the windows: limits, explained flags, shelves, roll, link.
export async function refresh() {
  if (asking) {
    again = true;
    return;
  }
  asking = true;
  try {
    const found = await get("now", { device: now.chosen });
    if (now.newest && found.newest && found.newest.boot === now.newest.boot
        && found.newest.seq < now.newest.seq) found.newest = now.newest;
    Object.assign(now, found, { error: "" });
  } catch (error) {
    now.error = error.message;
  }
  asking = false;
  tell("now", now);
  if (again) {
    again = false;
    await refresh();
  }
}

export async function loadLines() {
  now.lines = await get("lines", { device: now.chosen });
  return now.lines;
}

let flags = "";

export async function start() {
  now.access = await get("access");
  await refresh();
  live(({ device, windows }) => {
    if (now.device && device !== now.device) return;
    const last = windows[windows.length - 1];
    now.newest = last;
    now.heard = performance.now();
    tell("windows", windows);
    const changed = `${last.state} ${last.flags} ${last.latched}`;
    if (changed !== flags) {
      flags = changed;
      name(last);
      soon();
    }
  }, (connected) => {
    now.connected = connected;
    if (connected) refresh();
    else tell("now", now);
  });
  setInterval(refresh, 2000);
}

// Flags are named at once; what was said of them before goes on until it is said anew.
function name(row) {
  const names = [...new Set([...row.flags, ...row.latched])];
  now.flags = names.map((flag) => ({
    ...now.flags.find((known) => known.flag === flag) ?? { flag, sentence: "", causes: [] },
    active: row.flags.includes(flag), latched: row.latched.includes(flag),
  }));
  tell("now", now);
}

// Flags may change with every window: twice a second is enough to explain them.
let timer = null;
function soon() {
  timer ??= setTimeout(() => {
    timer = null;
    refresh();
  }, 500);
}
