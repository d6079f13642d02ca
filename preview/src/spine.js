/** The spine: a cell for each zoom of a layer, complete, with gaps, failed or empty. */

import { make } from "./dom.js";
import { ranges } from "./format.js";

/** @typedef {"full" | "gap" | "failed" | "both" | "none"} CellState */
/**
 * @typedef {object} Zoom counts of tiles; `planned` is the sum of stored, empty, missing and failed
 * @property {number} z
 * @property {number} planned
 * @property {number} stored
 * @property {number} empty
 * @property {number} missing
 * @property {number} failed
 * @property {number} stale of the stored ones
 * @property {number} bytes
 */

const LOUD = 65; // percent of a cell that what is there fills at most, so that the smallest gap is seen
const SEEN = 20; // percent of a cell that what is there fills at least

/**
 * Whether a zoom is loud: tiles failed, or some are stored and some are not.
 * @param {Zoom} zoom
 */
export const hasGaps = ({ stored, empty, missing, failed }) => failed > 0 || (missing > 0 && stored + empty > 0);

/**
 * The state of a zoom's cell, and the percentage of it that what is stored fills.
 * @param {Zoom} zoom
 * @returns {{state: CellState, share: number}}
 */
export function cellOf({ planned, stored, empty, missing, failed }) {
  const there = stored + empty;
  if (missing <= 0 && failed <= 0) return { state: "full", share: 100 };
  if (there === 0 && failed <= 0) return { state: "none", share: 0 };
  const share = there === 0 ? 0 : Math.min(LOUD, Math.max(SEEN, Math.round((100 * there) / planned)));
  const state = missing > 0 && failed > 0 ? "both" : failed > 0 ? "failed" : "gap";
  return { state, share };
}

/**
 * The spine in words.
 * @param {Zoom[]} zooms from low to high
 */
export function spineWords(zooms) {
  const states = zooms.map((zoom) => ({ z: zoom.z, ...cellOf(zoom) }));
  const of = (/** @type {CellState[]} */ ...wanted) =>
    states.filter(({ state }) => wanted.includes(state)).map(({ z }) => z);
  const said = [
    { name: "complete", found: of("full") },
    { name: "with gaps", found: of("gap", "both") },
    { name: "with failed tiles", found: of("failed", "both") },
    { name: "not stored", found: of("none") },
  ].filter(({ found }) => found.length);
  if (said.length === 1 && said[0]) return `All zooms ${said[0].name}`;
  return said.map(({ name, found }) => `${found.length > 1 ? "zooms" : "zoom"} ${ranges(found)} ${name}`).join("; ");
}

/**
 * Draws the spine into `into`, an element of the class `spine`.
 * @param {HTMLElement} into @param {Zoom[]} zooms from low to high
 */
export function fillSpine(into, zooms) {
  const cells = zooms.map((zoom) => {
    const { state, share } = cellOf(zoom);
    return make("i", { "data-state": state, "data-zoom": `${zoom.z}`, style: `--share:${share}%` });
  });
  into.setAttribute("role", "img");
  into.setAttribute("aria-label", spineWords(zooms));
  into.replaceChildren(...cells);
}

/**
 * A spine.
 * @param {Zoom[]} zooms from low to high
 */
export function spine(zooms) {
  const made = make("div", { class: "spine", "data-testid": "spine" });
  fillSpine(made, zooms);
  return made;
}
