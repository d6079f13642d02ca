/** Buttons that copy the text of another element. */

import { byId, setText } from "./dom.js";

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

/** Makes every button with `data-copies`, present or future, copy the text of that element. */
export function copyButtons() {
  addEventListener("click", async ({ target }) => {
    const button = target instanceof Element ? target.closest("button[data-copies]") : null;
    if (!(button instanceof HTMLElement)) return;
    const done = await copy(byId(button.dataset.copies ?? "").textContent ?? "").then(
      () => true,
      () => false,
    );
    setText(button, done ? "Copied" : "Copy failed");
    setTimeout(() => setText(button, "Copy"), 2000);
  });
}
