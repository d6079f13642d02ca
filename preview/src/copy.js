/** Buttons and fields that copy a text. */

import { announce } from "./announce.js";
import { byId, make, setBreakableText } from "./dom.js";
import { icon } from "./icons.js";

const SAID = 1600; // milliseconds that a button says "Copied"

/** @param {string} text */
async function copy(text) {
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text);
      return;
    } catch {
      // denied by the browser; try the old way
    }
  }
  const area = document.createElement("textarea"); // pages without HTTPS have no clipboard API
  const before = document.activeElement;
  area.value = text;
  area.style.cssText = "position:fixed;top:0;opacity:0";
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (before instanceof HTMLElement) before.focus();
  if (!done) throw new Error("not copied");
}

/**
 * A button that copies `text`.
 * @param {string} text
 * @param {{label?: string, name: string, look?: string, mark?: boolean}} how `name` says to a screen reader what is
 * copied, such as "the tile address of ortho"; `look` are classes; `mark` adds the icon
 */
export function copyButton(text, { label = "Copy", name, look = "b", mark = false }) {
  const attributes = { type: "button", class: look, "data-copy": text, "aria-label": `Copy ${name}` };
  return make("button", attributes, ...(mark ? [icon("copy")] : []), label);
}

/**
 * Code with a button that copies it.
 * @param {string} text
 * @param {{name: string, main?: boolean, test?: string}} how `main` fills the button; `test` is a test id
 */
export function copyField(text, { name, main = false, test = "" }) {
  const code = make("code", test ? { "data-testid": test } : {});
  setBreakableText(code, text);
  return make("div", { class: main ? "copy main" : "copy" }, code, copyButton(text, { name }));
}

/**
 * Changes the text of a copy field.
 * @param {HTMLElement} field @param {string} text
 */
export function setCopied(field, text) {
  const code = field.querySelector("code");
  if (code) setBreakableText(code, text);
  field.querySelector("button")?.setAttribute("data-copy", text);
}

/** Buttons that say "Copied". @type {WeakMap<HTMLElement, {label: Node[], timer: number}>} */
const saying = new WeakMap();

/** @param {HTMLElement} button @param {string} word */
function say(button, word) {
  const before = saying.get(button);
  if (before) clearTimeout(before.timer);
  const label = before?.label ?? [...button.childNodes];
  button.style.minWidth ||= `${button.getBoundingClientRect().width}px`; // its neighbours stay where they are
  button.classList.add("said");
  button.replaceChildren(word);
  const timer = window.setTimeout(() => {
    saying.delete(button);
    button.classList.remove("said");
    button.style.minWidth = "";
    button.replaceChildren(...label);
  }, SAID);
  saying.set(button, { label, timer });
}

/** Makes every button with `data-copy` (a text) or `data-copies` (an element's id), present or future, copy. */
export function copyButtons() {
  addEventListener("click", async ({ target }) => {
    const button = target instanceof Element ? target.closest("button:is([data-copy], [data-copies])") : null;
    if (!(button instanceof HTMLElement)) return;
    const text = button.dataset.copy ?? byId(button.dataset.copies ?? "").textContent ?? "";
    const word = await copy(text).then(
      () => "Copied",
      () => "Copy failed",
    );
    say(button, word);
    announce(word);
  });
}
