/** Meridians and parallels under the layer, with degrees along the edges of the map. */

import { lines, meridian, parallel, spacing } from "./graticule.js";
import { copies, latitudeAt, longitudeAt, squareOf, toScreen, visible, worldX, worldY } from "./mercator.js";
import { colour } from "./palette.js";
import { font, write } from "./surface.js";

/** @typedef {import("./surface.js").Painter} Painter */
/** @typedef {import("./mercator.js").Bounds} Bounds */

const EDGE = 44; // pixels from the edge, within which labels would overlap

/** @param {import("./mercator.js").View} view */
function ruled(view) {
  const [x0, y0, x1, y1] = visible(view);
  const step = spacing(view.world / 360);
  return {
    step,
    meridians: lines(longitudeAt(x0), longitudeAt(x1), step),
    parallels: lines(latitudeAt(y1), latitudeAt(y0), step),
  };
}

/**
 * Paints the lines.
 * @type {Painter}
 */
export function paintGrid(context, view) {
  const { meridians, parallels } = ruled(view);
  context.strokeStyle = colour("grid");
  context.lineWidth = 1;
  context.beginPath();
  const [, top] = toScreen(view, 0, 0);
  const [, bottom] = toScreen(view, 0, 1);
  for (const longitude of meridians) {
    const left = Math.round(toScreen(view, worldX(longitude), 0)[0]) + 0.5;
    context.moveTo(left, Math.max(0, top));
    context.lineTo(left, Math.min(view.height, bottom));
  }
  for (const latitude of parallels) {
    const y = Math.round(toScreen(view, 0, worldY(latitude))[1]) + 0.5;
    context.moveTo(0, y);
    context.lineTo(view.width, y);
  }
  context.stroke();
}

/**
 * Paints the degrees, along the top and the left edge.
 * @type {Painter}
 */
export function paintDegrees(context, view) {
  const { step, meridians, parallels } = ruled(view);
  const colours = { ink: colour("grid-ink"), halo: colour("paper") };
  context.font = font();
  context.textBaseline = "middle";
  context.textAlign = "center";
  for (const longitude of meridians) {
    const left = toScreen(view, worldX(longitude), 0)[0];
    if (left > EDGE && left < view.width - 2 * EDGE) write(context, meridian(longitude, step), left, 11, colours);
  }
  context.textAlign = "left";
  for (const latitude of parallels) {
    const top = toScreen(view, 0, worldY(latitude))[1];
    if (top > EDGE / 2 && top < view.height - EDGE) write(context, parallel(latitude, step), 8, top, colours);
  }
}

/**
 * Paints the outline of a box.
 * @param {CanvasRenderingContext2D} context @param {import("./mercator.js").View} view @param {Bounds} bounds
 */
export function outline(context, view, bounds) {
  const [x0, y0, x1, y1] = squareOf(bounds);
  for (const world of copies(view, x0, x1)) {
    const [left, top] = toScreen(view, x0 + world, y0);
    const [right, bottom] = toScreen(view, x1 + world, y1);
    context.strokeRect(
      Math.round(left) + 0.5,
      Math.round(top) + 0.5,
      Math.round(right - left),
      Math.round(bottom - top),
    );
  }
}

/**
 * Paints a crosshair in the middle.
 * @type {Painter}
 */
export function paintCross(context, view) {
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
}
