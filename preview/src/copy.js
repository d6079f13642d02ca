/** Buttons that copy the text of the element they name. */

import { byId, say } from "./dom.js";

/** @param {string} text */
async function copy(text) {
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text);
      return;
    } catch {
      // the browser may refuse; the old way may still do
    }
  }
  const area = document.createElement("textarea"); // pages without https have no clipboard
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

/** Has every button with `data-copies`, now and later, copy what that element says. */
export function copyButtons() {
  addEventListener("click", async ({ target }) => {
    const button = target instanceof Element ? target.closest("button[data-copies]") : null;
    if (!(button instanceof HTMLElement)) return;
    const done = await copy(byId(button.dataset.copies ?? "").textContent ?? "").then(
      () => true,
      () => false,
    );
    say(button, done ? "Copied" : "Select it");
    setTimeout(() => say(button, "Copy"), 2000);
  });
}
