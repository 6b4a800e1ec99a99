// A form in front of the page: who does it, why, and what else a change needs.

import { byId, el, failed, field, put } from "./dom.js";

// `fields`: [name, label, attributes]. `send` gets the filled-in object and returns a promise.
export function askFor(title, fields, send, text = "") {
  const dialog = byId("dialog");
  const inputs = [
    ...fields,
    ["by", "Who", { value: localStorage.getItem("by") ?? "", required: true, maxlength: 80, autocomplete: "name" }],
    ["key", "Key", { type: "password", autocomplete: "off", placeholder: "where the gauge asks for one" }],
  ].map(([name, label, attributes]) => [name, label, el(attributes.rows ? "textarea" : "input", { name, maxlength: 500, ...attributes })]);
  const problem = el("div");
  const form = el("form", { method: "dialog" },
    el("h2", { id: "dialog-title" }, title), text && el("p", { class: "dim" }, text),
    inputs.map(([, label, input]) => field(label, input)), problem,
    el("div", { class: "row end" },
      el("button", { type: "button", onclick: () => dialog.close() }, "Cancel"),
      el("button", { class: "main", type: "submit" }, "Do it")));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const filled = Object.fromEntries(inputs.map(([name, , input]) => [name, input.value.trim()]).filter(([, value]) => value));
    localStorage.setItem("by", filled.by ?? "");
    try {
      await send(filled);
      dialog.close();
    } catch (error) {
      put(problem, failed(error));
    }
  });
  put(dialog, form);
  dialog.showModal();
}

export function tellOf(title, ...content) {
  const dialog = byId("dialog");
  put(dialog, el("h2", { id: "dialog-title" }, title), content,
    el("div", { class: "row end" }, el("button", { class: "main", onclick: () => dialog.close() }, "Close")));
  dialog.showModal();
}
