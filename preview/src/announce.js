/** Says what changed to those who do not see it. */

import { make } from "./dom.js";

/** @type {HTMLElement | undefined} */
let region;

/**
 * Has a screen reader say `text`, also if it is the same as before.
 * @param {string} text
 */
export function announce(text) {
  if (!region) {
    region = make("p", { class: "hidden", role: "status", "data-testid": "said" });
    document.body.append(region);
  }
  const same = region.textContent === text;
  region.textContent = same ? `${text}\u00a0` : text;
}
