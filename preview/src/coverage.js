/** The coverage map: a table of all zooms, and the blocks of one zoom on the map. */

import { blockAt, COLUMNS, drawnZoom, MOST, stateOf } from "./blocks.js";
import { button, byId, grouped, input, make, paced, select, setText } from "./dom.js";
import { count } from "./format.js";
import { copies, toScreen, toWorld, viewBounds, visible } from "./mercator.js";
import { BLOCK_STATES, blockColour, blockFill, colour } from "./palette.js";
import { ask, messageOf, Refused } from "./site.js";

/** @typedef {import("./mercator.js").View} View */
/** @typedef {import("./blocks.js").Answer} Answer */
/** @typedef {import("./blocks.js").Block} Block */
/** @typedef {import("./site.js").Job} Job */

const PAUSE = 3000; // milliseconds between counts while a job runs
const SMALL = 14; // pixels; smaller blocks are drawn without a pattern
const NAMES = { stored: "stored", partly: "partly stored", missing: "missing", empty: "empty", failed: "failed" };

export class Coverage {
  /**
   * @param {{url: string, look: () => View, zoom: () => number | null, changed: () => void}} given
   * `zoom` is the zoom of the tiles in view
   */
  constructor({ url, look, zoom, changed }) {
    this.url = url;
    this.look = look;
    this.zoom = zoom;
    this.changed = changed;
    /** @type {Map<number, {tiles: number, blocks: number}>} planned tiles and blocks of each zoom */
    this.planned = new Map();
    /** @type {Map<number, Answer>} */
    this.answers = new Map();
    /** @type {Map<string, string> | null} progress of each job at each zoom in the last event */
    this.progress = null;
    /** @type {Set<number>} zooms to be counted again */
    this.stale = new Set();
    this.running = new AbortController();
    this.loading = Promise.resolve();
    this.toggle = input("coverage-toggle");
    this.choice = select("coverage-zoom");
    this.scale = select("coverage-scale");
    this.body = /** @type {HTMLTableSectionElement} */ (byId("coverage").querySelector("tbody"));
    this.later = paced(() => this.recount(), PAUSE);
    this.toggle.addEventListener("change", () => this.switched());
    this.choice.addEventListener("change", () => this.moved());
    this.scale.addEventListener("change", () => this.start());
    button("coverage-refresh").addEventListener("click", () => this.start());
    this.legend();
  }

  get on() {
    return this.toggle.checked;
  }

  /** The zoom of the blocks on the map. */
  get drawn() {
    if (this.choice.value !== "") return Number(this.choice.value);
    const zooms = [...this.planned.keys()];
    return zooms.length ? drawnZoom(this.zoom(), Math.min(...zooms), Math.max(...zooms)) : -1;
  }

  switched() {
    byId("coverage-body").hidden = !this.on;
    byId("coverage-hint").hidden = this.on;
    if (this.on) this.start();
    else this.running.abort();
    this.changed();
  }

  /** Counts all zooms, low ones first. */
  async start() {
    if (!this.on) return;
    this.running.abort();
    this.running = new AbortController();
    this.answers.clear();
    try {
      const { zooms } = await ask(this.url, this.running.signal);
      this.planned = new Map(
        zooms.map((/** @type {{z: number, tiles: number, blocks: number}} */ each) => [each.z, each]),
      );
      this.rows();
      const all = [...this.planned.keys()];
      const { signal } = this.running;
      await this.load(all, (z, nth) => this.note(`Counting zoom ${z} (${nth} of ${all.length}) \u2026`));
      if (!signal.aborted) this.note("");
    } catch (error) {
      if (!aborted(error)) this.note(`Cannot count tiles: ${messageOf(error)}`);
    }
  }

  /**
   * Counts `zooms` one after the other, after any count in progress.
   * @param {number[]} zooms @param {(z: number, nth: number) => void} [before] called before each
   */
  load(zooms, before) {
    const { signal } = this.running;
    const earlier = this.loading;
    this.loading = (async () => {
      await earlier; // so that an older count never replaces a newer one
      for (const [i, z] of zooms.entries()) {
        if (signal.aborted) return;
        before?.(z, i + 1);
        await this.count(z, signal);
      }
    })();
    return this.loading;
  }

  /**
   * @param {number} z @param {AbortSignal} signal
   */
  async count(z, signal) {
    const boxed = this.boxed(z);
    const query = new URLSearchParams(this.scale.value === "1" ? {} : { scale: this.scale.value });
    if (boxed) query.set("bbox", String(viewBounds(this.look()).map((edge) => edge.toFixed(6))));
    try {
      const answer = await ask(`${this.url}/${z}${query.size ? `?${query}` : ""}`, signal);
      this.answers.set(z, answer);
      const { stale = 0 } = answer.tiles;
      this.row(z, answer, [...(boxed ? ["in view"] : []), ...(stale ? [`${count(stale)} stale`] : [])].join(", "));
    } catch (error) {
      if (aborted(error)) return;
      const tooMany = error instanceof Refused && error.status === 413;
      this.answers.delete(z);
      this.row(z, null, tooMany ? "too many blocks here: zoom in" : messageOf(error));
    }
    this.changed();
  }

  /**
   * Whether a zoom has too many blocks for one response, so that only the view is counted.
   * @param {number} z
   */
  boxed(z) {
    return (this.planned.get(z)?.blocks ?? 0) > MOST;
  }

  /** Handles a change of the view. */
  moved() {
    if (!this.on) return;
    const z = this.drawn;
    for (const row of this.body.rows) row.classList.toggle("drawn", row.dataset.zoom === String(z));
    setText(/** @type {HTMLElement} */ (this.choice.options[0]), this.followed(z));
    if (this.boxed(z)) {
      this.stale.add(z);
      this.later();
    }
    this.changed();
  }

  /** @param {number} z */
  followed(z) {
    return this.choice.value === "" && z >= 0 ? `follow the view (z${z})` : "follow the view";
  }

  /**
   * Handles progress of jobs: counts zooms with progress again.
   * @param {Job[]} jobs
   */
  jobsChanged(jobs) {
    /** @type {Map<string, string>} */
    const now = new Map();
    for (const { job, by_zoom } of jobs) {
      for (const [z, { done, failed }] of Object.entries(by_zoom)) {
        const key = `${job} ${z}`;
        now.set(key, `${done} ${failed}`);
        if (this.progress && (this.progress.get(key) ?? "0 0") !== now.get(key)) this.stale.add(Number(z));
      }
    }
    this.progress = now;
    if (this.stale.size) this.later();
  }

  /** Counts zooms again that may have changed. */
  async recount() {
    const zooms = [...this.stale].filter((z) => this.planned.has(z)).sort((a, b) => a - b);
    this.stale.clear();
    if (this.on && zooms.length) await this.load(zooms);
  }

  /** @param {string} text */
  note(text) {
    setText(byId("coverage-note"), text);
  }

  rows() {
    const chosen = this.choice.value;
    const zooms = [...this.planned.keys()];
    this.choice.replaceChildren(
      new Option("follow the view", ""),
      ...zooms.map((z) => new Option(`zoom ${z}`, String(z))),
    );
    this.choice.value = zooms.includes(Number(chosen)) ? chosen : "";
    this.body.replaceChildren(
      ...zooms.map((z) => {
        const row = make("tr", { "data-zoom": String(z) }, make("th", { scope: "row" }, String(z)));
        row.addEventListener("click", () => {
          this.choice.value = String(z);
          this.moved();
        });
        return row;
      }),
    );
    for (const z of zooms) this.row(z, null, "");
    this.moved();
  }

  /**
   * @param {number} z @param {Answer | null} answer @param {string} remark
   */
  row(z, answer, remark) {
    const row = [...this.body.rows].find((each) => each.dataset.zoom === String(z));
    const head = row?.cells[0];
    if (!row || !head) return;
    head.replaceChildren(String(z), ...(answer && remark ? [make("small", {}, remark)] : []));
    const planned = make("td", { "data-state": "planned" });
    const cells = [planned];
    if (answer) {
      for (const state of COLUMNS) {
        const cell = state === "planned" ? planned : make("td", { "data-state": state });
        const number = answer.tiles[state];
        cell.dataset.count = String(number);
        cell.classList.toggle("none", number === 0);
        cell.replaceChildren(...grouped(number));
        if (cell !== planned) cells.push(cell);
      }
    } else {
      planned.replaceChildren(...grouped(this.planned.get(z)?.tiles ?? 0));
      cells.push(make("td", { class: "remark", colspan: "4" }, remark || "\u2026"));
    }
    row.replaceChildren(head, ...cells);
  }

  legend() {
    byId("coverage-legend").replaceChildren(
      ...BLOCK_STATES.map((state) => make("li", {}, make("canvas", { "data-swatch": state }), NAMES[state])),
    );
    this.swatches();
  }

  /** Paints the legend with the map's fills. */
  swatches() {
    for (const swatch of document.querySelectorAll("canvas[data-swatch]")) {
      const element = /** @type {HTMLCanvasElement} */ (swatch);
      const ratio = devicePixelRatio || 1;
      [element.width, element.height] = [22 * ratio, 16 * ratio];
      const context = element.getContext("2d");
      if (!context) continue;
      const state = /** @type {import("./palette.js").BlockState} */ (element.dataset.swatch);
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      context.fillStyle = blockFill(context, state, false);
      context.fillRect(0, 0, 22, 16);
      context.strokeStyle = blockColour(state);
      context.lineWidth = 1;
      context.strokeRect(0.5, 0.5, 21, 15);
    }
  }

  /**
   * Paints the blocks.
   * @param {CanvasRenderingContext2D} context @param {View} view
   */
  paint(context, view) {
    const answer = this.on && this.answers.get(this.drawn);
    if (!answer) return;
    const { z, side, blocks } = answer;
    const width = side / 2 ** z;
    const plain = width * view.world < SMALL;
    const [x0, y0, x1, y1] = visible(view);
    /** @type {Map<import("./palette.js").BlockState, Path2D>} */
    const paths = new Map(BLOCK_STATES.map((state) => [state, new Path2D()]));
    for (const block of blocks) {
      const [x, y] = [block[0] / 2 ** z, block[1] / 2 ** z];
      if (y > y1 || y + width < y0) continue;
      for (const world of copies(view, x, x + width)) {
        if (x + world > x1 || x + world + width < x0) continue;
        const [left, top] = toScreen(view, x + world, y);
        const [right, bottom] = toScreen(view, x + world + width, y + width);
        const [west, north] = [Math.round(left), Math.round(top)];
        paths
          .get(stateOf(block))
          ?.rect(west + 0.5, north + 0.5, Math.round(right) - west - 1, Math.round(bottom) - north - 1);
      }
    }
    for (const [state, path] of paths) {
      context.fillStyle = blockFill(context, state, plain);
      context.fill(path);
      if (plain) continue;
      context.strokeStyle = blockColour(state);
      context.lineWidth = state === "failed" ? 2 : 1;
      context.stroke(path);
    }
  }

  /**
   * Shows the counts of the block at a place on the map.
   * @param {[left: number, top: number] | null} place pixels; null for no place
   */
  point(place) {
    const answer = this.on && this.answers.get(this.drawn);
    const block = answer && place ? blockAt(answer, ...toWorld(this.look(), ...place)) : null;
    setText(byId("coverage-block"), block && answer ? describe(answer, block) : "");
  }
}

/**
 * @param {Answer} answer @param {Block} block
 */
function describe({ z }, [x, y, planned, stored, empty, missing, failed, stale = 0]) {
  const parts = Object.entries({ stored, empty, missing, failed, stale }).filter(([, number]) => number);
  return `Block ${z}/${x}/${y}: ${parts.map(([state, number]) => `${count(number)} ${state}`).join(", ")} of ${count(planned)}`;
}

/** @param {unknown} error */
const aborted = (error) => error instanceof DOMException && error.name === "AbortError";

/** The crosshair at the described block while the keyboard moves the map. */
export const paintCross = (/** @type {CanvasRenderingContext2D} */ context, /** @type {View} */ view) => {
  const [x, y] = [view.width / 2, view.height / 2];
  for (const [ink, width] of /** @type {const} */ ([
    ["panel", 4],
    ["ink", 1.5],
  ])) {
    context.strokeStyle = colour(ink);
    context.lineWidth = width;
    context.beginPath();
    context.moveTo(x - 10, y);
    context.lineTo(x + 10, y);
    context.moveTo(x, y - 10);
    context.lineTo(x, y + 10);
    context.stroke();
  }
};
