/** Borders of the tiles in view, with each tile's state and milliseconds. */

import { button, byId, make } from "./dom.js";
import { count, milliseconds } from "./format.js";
import { cover, toScreen } from "./mercator.js";
import { colour } from "./palette.js";
import { font } from "./surface.js";
import { keyOf, STATES } from "./tiles.js";

/** @typedef {import("./mercator.js").View} View */
/** @typedef {import("./mercator.js").Tile} Tile */
/** @typedef {import("./tiles.js").State} State */
/** @typedef {import("./tiles.js").Seen} Seen */

/** @type {Record<State | "asked", {letter: string, dash: number[], width: number, label: string, ink: string}>} */
const LOOKS = {
  stored: { letter: "S", dash: [], width: 1.5, label: "stored", ink: "stored" },
  rendered: { letter: "R", dash: [8, 4], width: 2, label: "rendered now", ink: "rendered" },
  asked: { letter: "\u2026", dash: [1, 3], width: 1, label: "on the way", ink: "quiet" },
  empty: { letter: "E", dash: [1.5, 3], width: 1.5, label: "empty", ink: "empty" },
  failed: { letter: "F", dash: [], width: 3, label: "failed", ink: "failed" },
};

const ORDER = /** @type {const} */ (["stored", "rendered", "asked", "empty", "failed"]);
const LEAST = 32; // pixels, minimum width of a tile to show the letter of its state
const MARGIN = 6; // pixels around a label

/** Whether borders are shown: a button of the map, and the key `t`. */
export class Borders {
  /** @param {() => void} changed */
  constructor(changed) {
    this.toggle = button("borders");
    this.changed = changed;
    this.toggle.addEventListener("click", () => this.switch());
  }

  get on() {
    return this.toggle.getAttribute("aria-pressed") === "true";
  }

  switch() {
    this.toggle.setAttribute("aria-pressed", String(!this.on));
    document.body.toggleAttribute("data-borders", this.on);
    byId("inview").hidden = !this.on;
    this.changed();
  }
}

/**
 * The requested tiles in view.
 * @param {View} view @param {number | null} z @param {import("./tiles.js").TileLog} log
 */
export const inView = (view, z, log) => (z === null ? [] : cover(view, z).filter((tile) => log.get(tile)));

/**
 * @param {CanvasRenderingContext2D} context @param {View} view @param {Tile[]} tiles
 * @param {import("./tiles.js").TileLog} log
 */
export function paintBorders(context, view, tiles, log) {
  context.font = font(12);
  context.textBaseline = "top";
  for (const tile of tiles) {
    const seen = log.get(tile);
    if (!seen) continue;
    const look = LOOKS[seen.state];
    const side = view.world / 2 ** tile.z;
    const [left, top] = toScreen(view, tile.x / 2 ** tile.z + tile.wrap, tile.y / 2 ** tile.z);
    const ink = colour(look.ink);
    const inset = look.width / 2 + 0.5;
    context.strokeStyle = ink;
    context.lineWidth = look.width;
    context.setLineDash(look.dash);
    context.strokeRect(left + inset, top + inset, side - 2 * inset, side - 2 * inset);
    context.setLineDash([]);
    if (side < LEAST) continue;
    const [west, east] = [Math.max(left, 0), Math.min(left + side, view.width)]; // of the part in view
    if (east - west < LEAST) continue;
    const words = [`${keyOf(tile)}  ${wait(seen)}`, wait(seen), ""].find((text) => fits(context, text, east - west));
    label(
      context,
      [west + MARGIN, Math.min(Math.max(top, 0) + MARGIN, top + side - 24)],
      ink,
      look.letter,
      words ?? "",
    );
  }
}

/**
 * How long a tile took, or why it is not there.
 * @param {Seen} seen
 */
function wait({ state, ms, why }) {
  if (state === "asked") return "on its way";
  return state === "failed" ? why || "failed" : milliseconds(ms);
}

/** @param {CanvasRenderingContext2D} context @param {string} words */
const widthOf = (context, words) => (words ? context.measureText(words).width + 30 : 18);

/** @param {CanvasRenderingContext2D} context @param {string} words @param {number} room pixels */
const fits = (context, words, room) => widthOf(context, words) + 2 * MARGIN <= room;

/**
 * Writes a letter and text.
 * @param {CanvasRenderingContext2D} context @param {[x: number, y: number]} place
 * @param {string} ink @param {string} letter @param {string} words
 */
function label(context, [x, y], ink, letter, words) {
  const width = widthOf(context, words);
  context.fillStyle = colour("panel");
  context.globalAlpha = 0.94;
  context.beginPath();
  context.roundRect(x, y, width, 18, 4);
  context.fill();
  context.globalAlpha = 1;
  context.fillStyle = ink;
  context.beginPath();
  context.roundRect(x, y, 18, 18, 3);
  context.fill();
  context.fillStyle = colour("panel");
  context.textAlign = "center";
  context.fillText(letter, x + 9, y + 3.5);
  context.textAlign = "left";
  context.fillStyle = colour("ink");
  context.fillText(words, x + 24, y + 3.5);
}

/**
 * Shows the number of tiles in each state.
 * @param {HTMLElement} element @param {ReturnType<import("./tiles.js").TileLog["summary"]>} summary
 * @param {boolean} near whether the view is near enough to show the layer
 */
export function showSummary(element, summary, near) {
  for (const state of STATES) element.dataset[state] = String(summary[state]);
  const shown = ORDER.filter((state) => summary[state]);
  const words = shown.map((state) => `${count(summary[state])} ${LOOKS[state].label}`);
  const median = Number.isNaN(summary.median) ? "" : `median ${milliseconds(summary.median)}`;
  const nothing = near ? "No tiles of this layer in view." : "Zoom in to see this layer.";
  const text = shown.length ? [...words, median].join("|") : nothing;
  if (element.dataset.text === text) return;
  element.dataset.text = text;
  const items = shown.map((state, i) =>
    make("li", {}, make("span", { class: `m ${state}`, "aria-hidden": "true" }, LOOKS[state].letter), words[i] ?? ""),
  );
  if (median) items.push(make("li", { class: "quiet" }, median));
  element.replaceChildren(...(shown.length ? items : [make("li", {}, nothing)]));
}
