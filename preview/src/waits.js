/** Tiles that cannot be seen yet: a slow sheen over those on their way, a hatch over those that failed. */

import { byId, make } from "./dom.js";
import { toScreen } from "./mercator.js";
import { keyOf } from "./tiles.js";

/** @typedef {import("./mercator.js").View} View */
/** @typedef {import("./mercator.js").Tile} Tile */
/** @typedef {import("./tiles.js").TileLog} TileLog */

const LEAST = 48; // pixels, minimum width of a tile to write its state into it

/**
 * The tiles that have no picture of their own yet.
 * @param {Tile[]} tiles @param {TileLog} log
 */
export const waiting = (tiles, log) => tiles.filter((tile) => ["asked", "failed"].includes(log.get(tile)?.state ?? ""));

export class Waits {
  constructor() {
    this.list = byId("waits");
    /** @type {Map<string, HTMLElement>} by tile and state */
    this.shown = new Map();
  }

  /**
   * Lays an element over each waiting tile.
   * @param {View} view @param {Tile[]} tiles @param {TileLog} log
   */
  update(view, tiles, log) {
    /** @type {Map<string, HTMLElement>} */
    const now = new Map();
    for (const tile of waiting(tiles, log)) {
      const seen = log.get(tile);
      if (!seen) continue;
      const name = `${seen.state} ${tile.wrap} ${keyOf(tile)}`;
      const cover = this.shown.get(name) ?? make("div", { class: `wait ${seen.state}`, "data-tile": keyOf(tile) });
      const side = view.world / 2 ** tile.z;
      const [left, top] = toScreen(view, tile.x / 2 ** tile.z + tile.wrap, tile.y / 2 ** tile.z);
      cover.style.setProperty("--out", `${Math.max(0, -left)}px`);
      Object.assign(cover.style, { translate: `${left}px ${top}px`, width: `${side}px`, height: `${side}px` });
      const text = seen.state === "failed" && side >= LEAST ? seen.why || "failed" : "";
      if (cover.textContent !== text) cover.replaceChildren(...(text ? [make("span", {}, text)] : []));
      now.set(name, cover);
    }
    for (const [name, cover] of this.shown) if (!now.has(name)) cover.remove();
    for (const [name, cover] of now) if (!this.shown.has(name)) this.list.append(cover);
    this.shown = now;
  }
}
