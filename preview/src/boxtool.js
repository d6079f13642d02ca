/** The box: drawn on the map or entered as numbers, with the commands for it. */

import { boxOf, commands, faultOf } from "./box.js";
import { button, byId, input, setBreakableText, setText } from "./dom.js";
import { outline } from "./grid.js";
import { copies, squareOf, toScreen, toWorld, visible } from "./mercator.js";
import { colour } from "./palette.js";

/** @typedef {import("./mercator.js").Bounds} Bounds */
/** @typedef {import("./mercator.js").View} View */

const EDGES = ["west", "south", "east", "north"];
const LEAST = 4; // pixels, shortest drag that draws a box

export class BoxTool {
  /**
   * @param {{look: () => View, changed: () => void, layer: string, where: string, low: number, high: number}} given
   * `low` and `high` are the layer's zooms
   */
  constructor({ look, changed, layer, where, low, high }) {
    /** @type {Bounds | null} */
    this.box = null;
    this.look = look;
    this.changed = changed;
    this.named = { layer, where };
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

  /** Shows the error, or the commands. */
  update() {
    const { box } = this;
    const [low, high] = [this.low.valueAsNumber, this.high.valueAsNumber];
    const boxError = box ? faultOf(box) : "";
    const zoomError = zoomFault(low, high, Number(this.low.min), Number(this.high.max));
    for (const field of this.fields) field.setAttribute("aria-invalid", String(boxError !== ""));
    for (const field of [this.low, this.high]) field.setAttribute("aria-invalid", String(zoomError !== ""));
    setText(byId("box-fault"), boxError || zoomError);
    button("box-clear").disabled = !box;
    const shown = boxError || zoomError ? { seed: "", invalidate: "" } : commands({ ...this.named, low, high, box });
    for (const [verb, command] of Object.entries(shown)) {
      const code = byId(`command-${verb}`);
      setBreakableText(code, command);
      /** @type {HTMLElement} */ (code.parentElement).hidden = command === "";
    }
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
    if (!this.box || faultOf(this.box)) return;
    const [x0, y0, x1, y1] = squareOf(this.box);
    context.globalAlpha = 0.14;
    context.fillStyle = colour("accent");
    for (const world of copies(view, x0, x1)) {
      const [left, top] = toScreen(view, x0 + world, y0);
      const [right, bottom] = toScreen(view, x1 + world, y1);
      context.fillRect(left, top, right - left, bottom - top);
    }
    context.globalAlpha = 1;
    for (const [style, width] of /** @type {const} */ ([
      ["panel", 4],
      ["accent", 2],
    ])) {
      context.strokeStyle = colour(style);
      context.lineWidth = width;
      outline(context, view, this.box);
    }
  }
}

/**
 * @param {number} low @param {number} high @param {number} first @param {number} last
 */
function zoomFault(low, high, first, last) {
  if (![low, high].every(Number.isInteger)) return "Zooms must be whole numbers.";
  if (low > high) return "Min zoom must not exceed max zoom.";
  return low < first || high > last ? `Zooms must be between ${first} and ${last}.` : "";
}
