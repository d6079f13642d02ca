/** Where a layer's tiles are, and what came of asking for them. */

import { median } from "./format.js";

/** @typedef {"stored" | "rendered" | "empty" | "failed"} State */
/** @typedef {{state: State | "asked", ms: number}} Seen */
/** @typedef {{z: number, x: number, y: number}} Name */

/** @type {readonly State[]} */
export const STATES = ["stored", "rendered", "empty", "failed"];

const REMEMBERED = 20_000; // tiles

/** @param {Name} tile */
export const keyOf = ({ z, x, y }) => `${z}/${x}/${y}`;

/**
 * A TileJSON's tile template with the part before `{z}` replaced: the page works wherever its folder lies.
 * @param {string} template @param {string} folder the address of the layer's folder, with its last slash
 */
export function templateIn(template, folder) {
  const start = template.indexOf("{z}");
  if (start < 0) throw new Error(`no {z} in the tile address ${template}`);
  return folder + template.slice(start);
}

/**
 * The address of one tile.
 * @param {string} template @param {Name} tile @param {boolean} double whether the tile of 512 pixels is meant
 */
export function address(template, { z, x, y }, double) {
  const row = double ? `${y}@2x` : `${y}`;
  return template.replace("{z}", `${z}`).replace("{x}", `${x}`).replace("{y}", row);
}

/**
 * The revision that a tile address asks for, empty where it names none.
 * @param {string} template
 */
export const revisionOf = (template) => new URLSearchParams(template.split("?")[1] ?? "").get("v") ?? "";

/** What became of each tile that was asked for, the latest answer of each. */
export class TileLog {
  /** @param {() => void} changed called after each change */
  constructor(changed = () => {}) {
    /** @type {Map<string, Seen>} */
    this.seen = new Map();
    this.changed = changed;
  }

  /** @param {Name} tile @param {State | "asked"} state @param {number} ms */
  note(tile, state, ms = 0) {
    const key = keyOf(tile);
    this.seen.delete(key); // so that the map's order is by age
    this.seen.set(key, { state, ms });
    const oldest = this.seen.size > REMEMBERED ? this.seen.keys().next().value : undefined;
    if (oldest !== undefined) this.seen.delete(oldest);
    this.changed();
  }

  /** @param {Name} tile */
  get(tile) {
    return this.seen.get(keyOf(tile));
  }

  /**
   * An asked tile that nobody waits for any more.
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
   * How many of `tiles` are in each state, and the median milliseconds of those that were answered.
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
