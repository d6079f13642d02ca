/** The view in the page's URL: `#zoom/latitude/longitude`, with the zoom of 256-pixel tiles. */

import { decimals } from "./format.js";

/** @typedef {{zoom: number, latitude: number, longitude: number}} Place */

/** @param {Place} place */
export function formatHash({ zoom, latitude, longitude }) {
  const digits = decimals(zoom);
  return `#${Number(zoom.toFixed(2))}/${latitude.toFixed(digits)}/${longitude.toFixed(digits)}`;
}

/**
 * The place in a hash, null if it is invalid.
 * @param {string} hash
 * @returns {Place | null}
 */
export function parseHash(hash) {
  const parts = hash.replace(/^#/, "").split("/");
  if (parts.length !== 3 || parts.some((part) => part.trim() === "")) return null;
  const [zoom, latitude, longitude] = /** @type {[number, number, number]} */ (parts.map(Number));
  if (![zoom, latitude, longitude].every(Number.isFinite) || Math.abs(latitude) > 90) return null;
  return { zoom, latitude, longitude };
}
