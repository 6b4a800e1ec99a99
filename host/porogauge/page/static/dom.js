// Elements and texts. Whatever comes from outside becomes text, never markup.

export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "class") made.className = value;
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children.flat(Infinity).filter((child) => child != null && child !== false));
  return made;
}

export const byId = (id) => document.getElementById(id);

export function put(parent, ...children) {
  parent.replaceChildren(...children.flat(Infinity).filter((child) => child != null && child !== false));
  return parent;
}

// Sets a text only where it differs, so that nothing is laid out for nothing.
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export const plain = (name) => String(name ?? "").replaceAll("_", " ");

export function number(value, digits = 2) {
  return value == null || !Number.isFinite(value) ? "–" : value.toFixed(digits);
}

export function clock(seconds) {
  return seconds == null ? "" : new Date(seconds * 1000).toLocaleString("sv-SE");
}

export function isolate(text) {
  // A name may hold letters of any direction: it must not turn what stands beside it.
  return el("bdi", {}, String(text ?? ""));
}

export function table(heads, rows, caption) {
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    el("table", {},
      el("caption", { class: "hidden" }, caption),
      el("thead", {}, el("tr", {}, heads.map((head) => el("th", { scope: "col" }, head)))),
      el("tbody", {}, rows.map((cells) => el("tr", {}, cells.map((cell) => el("td", {},
        cell instanceof Node ? cell : isolate(cell))))))));
}

export function field(label, input) {
  return el("label", { class: "field" }, el("span", {}, label), input);
}

export function choice(options, value, onchange, label) {
  const made = el("select", { "aria-label": label, onchange: () => onchange(made.value) },
    options.map(([key, text]) => el("option", { value: key, selected: key === value }, text)));
  return made;
}

export function failed(error) {
  return el("p", { class: "error", role: "alert" }, String(error.message ?? error));
}

let colours = new Map();

// A colour of the style sheet, looked up once for a theme.
export function colour(name) {
  if (!colours.has(name)) {
    const style = getComputedStyle(document.documentElement);
    colours.set(name, style.getPropertyValue(`--${name}`).trim());
  }
  return colours.get(name);
}

export function theme(name) {
  if (name) document.documentElement.dataset.theme = name;
  colours = new Map();
}
