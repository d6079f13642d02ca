/** The zooms of a layer in rows: runs of complete ones are folded into one. */

import { hasGaps } from "./spine.js";

/** @typedef {import("./spine.js").Zoom} Zoom */
/** @typedef {"full" | "none" | "gap"} RowState */
/** @typedef {{state: RowState, zooms: Zoom[]}} Row */

/**
 * The state of a zoom: complete, with nothing stored, or with gaps.
 * @param {Zoom} zoom
 * @returns {RowState}
 */
export function rowState(zoom) {
  if (hasGaps(zoom) || zoom.stale > 0) return "gap";
  return zoom.missing > 0 ? "none" : "full";
}

/**
 * The rows, from low to high; each zoom with gaps has its own.
 * @param {Zoom[]} zooms from low to high
 * @returns {Row[]}
 */
export function rowsOf(zooms) {
  /** @type {Row[]} */
  const rows = [];
  for (const zoom of zooms) {
    const state = rowState(zoom);
    const last = rows.at(-1);
    if (last && last.state === state && state !== "gap") last.zooms.push(zoom);
    else rows.push({ state, zooms: [zoom] });
  }
  return rows;
}

/**
 * The zoom with gaps to put on the map: the nearest to `wanted`, the higher of two.
 * @param {Zoom[]} zooms @param {number} wanted
 */
export function nearestGap(zooms, wanted) {
  const found = zooms.filter((zoom) => rowState(zoom) === "gap").map(({ z }) => z);
  return found.toSorted((a, b) => Math.abs(a - wanted) - Math.abs(b - wanted) || b - a)[0] ?? null;
}
