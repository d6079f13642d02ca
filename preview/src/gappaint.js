/** Paints the gaps of a zoom: missing tiles hatched and outlined together, failed ones red. */

import { copies, toScreen, visible } from "./mercator.js";
import { colour } from "./palette.js";
import { addSides } from "./rim.js";

/** @typedef {import("./mercator.js").View} View */
/** @typedef {import("./blocks.js").Answer} Answer */
/** @typedef {{x: number, y: number, missing: number[], failed: number[]}} Gap a block; a mask has a byte for each row, its lowest bit in the west */
/** @typedef {Record<"missing" | "rim" | "failed", Path2D>} Shapes */

const FINE = 3; // pixels of a tile from which on single tiles are drawn
const APART = 11; // pixels between the diagonals

/**
 * A mask of 8 x 8 tiles as its rows.
 * @param {string} hex of 16 digits, the last two of the northern row
 */
export const rowsOf = (hex) =>
  Array.from({ length: 8 }, (_, row) => Number.parseInt(hex.slice(14 - 2 * row, 16 - 2 * row), 16));

/**
 * The runs of set bits in a row.
 * @param {number} bits
 * @returns {[from: number, to: number][]} `to` is the first bit after the run
 */
export function runsOf(bits) {
  /** @type {[number, number][]} */
  const runs = [];
  for (let at = 0; at < 8; at++) {
    if (!((bits >> at) & 1)) continue;
    const last = runs.at(-1);
    if (last?.[1] === at) last[1] = at + 1;
    else runs.push([at, at + 1]);
  }
  return runs;
}

/** The gaps of one answer of the server. */
export class GapPainter {
  /** @param {Answer} answer */
  constructor({ z, side, gaps = [] }) {
    this.z = z;
    this.side = side;
    this.columns = 2 ** z;
    /** @type {Gap[]} */
    this.gaps = gaps.map(([x, y, missing, failed]) => ({ x, y, missing: rowsOf(missing), failed: rowsOf(failed) }));
    this.byPlace = new Map(this.gaps.map((gap) => [`${gap.x},${gap.y}`, gap]));
  }

  /**
   * Whether a tile is missing.
   * @param {number} x @param {number} y
   */
  missing(x, y) {
    const column = (x + this.columns) % this.columns;
    const gap = this.byPlace.get(`${column - (column % this.side)},${y - (y % this.side)}`);
    return gap !== undefined && (((gap.missing[y % this.side] ?? 0) >> (column % this.side)) & 1) === 1;
  }

  /**
   * @param {CanvasRenderingContext2D} context @param {View} view
   */
  paint(context, view) {
    /** @type {Shapes} */
    const shapes = { missing: new Path2D(), rim: new Path2D(), failed: new Path2D() };
    const width = this.side / this.columns;
    const fine = view.world / this.columns >= FINE;
    const [x0, y0, x1, y1] = visible(view);
    for (const gap of this.gaps) {
      const [x, y] = [gap.x / this.columns, gap.y / this.columns];
      if (y > y1 || y + width < y0) continue;
      for (const world of copies(view, x, x + width)) {
        if (x + world > x1 || x + world + width < x0) continue;
        if (fine) this.add(shapes, gap, view, world);
        else this.addWhole(shapes, gap, this.corners(view, world, [gap.x, gap.y], [this.side, this.side]));
      }
    }
    fill(context, view, shapes);
  }

  /**
   * The corners of tiles on the screen, in whole pixels so that neighbours meet.
   * @param {View} view @param {number} world @param {[number, number]} tile @param {[number, number]} size in tiles
   */
  corners(view, world, [x, y], [across, down]) {
    const from = toScreen(view, x / this.columns + world, y / this.columns);
    const to = toScreen(view, (x + across) / this.columns + world, (y + down) / this.columns);
    return [...from, ...to].map(Math.round);
  }

  /**
   * Adds a block as a whole, where its tiles are too small to be told apart.
   * @param {Shapes} shapes @param {Gap} gap @param {number[]} corners
   */
  addWhole(shapes, { missing, failed }, [left = 0, top = 0, right = 0, bottom = 0]) {
    const path = missing.some(Boolean) ? shapes.missing : failed.some(Boolean) ? shapes.failed : null;
    path?.rect(left, top, right - left, bottom - top);
  }

  /**
   * Adds the tiles of a block; a side that two missing tiles share is no part of the rim.
   * @param {Shapes} shapes @param {Gap} gap @param {View} view @param {number} world
   */
  add(shapes, gap, view, world) {
    for (let row = 0; row < this.side; row++) {
      const y = gap.y + row;
      for (const [from, to] of runsOf(gap.missing[row] ?? 0)) {
        const [left = 0, top = 0, right = 0, bottom = 0] = this.corners(view, world, [gap.x + from, y], [to - from, 1]);
        shapes.missing.rect(left, top, right - left, bottom - top);
        for (let x = gap.x + from; x < gap.x + to; x++) {
          const corners = this.corners(view, world, [x, y], [1, 1]);
          addSides(shapes.rim, corners, (across, down) => this.missing(x + across, y + down));
        }
      }
      for (const [from, to] of runsOf(gap.failed[row] ?? 0)) {
        for (let x = gap.x + from; x < gap.x + to; x++) {
          const [left = 0, top = 0, right = 0, bottom = 0] = this.corners(view, world, [x, y], [1, 1]);
          shapes.failed.rect(left, top, right - left, bottom - top);
        }
      }
    }
  }
}

/**
 * @param {CanvasRenderingContext2D} context @param {View} view @param {Shapes} shapes
 */
function fill(context, view, { missing, rim, failed }) {
  context.lineWidth = 2;
  context.lineCap = "square";
  for (const [style, alpha] of /** @type {const} */ ([
    [colour("panel"), 0.66],
    [colour("gap-fill"), 0.2],
    [hatch(context, view), 1],
  ])) {
    context.fillStyle = style;
    context.globalAlpha = alpha;
    context.fill(missing);
  }
  context.strokeStyle = colour("gap");
  context.stroke(rim);
  context.fillStyle = context.strokeStyle = colour("failed");
  context.globalAlpha = 0.5;
  context.fill(failed);
  context.globalAlpha = 1;
  context.stroke(failed);
}

/**
 * Diagonals that move with the map.
 * @param {CanvasRenderingContext2D} context @param {View} view
 */
function hatch(context, view) {
  const ratio = devicePixelRatio || 1;
  const cell = document.createElement("canvas");
  const side = Math.round(APART * ratio);
  cell.width = cell.height = side;
  const brush = cell.getContext("2d");
  if (!brush) return colour("gap-fill");
  brush.strokeStyle = colour("gap");
  brush.lineWidth = 1.6 * ratio;
  for (const shift of [-side, 0, side]) {
    brush.moveTo(shift - side / 2, side * 1.5);
    brush.lineTo(shift + side * 1.5, -side / 2);
  }
  brush.stroke();
  const pattern = context.createPattern(cell, "repeat");
  if (!pattern) return colour("gap-fill");
  const [left, top] = toScreen(view, 0, 0).map((at) => at % APART);
  pattern.setTransform(new DOMMatrix().translate(left, top).scale(APART / side));
  return pattern;
}
