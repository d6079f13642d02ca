/** The page's colours, and patterns that distinguish states without colours. */

import { watchTheme } from "./theme.js";

/** @typedef {(context: CanvasRenderingContext2D, side: number) => void} Stroke draws one pattern cell */

/** @type {Map<string, string>} */
const known = new Map();
/** @type {Map<string, CanvasPattern>} */
const patterns = new Map();
const CELL = 12; // pixels

/**
 * Clears the colours when the page switches between dark and light.
 * @param {() => void} changed
 */
export function watchPalette(changed) {
  watchTheme(() => {
    known.clear();
    patterns.clear();
    changed();
  });
}

/**
 * The colour with this name in the style sheet.
 * @param {string} name
 */
export function colour(name) {
  let value = known.get(name);
  if (value === undefined) {
    value = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
    known.set(name, value);
  }
  return value;
}

/** The drawn states of a block. */
export const BLOCK_STATES = /** @type {const} */ (["stored", "partly", "missing", "empty", "failed"]);

/** @typedef {typeof BLOCK_STATES[number]} BlockState */

/** @typedef {{colour: string, wash: number, over: string, stroke: Stroke | null}} Mark `over` is the pattern's colour */

/** @type {Record<BlockState, Mark>} */
const MARKS = {
  stored: { colour: "stored", wash: 0.3, over: "stored", stroke: null },
  partly: { colour: "stored", wash: 0.2, over: "missing", stroke: (context, side) => slash(context, side, true) },
  missing: { colour: "missing", wash: 0.2, over: "missing", stroke: (context, side) => slash(context, side, false) },
  empty: { colour: "empty", wash: 0.14, over: "empty", stroke: (context, side) => dot(context, side) },
  failed: { colour: "failed", wash: 0.36, over: "failed", stroke: (context, side) => bars(context, side) },
};

/** @param {BlockState} state */
export const blockColour = (state) => colour(MARKS[state].over);

/**
 * The fill of blocks in a state.
 * @param {CanvasRenderingContext2D} context @param {BlockState} state
 * @param {boolean} plain whether the squares are too small for a pattern
 * @returns {CanvasPattern | string}
 */
export function blockFill(context, state, plain) {
  const mark = MARKS[state];
  const ratio = devicePixelRatio || 1;
  const key = `${state}${plain ? "" : ratio}`;
  const pattern = patterns.get(key);
  if (pattern) return pattern;
  const cell = document.createElement("canvas");
  cell.width = cell.height = Math.round(CELL * ratio);
  const brush = cell.getContext("2d");
  if (!brush) return colour(mark.colour);
  brush.globalAlpha = mark.wash * (plain ? 1.6 : 1);
  brush.fillStyle = colour(mark.colour);
  brush.fillRect(0, 0, cell.width, cell.height);
  brush.fillStyle = brush.strokeStyle = colour(mark.over);
  brush.globalAlpha = 0.6;
  brush.lineWidth = ratio;
  if (!plain) mark.stroke?.(brush, cell.width);
  const made = context.createPattern(cell, "repeat");
  if (!made) return colour(mark.colour);
  made.setTransform(new DOMMatrix().scale(CELL / cell.width));
  patterns.set(key, made);
  return made;
}

/**
 * Diagonals that continue from cell to cell.
 * @param {CanvasRenderingContext2D} context @param {number} side @param {boolean} falling
 */
function slash(context, side, falling) {
  const [low, high] = falling ? [-side * 0.25, side * 1.25] : [side * 1.25, -side * 0.25];
  context.beginPath();
  for (const shift of [-side, 0, side]) {
    context.moveTo(shift - side * 0.25, low);
    context.lineTo(shift + side * 1.25, high);
  }
  context.stroke();
}

/** @type {Stroke} */
function dot(context, side) {
  context.beginPath();
  context.arc(side / 2, side / 2, side / 9, 0, 2 * Math.PI);
  context.fill();
}

/** @type {Stroke} */
function bars(context, side) {
  context.fillRect(0, 0, side, side * 0.3);
}
