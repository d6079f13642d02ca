/** The view and the tab in the page's URL: `#zoom/latitude/longitude/tab`, with the zoom of 256-pixel tiles. */

import { decimals } from "./format.js";

/** @typedef {{zoom: number, latitude: number, longitude: number}} Place */
/** @typedef {{place: Place | null, tab: string}} Address */

/**
 * @param {Place | null} place @param {string} [tab] empty for the first one
 */
export function formatHash(place, tab = "") {
  if (!place) return tab ? `#${tab}` : "";
  const { zoom, latitude, longitude } = place;
  const digits = decimals(zoom);
  const view = `#${Number(zoom.toFixed(2))}/${latitude.toFixed(digits)}/${longitude.toFixed(digits)}`;
  return tab ? `${view}/${tab}` : view;
}

/**
 * The place and the tab in a hash; either may be missing.
 * @param {string} hash
 * @returns {Address}
 */
export function parseHash(hash) {
  const parts = hash.replace(/^#/, "").split("/");
  const tab = /^[a-z]+$/.test(parts.at(-1) ?? "") ? (parts.pop() ?? "") : "";
  return { place: placeOf(parts), tab };
}

/**
 * The place of a hash's parts, null if they are invalid.
 * @param {string[]} parts
 * @returns {Place | null}
 */
function placeOf(parts) {
  if (parts.length !== 3 || parts.some((part) => part.trim() === "")) return null;
  const [zoom, latitude, longitude] = /** @type {[number, number, number]} */ (parts.map(Number));
  if (![zoom, latitude, longitude].every(Number.isFinite) || Math.abs(latitude) > 90) return null;
  return { zoom, latitude, longitude };
}
