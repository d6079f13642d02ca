/** The gaps of one zoom on the map: missing tiles hatched and outlined, failed ones red, block by block. */

import { blockAt, drawnZoom, MOST } from "./blocks.js";
import { byId, paced, setText } from "./dom.js";
import { count } from "./format.js";
import { GapPainter } from "./gappaint.js";
import { toWorld, viewBounds } from "./mercator.js";
import { ask, messageOf } from "./site.js";
import { nearestGap } from "./zoomrows.js";

/** @typedef {import("./mercator.js").View} View */
/** @typedef {import("./blocks.js").Answer} Answer */
/** @typedef {import("./blocks.js").Block} Block */

const PAUSE = 1500; // milliseconds between counts of the view

export class Gaps {
  /**
   * @param {object} given
   * @param {string} given.url
   * @param {() => View} given.look
   * @param {() => number | null} given.zoom of the tiles in view
   * @param {import("./summary.js").Summary} given.summary
   * @param {() => void} given.changed
   */
  constructor({ url, look, zoom, summary, changed }) {
    this.url = url;
    this.look = look;
    this.zoom = zoom;
    this.summary = summary;
    this.changed = changed;
    this.on = false;
    /** @type {number | null | "follow"} null for none, `follow` for that of the view */
    this.chosen = "follow";
    /** @type {Answer | null} */
    this.answer = null;
    /** @type {GapPainter | null} */
    this.painter = null;
    /** @type {Answer | null} that the painter was made for */
    this.painted = null;
    /** @type {Map<number, number>} planned blocks of each zoom */
    this.blocks = new Map();
    this.fault = "";
    this.running = new AbortController();
    this.again = paced(() => this.load(), PAUSE);
  }

  /** The zoom whose gaps are shown, null for none. */
  get drawn() {
    const { zooms } = this.summary;
    if (!this.on || this.chosen === null || !zooms.length) return null;
    if (this.chosen !== "follow") return this.chosen;
    const all = zooms.map(({ z }) => z);
    return nearestGap(zooms, drawnZoom(this.zoom(), Math.min(...all), Math.max(...all)));
  }

  /**
   * Shows the gaps or not, as the tab says.
   * @param {boolean} on
   */
  turn(on) {
    this.on = on;
    this.update();
  }

  /**
   * Shows the gaps of a zoom, or none if they are shown.
   * @param {number} z
   */
  choose(z) {
    this.chosen = this.drawn === z ? null : z;
    this.update();
  }

  /** Draws what is chosen now, after a change of the choice, of the view or of the counts. */
  update() {
    const z = this.drawn;
    document.body.toggleAttribute("data-gaps", z !== null);
    byId("gap-key").hidden = z === null;
    setText(byId("gap-zoom"), String(z ?? ""));
    if (z === null) {
      this.running.abort();
      this.answer = null;
    } else if (this.answer?.z !== z) {
      this.answer = null;
      this.load();
    }
    this.changed();
  }

  /** Handles a change of the view. */
  moved() {
    if (!this.on) return;
    this.update();
    const z = this.drawn;
    if (z !== null && this.boxed(z)) this.again();
  }

  /** Handles new counts. */
  counted() {
    this.update();
    if (this.drawn !== null) this.again();
  }

  /**
   * Whether a zoom has too many blocks for one response, so that only the view is counted.
   * @param {number} z
   */
  boxed(z) {
    return (this.blocks.get(z) ?? 0) > MOST;
  }

  /** Fetches the blocks of the shown zoom; those in view if there are very many. */
  async load() {
    const z = this.drawn;
    if (z === null) return;
    this.running.abort();
    this.running = new AbortController();
    const { signal } = this.running;
    try {
      if (!this.blocks.size) {
        const { zooms } = await ask(this.url, signal);
        this.blocks = new Map(zooms.map((/** @type {{z: number, blocks: number}} */ each) => [each.z, each.blocks]));
      }
      const query = new URLSearchParams(this.summary.scale === 1 ? {} : { scale: "2" });
      if (this.boxed(z)) query.set("bbox", String(viewBounds(this.look()).map((edge) => edge.toFixed(6))));
      const answer = await ask(`${this.url}/${z}${query.size ? `?${query}` : ""}`, signal);
      if (signal.aborted) return;
      [this.answer, this.fault] = [answer, ""];
    } catch (error) {
      if (signal.aborted) return;
      [this.answer, this.fault] = [null, messageOf(error)];
    }
    this.changed();
  }

  /** Forgets what is known of an earlier revision. */
  reset() {
    this.blocks.clear();
    this.answer = null;
    this.update();
  }

  /**
   * Paints the gaps.
   * @param {CanvasRenderingContext2D} context @param {View} view
   */
  paint(context, view) {
    if (!this.answer) return;
    if (this.painted !== this.answer) [this.painted, this.painter] = [this.answer, new GapPainter(this.answer)];
    this.painter?.paint(context, view);
  }

  /**
   * Tells the counts of the block at a place on the map.
   * @param {[left: number, top: number] | null} place pixels; null for no place
   */
  point(place) {
    const { answer } = this;
    const block = answer && place ? blockAt(answer, ...toWorld(this.look(), ...place)) : null;
    const hint = this.fault || (answer ? "Point at the map for the counts of a block of tiles." : "");
    setText(byId("coverage-block"), block && answer ? describe(answer, block) : hint);
  }
}

/**
 * @param {Answer} answer @param {Block} block
 */
function describe({ z }, [x, y, planned, stored, empty, missing, failed, stale = 0]) {
  const parts = Object.entries({ stored, empty, missing, failed, stale }).filter(([, number]) => number);
  return `Block ${z}/${x}/${y}: ${parts.map(([state, number]) => `${count(number)} ${state}`).join(", ")} of ${count(planned)}`;
}
