/** Short notes over the map. */

import { byId, make } from "./dom.js";
import { messageOf } from "./site.js";

const SHOWN = 8000; // milliseconds a note is shown

/**
 * Shows a note for some seconds.
 * @param {string} text
 */
export function note(text) {
  const element = make("p", {}, text);
  byId("notes").replaceChildren(element);
  setTimeout(() => element.remove(), SHOWN);
}

/** @param {unknown} error */
export const showError = (error) => note(messageOf(error));
