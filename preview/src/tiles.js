/** URLs of a layer's tiles, and results of requests. */

import { median } from "./format.js";

/** @typedef {"stored" | "rendered" | "empty" | "failed"} State */
/** @typedef {{state: State | "asked", ms: number, why: string}} Seen `why` is the reason of a failure */
/** @typedef {{z: number, x: number, y: number}} Name */

/** @type {readonly State[]} */
export const STATES = ["stored", "rendered", "empty", "failed"];

const REMEMBERED = 20_000; // tiles

/** @param {Name} tile */
export const keyOf = ({ z, x, y }) => `${z}/${x}/${y}`;

/**
 * A TileJSON's tile template with the part before `{z}` replaced, so that the page works in any folder.
 * @param {string} template @param {string} folder the URL of the layer's folder, with a trailing slash
 */
export function templateIn(template, folder) {
  const start = template.indexOf("{z}");
  if (start < 0) throw new Error(`no {z} in the tile URL ${template}`);
  return folder + template.slice(start);
}

/**
 * The URL of one tile.
 * @param {string} template @param {Name} tile @param {boolean} double whether to use the tile of 512 pixels
 */
export function address(template, { z, x, y }, double) {
  const row = double ? `${y}@2x` : `${y}`;
  return template.replace("{z}", `${z}`).replace("{x}", `${x}`).replace("{y}", row);
}

/**
 * The revision in a tile URL, empty if there is none.
 * @param {string} template
 */
export const revisionOf = (template) => new URLSearchParams(template.split("?")[1] ?? "").get("v") ?? "";

/** The latest result for each requested tile. */
export class TileLog {
  /** @param {() => void} changed called after each change */
  constructor(changed = () => {}) {
    /** @type {Map<string, Seen>} */
    this.seen = new Map();
    this.changed = changed;
  }

  /** @param {Name} tile @param {State | "asked"} state @param {number} [ms] @param {string} [why] it failed */
  note(tile, state, ms = 0, why = "") {
    const key = keyOf(tile);
    this.seen.delete(key); // keeps the map ordered by age
    this.seen.set(key, { state, ms, why });
    const oldest = this.seen.size > REMEMBERED ? this.seen.keys().next().value : undefined;
    if (oldest !== undefined) this.seen.delete(oldest);
    this.changed();
  }

  /** @param {Name} tile */
  get(tile) {
    return this.seen.get(keyOf(tile));
  }

  /**
   * Removes a cancelled request.
   * @param {Name} tile
   */
  forget(tile) {
    if (this.get(tile)?.state === "asked") this.seen.delete(keyOf(tile));
    this.changed();
  }

  clear() {
    this.seen.clear();
    this.changed();
  }

  /**
   * The number of `tiles` in each state, and the median milliseconds of the successful ones.
   * @param {Iterable<Name>} tiles
   */
  summary(tiles) {
    const counts = { stored: 0, rendered: 0, empty: 0, failed: 0, asked: 0 };
    const times = [];
    for (const key of new Set([...tiles].map(keyOf))) {
      const seen = this.seen.get(key);
      if (!seen) continue;
      counts[seen.state] += 1;
      if (seen.state !== "asked" && seen.state !== "failed") times.push(seen.ms);
    }
    return { ...counts, median: median(times) };
  }
}
