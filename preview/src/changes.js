/** The tiles that differ between the shown revision and the one beside it, outlined on the map. */

import { byId, input, setText } from "./dom.js";
import { counted } from "./format.js";
import { copies, toScreen, visible } from "./mercator.js";
import { colour } from "./palette.js";
import { addSides } from "./rim.js";
import { ask } from "./site.js";

/** @typedef {import("./mercator.js").View} View */
/** @typedef {{count: number, z: number, tiles: [number, number][]}} Changed */

const LEAST = 3; // pixels, minimum width of an outlined tile

export class Changes {
  /** @param {{url: string, changed: () => void}} given the URL of the layer's changes */
  constructor({ url, changed }) {
    this.url = url;
    this.changed = changed;
    /** @type {Changed | null} */
    this.answer = null;
    this.running = new AbortController();
    this.toggle = input("changes-toggle");
    this.toggle.addEventListener("change", changed);
  }

  /**
   * Fetches the changes since a revision.
   * @param {string} revision empty for none
   */
  async since(revision) {
    this.running.abort();
    this.running = new AbortController();
    const { signal } = this.running;
    this.answer = null;
    byId("changes-row").hidden = true;
    setText(byId("compare-note"), revision ? "Looking for the changed tiles \u2026" : "");
    this.changed();
    if (!revision) return;
    /** @type {Changed | null} */
    const answer = await ask(`${this.url}/${revision}`, signal).catch(() => null);
    if (signal.aborted) return;
    this.answer = answer;
    byId("changes-row").hidden = !answer?.count;
    setText(byId("compare-note"), told(answer));
    this.changed();
  }

  /**
   * Paints the outlines.
   * @param {CanvasRenderingContext2D} context @param {View} view
   */
  paint(context, view) {
    const { answer } = this;
    if (!answer || !this.toggle.checked) return;
    const { z, tiles } = answer;
    const width = 1 / 2 ** z;
    const [x0, y0, x1, y1] = visible(view);
    const changed = new Set(tiles.map(String));
    const rim = new Path2D();
    for (const [column, row] of tiles) {
      const [x, y] = [column * width, row * width];
      if (y > y1 || y + width < y0) continue;
      for (const world of copies(view, x, x + width)) {
        if (x + world > x1 || x + world + width < x0) continue;
        const [left, top] = toScreen(view, x + world, y);
        const side = Math.max(LEAST, width * view.world);
        addSides(rim, [left, top, left + side, top + side], (across, down) =>
          changed.has(`${column + across},${row + down}`),
        );
      }
    }
    context.lineCap = "square";
    for (const [ink, line] of /** @type {const} */ ([
      ["panel", 4],
      ["rendered", 2],
    ])) {
      context.strokeStyle = colour(ink);
      context.lineWidth = line;
      context.stroke(rim);
    }
  }
}

/** @param {Changed | null} answer */
function told(answer) {
  if (!answer) return "Earlier revisions are rendered for display and not stored.";
  if (!answer.count) return "No tile differs.";
  return `${counted(answer.count, "tile")} of the highest zoom may differ. Earlier revisions are rendered for display and not stored.`;
}
