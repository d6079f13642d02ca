/** Blocks of a layer and the states of their tiles, as counted by the server. */

/** @typedef {[x: number, y: number, planned: number, stored: number, empty: number, missing: number, failed: number, stale?: number]} Block */
/** @typedef {{planned: number, stored: number, empty: number, missing: number, failed: number, stale?: number}} Counts */
/** @typedef {[x: number, y: number, missing: string, failed: string]} MaskedBlock masks in hexadecimal */
/** @typedef {{z: number, side: number, tiles: Counts, blocks: Block[], gaps?: MaskedBlock[]}} Answer */

export const MOST = 20_000; // blocks in one response of the server
const DEEPER = 3; // zooms between the view and the zoom with blocks as large as its tiles

/**
 * The best zoom of blocks for a view with tiles of zoom `z`.
 * @param {number | null} z null if the view is too far out @param {number} minzoom @param {number} maxzoom
 */
export const drawnZoom = (z, minzoom, maxzoom) => Math.min(maxzoom, (z ?? minzoom) + DEEPER);

/**
 * The block at a point of the unit square.
 * @param {Answer} answer @param {number} x @param {number} y
 */
export function blockAt({ z, side, blocks }, x, y) {
  const corner = (/** @type {number} */ at) => Math.floor((at * 2 ** z) / side) * side;
  const [column, row] = [corner(x - Math.floor(x)), corner(y)];
  return blocks.find((block) => block[0] === column && block[1] === row) ?? null;
}
