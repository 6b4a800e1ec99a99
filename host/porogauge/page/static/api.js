// Talking to the server: questions, changes (with the token), live windows.

const found = new URLSearchParams(location.hash.slice(1)).get("token");
if (found) {
  sessionStorage.setItem("token", found);
  history.replaceState(null, "", location.pathname); // not to be seen, copied or kept
}
const token = () => sessionStorage.getItem("token") ?? "";

async function ask(path, options = {}) {
  const headers = token() ? { Authorization: `Bearer ${token()}` } : {};
  const answer = await fetch(path, { ...options, headers: { ...headers, ...options.headers } });
  if (answer.ok) return answer;
  let why = `${answer.status} ${answer.statusText}`;
  try {
    why = (await answer.json()).error ?? why;
  } catch { /* no reason was sent */ }
  throw new Error(why);
}

const query = (parameters) => new URLSearchParams(
  Object.entries(parameters).filter(([, value]) => value != null && value !== ""));

export async function get(what, parameters = {}, signal = undefined) {
  return (await ask(`api/${what}?${query(parameters)}`, { signal })).json();
}

// A picture: its description and what comes after it, see page.views.roll_map.
export async function picture(what, parameters, signal) {
  const bytes = await (await ask(`api/${what}?${query(parameters)}`, { signal })).arrayBuffer();
  const length = new DataView(bytes).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 4, length)));
  const cells = head.rows * head.columns;
  let at = 4 + length;
  const values = new Float32Array(bytes, at, cells);
  const flags = new Uint32Array(bytes, at += 4 * cells, cells);
  const states = new Uint8Array(bytes, at += 4 * cells, cells);
  return { ...head, values, flags, states };
}

export async function change(what, body) {
  const options = { method: "POST", body: JSON.stringify(body) };
  return (await ask(`api/${what}`, { ...options, headers: { "Content-Type": "application/json" } }))
    .json();
}

// Live windows for ever: reconnects with growing pauses.
export function live(onWindows, onLink) {
  let pause = 250;
  const open = () => {
    const socket = new WebSocket(`ws://${location.host}/api/live`,
      token() ? ["porogauge", token()] : ["porogauge"]);
    socket.onopen = () => { pause = 250; onLink(true); };
    socket.onmessage = (event) => onWindows(JSON.parse(event.data));
    socket.onclose = () => {
      onLink(false);
      setTimeout(open, pause);
      pause = Math.min(2 * pause, 4000);
    };
  };
  open();
}
