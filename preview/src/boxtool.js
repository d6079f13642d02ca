/** The box: drawn on the map or entered as numbers. */

import { boxOf, faultOf, plain } from "./box.js";
import { button, byId, input, setText } from "./dom.js";
import { outline } from "./grid.js";
import { copies, squareOf, toScreen, toWorld, visible } from "./mercator.js";
import { colour } from "./palette.js";
import { font } from "./surface.js";

/** @typedef {import("./mercator.js").Bounds} Bounds */
/** @typedef {import("./mercator.js").View} View */
/** @typedef {{box: Bounds | null, low: number, high: number}} Asked `box` is null for the whole layer */

const EDGES = ["west", "south", "east", "north"];
const ROOM = 30; // pixels above a box that its name takes
const LEAST = 4; // pixels, shortest drag that draws a box

export class BoxTool {
  /**
   * @param {object} given
   * @param {() => View} given.look
   * @param {() => void} given.changed called when it is to be drawn again
   * @param {(asked: Asked | null) => void} given.chosen called with a valid choice, or null
   * @param {number} given.low the layer's first zoom
   * @param {number} given.high the layer's last zoom
   */
  constructor({ look, changed, chosen, low, high }) {
    /** @type {Bounds | null} */
    this.box = null;
    this.look = look;
    this.changed = changed;
    this.chosen = chosen;
    this.shown = false;
    this.fields = EDGES.map((edge) => input(`box-${edge}`));
    this.low = input("box-low");
    this.high = input("box-high");
    this.zooms(low, high);
    for (const field of this.fields) field.addEventListener("input", () => this.typed());
    for (const field of [this.low, this.high]) field.addEventListener("input", () => this.update());
    button("box-view").addEventListener("click", () => this.set(this.boxed(visible(this.look()))));
    button("box-clear").addEventListener("click", () => this.set(null));
    this.sketching();
  }

  /**
   * Sets the layer's range of zooms.
   * @param {number} low @param {number} high
   */
  zooms(low, high) {
    for (const field of [this.low, this.high]) {
      field.min = String(low);
      field.max = String(high);
    }
    this.low.value = String(low);
    this.high.value = String(high);
    this.update();
  }

  /** @param {import("./mercator.js").Square} square */
  boxed(square) {
    return boxOf(square, Number(this.high.max));
  }

  /** @param {Bounds | null} box */
  set(box) {
    this.box = box;
    for (const [i, field] of this.fields.entries()) field.value = box ? String(box[i]) : "";
    this.update();
  }

  /** Reads the box from the input fields. */
  typed() {
    const empty = this.fields.every((field) => field.value === "" && !field.validity.badInput);
    const numbers = this.fields.map((field) => field.valueAsNumber);
    this.box = empty ? null : /** @type {Bounds} */ (/** @type {unknown} */ (numbers));
    this.update();
  }

  /** Shows the error, or tells of the choice. */
  update() {
    const { box } = this;
    const [low, high] = [this.low.valueAsNumber, this.high.valueAsNumber];
    const boxError = box ? faultOf(box) : "";
    const zoomError = zoomFault(low, high, Number(this.low.min), Number(this.high.max));
    for (const field of this.fields) field.setAttribute("aria-invalid", String(boxError !== ""));
    for (const field of [this.low, this.high]) field.setAttribute("aria-invalid", String(zoomError !== ""));
    setText(byId("box-fault"), boxError || zoomError);
    button("box-clear").disabled = !box;
    this.chosen(boxError || zoomError ? null : { box, low, high });
    this.changed();
  }

  /** Enables drawing: after the button with any pointer, or with a mouse while Shift is pressed. */
  sketching() {
    const sketch = byId("sketch");
    const draw = button("box-draw");
    const mode = (/** @type {boolean} */ on) => {
      draw.setAttribute("aria-pressed", String(on));
      sketch.hidden = !on;
      setText(byId("box-hint"), on ? "Drag a box on the map. Press Escape to cancel." : "");
    };
    draw.addEventListener("click", () => mode(Boolean(sketch.hidden)));
    addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || sketch.hidden) return;
      mode(false);
      draw.focus();
    });
    const begin = (/** @type {PointerEvent} */ event, /** @type {HTMLElement} */ on) => {
      if (event.button !== 0 || !event.isPrimary) return;
      event.preventDefault(); // keeps the map from moving
      event.stopPropagation();
      this.drag(event, on, () => mode(false));
    };
    sketch.addEventListener("pointerdown", (event) => begin(event, sketch));
    byId("map").addEventListener(
      "pointerdown",
      (event) => {
        if (event.shiftKey && event.pointerType === "mouse") begin(event, byId("map"));
      },
      { capture: true },
    );
  }

  /**
   * @param {PointerEvent} start @param {HTMLElement} on @param {() => void} ended
   */
  drag(start, on, ended) {
    const frame = on.getBoundingClientRect();
    const before = this.box;
    const place = (/** @type {PointerEvent} */ event) =>
      toWorld(this.look(), event.clientX - frame.left, event.clientY - frame.top);
    const from = place(start);
    on.setPointerCapture(start.pointerId);
    const listeners = new AbortController();
    const follow = (/** @type {PointerEvent} */ event) => {
      if (Math.max(Math.abs(event.clientX - start.clientX), Math.abs(event.clientY - start.clientY)) < LEAST) return;
      this.set(this.boxed([...from, ...place(event)]));
    };
    const stop = () => {
      listeners.abort();
      if (this.box !== before) ended();
    };
    const options = { signal: listeners.signal };
    on.addEventListener("pointermove", follow, options);
    on.addEventListener("pointerup", stop, options);
    on.addEventListener("pointercancel", stop, options);
  }

  /**
   * @param {CanvasRenderingContext2D} context @param {View} view
   */
  paint(context, view) {
    if (!this.shown || !this.box || faultOf(this.box)) return;
    const [x0, y0, x1, y1] = squareOf(this.box);
    context.globalAlpha = 0.08;
    context.fillStyle = colour("ink");
    for (const world of copies(view, x0, x1)) {
      const [left, top] = toScreen(view, x0 + world, y0);
      const [right, bottom] = toScreen(view, x1 + world, y1);
      context.fillRect(left, top, right - left, bottom - top);
    }
    context.globalAlpha = 1;
    for (const [style, width] of /** @type {const} */ ([
      ["panel", 4],
      ["ink", 2],
    ])) {
      context.strokeStyle = colour(style);
      context.lineWidth = width;
      outline(context, view, this.box);
    }
    for (const world of copies(view, x0, x1)) {
      const corner = toScreen(view, x0 + world, y0);
      if (corner[1] >= ROOM) name(context, this.box, corner); // higher, it would lie below the map's controls
    }
  }
}

/**
 * Writes the edges of a box over its corner.
 * @param {CanvasRenderingContext2D} context @param {Bounds} box @param {[number, number]} corner
 */
function name(context, [west, south, east, north], [left, top]) {
  const text = `${meridian(west)} \u2013 ${meridian(east)}, ${parallel(south)} \u2013 ${parallel(north)}`;
  context.font = font(12);
  context.textBaseline = "middle";
  const y = top - 26;
  context.fillStyle = colour("ink");
  context.beginPath();
  context.roundRect(left - 1, y, context.measureText(text).width + 14, 20, 4);
  context.fill();
  context.fillStyle = colour("panel");
  context.fillText(text, left + 6, y + 10.5);
}

/** @param {number} degrees */
const meridian = (degrees) => `${plain(Math.abs(degrees))} ${degrees < 0 ? "W" : "E"}`;

/** @param {number} degrees */
const parallel = (degrees) => `${plain(Math.abs(degrees))} ${degrees < 0 ? "S" : "N"}`;

/**
 * @param {number} low @param {number} high @param {number} first @param {number} last
 */
function zoomFault(low, high, first, last) {
  if (![low, high].every(Number.isInteger)) return "Zooms must be whole numbers.";
  if (low > high) return "From zoom must not exceed to zoom.";
  return low < first || high > last ? `Zooms must be between ${first} and ${last}.` : "";
}
