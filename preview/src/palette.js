/** The page's colours. */

import { watchTheme } from "./theme.js";

/** @type {Map<string, string>} */
const known = new Map();

/**
 * Clears the colours when the page switches between dark and light.
 * @param {() => void} changed
 */
export function watchPalette(changed) {
  watchTheme(() => {
    known.clear();
    changed();
  });
}

/**
 * The colour with this name in the style sheet.
 * @param {string} name
 */
export function colour(name) {
  let value = known.get(name);
  if (value === undefined) {
    value = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
    known.set(name, value);
  }
  return value;
}
