/** What is stored of a layer's zooms, as the server counts it. */

/** @typedef {[x: number, y: number, planned: number, stored: number, empty: number, missing: number, failed: number, stale?: number]} Block */
/** @typedef {{planned: number, stored: number, empty: number, missing: number, failed: number, stale?: number}} Counts */
/** @typedef {{z: number, side: number, tiles: Counts, blocks: Block[]}} Answer */
/** @typedef {import("./palette.js").BlockState} BlockState */

export const MOST = 20_000; // blocks that the server tells of in one answer
const DEEPER = 3; // zooms below the view whose blocks are as large on the map as its tiles

/** @type {readonly ("planned" | "stored" | "empty" | "missing" | "failed")[]} */
export const COLUMNS = ["planned", "stored", "empty", "missing", "failed"];

/**
 * The one word for a block.
 * @param {Block} block
 * @returns {BlockState}
 */
export function stateOf([, , , stored, empty, missing, failed, stale = 0]) {
  if (failed) return "failed";
  if (missing || stale) return stored + empty ? "partly" : "missing";
  return stored ? "stored" : "empty";
}

/**
 * The zoom whose blocks tell most in a view of tiles of zoom `z`.
 * @param {number | null} z null where the view is too far away @param {number} minzoom @param {number} maxzoom
 */
export const drawnZoom = (z, minzoom, maxzoom) => Math.min(maxzoom, (z ?? minzoom) + DEEPER);

/**
 * The block that holds a point of the unit square.
 * @param {Answer} answer @param {number} x @param {number} y
 */
export function blockAt({ z, side, blocks }, x, y) {
  const corner = (/** @type {number} */ at) => Math.floor((at * 2 ** z) / side) * side;
  const [column, row] = [corner(x - Math.floor(x)), corner(y)];
  return blocks.find((block) => block[0] === column && block[1] === row) ?? null;
}
