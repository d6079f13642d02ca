/** The view in the page's address: `#zoom/latitude/longitude`, its zoom that of the 256-pixel tiles seen at full size. */

import { decimals } from "./format.js";

/** @typedef {{zoom: number, latitude: number, longitude: number}} Place */

/** @param {Place} place */
export function formatHash({ zoom, latitude, longitude }) {
  const digits = decimals(zoom);
  return `#${Number(zoom.toFixed(2))}/${latitude.toFixed(digits)}/${longitude.toFixed(digits)}`;
}

/**
 * The place that a hash names, null where it names none.
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
