/** Borders of the tiles in view, with each tile's state and milliseconds. */

import { make } from "./dom.js";
import { count, milliseconds } from "./format.js";
import { cover, toScreen } from "./mercator.js";
import { colour } from "./palette.js";
import { font } from "./surface.js";
import { keyOf, STATES } from "./tiles.js";

/** @typedef {import("./mercator.js").View} View */
/** @typedef {import("./mercator.js").Tile} Tile */
/** @typedef {import("./tiles.js").State} State */

/** @type {Record<State | "asked", {letter: string, dash: number[], width: number, label: string}>} */
const LOOKS = {
  stored: { letter: "S", dash: [], width: 1.5, label: "stored" },
  rendered: { letter: "R", dash: [10, 4], width: 2, label: "rendered now" },
  empty: { letter: "E", dash: [2, 4], width: 1.5, label: "empty" },
  failed: { letter: "F", dash: [], width: 4, label: "failed" },
  asked: { letter: "\u2026", dash: [1, 6], width: 1, label: "loading" },
};

const LEAST = 32; // pixels, minimum width of a tile to show the letter of its state
const ROOM = 160; // pixels, minimum width of a tile to show its name

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
  context.font = font();
  context.textBaseline = "top";
  for (const tile of tiles) {
    const seen = log.get(tile);
    if (!seen) continue;
    const look = LOOKS[seen.state];
    const side = view.world / 2 ** tile.z;
    const [left, top] = toScreen(view, tile.x / 2 ** tile.z + tile.wrap, tile.y / 2 ** tile.z);
    const ink = seen.state === "asked" ? colour("quiet") : colour(seen.state);
    const inset = look.width / 2 + 0.5;
    context.strokeStyle = ink;
    context.lineWidth = look.width;
    context.setLineDash(look.dash);
    context.strokeRect(left + inset, top + inset, side - 2 * inset, side - 2 * inset);
    context.setLineDash([]);
    if (side < LEAST) continue;
    const name =
      side < ROOM ? "" : [keyOf(tile), seen.state === "asked" ? "" : milliseconds(seen.ms)].join("  ").trim();
    label(context, { left, top, side }, ink, look.letter, name);
  }
}

/**
 * Writes a letter and text into a tile's corner, or as near to it as visible.
 * @param {CanvasRenderingContext2D} context @param {{left: number, top: number, side: number}} tile
 * @param {string} ink @param {string} letter @param {string} words
 */
function label(context, { left, top, side }, ink, letter, words) {
  const width = words ? context.measureText(words).width + 30 : 18;
  const x = Math.min(Math.max(left, 0) + 6, left + side - width - 6);
  const y = Math.min(Math.max(top, 0) + 6, top + side - 24);
  context.fillStyle = colour("panel");
  context.globalAlpha = 0.9;
  context.beginPath();
  context.roundRect(x, y, width, 18, 4);
  context.fill();
  context.globalAlpha = 1;
  context.fillStyle = ink;
  context.beginPath();
  context.roundRect(x, y, 18, 18, 4);
  context.fill();
  context.fillStyle = colour("panel");
  context.textAlign = "center";
  context.fillText(letter, x + 9, y + 4);
  context.textAlign = "left";
  context.fillStyle = colour("ink");
  context.fillText(words, x + 24, y + 4);
}

/**
 * Shows the number of tiles in each state.
 * @param {HTMLElement} element @param {ReturnType<import("./tiles.js").TileLog["summary"]>} summary
 * @param {boolean} near whether the view is near enough to show the layer
 */
export function showSummary(element, summary, near) {
  for (const state of STATES) element.dataset[state] = String(summary[state]);
  const parts = STATES.filter((state) => summary[state]).map(
    (state) => `${count(summary[state])} ${LOOKS[state].label}`,
  );
  if (summary.asked) parts.push(`${count(summary.asked)} loading`);
  if (!Number.isNaN(summary.median)) parts.push(`median ${milliseconds(summary.median)}`);
  const nothing = near ? "No tiles of this layer in view." : "Zoom in to see this layer.";
  const text = parts.length ? parts.join(" \u00b7 ") : nothing;
  if (element.textContent === text) return;
  const spans = parts.map((part) => make("span", {}, part));
  element.replaceChildren(
    ...(parts.length ? spans.flatMap((span, i) => (i ? [" \u00b7 ", span] : [span])) : [nothing]),
  );
}

/**
 * Fills the legend of the borders.
 * @param {HTMLElement} list
 */
export function fillLegend(list) {
  list.replaceChildren(
    ...STATES.map((state) =>
      make("li", {}, make("span", { class: `mark mark-${state}` }, LOOKS[state].letter), LOOKS[state].label),
    ),
  );
}
