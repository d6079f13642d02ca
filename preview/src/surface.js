/** Canvases under and over the map that move with it. */

import { framed } from "./dom.js";

/** @typedef {import("./mercator.js").View} View */
/** @typedef {(context: CanvasRenderingContext2D, view: View) => void} Painter */

/** A canvas that fills its parent, redrawn by its painters whenever the view or their data change. */
export class Surface {
  /**
   * @param {HTMLCanvasElement} canvas @param {() => View} look
   * @param {Painter[]} painters from bottom to top
   */
  constructor(canvas, look, painters) {
    const context = canvas.getContext("2d");
    if (!context) throw new Error("no 2d canvas");
    this.canvas = canvas;
    this.context = context;
    this.look = look;
    this.painters = painters;
    /** Draws in the next frame. */
    this.refresh = framed(() => this.draw());
  }

  /** Draws at once. */
  draw() {
    const { canvas, context } = this;
    const view = this.look();
    const ratio = devicePixelRatio || 1;
    const [width, height] = [Math.round(view.width * ratio), Math.round(view.height * ratio)];
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, view.width, view.height);
    for (const paint of this.painters) {
      context.save();
      paint(context, view);
      context.restore();
    }
  }
}

/**
 * Writes text with a halo, readable on any background.
 * @param {CanvasRenderingContext2D} context @param {string} text @param {number} left @param {number} top
 * @param {{ink: string, halo: string}} colours
 */
export function write(context, text, left, top, { ink, halo }) {
  context.lineWidth = 3;
  context.lineJoin = "round";
  context.strokeStyle = halo;
  context.strokeText(text, left, top);
  context.fillStyle = ink;
  context.fillText(text, left, top);
}

/** The font for text on a canvas. */
export const font = (size = 11) => `500 ${size}px ${getComputedStyle(document.body).fontFamily}`;
