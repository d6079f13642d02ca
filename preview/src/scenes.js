/** The scenes of a layer: their outlines on the map, and the name of the one under the pointer. */

import { byId, input, make, setText } from "./dom.js";
import { counted } from "./format.js";
import { copies, toScreen, toWorld, visible } from "./mercator.js";
import { outlineOf, sceneAt } from "./outlines.js";
import { colour } from "./palette.js";
import { ask, messageOf } from "./site.js";

/** @typedef {import("./mercator.js").View} View */
/** @typedef {import("./mercator.js").Square} Square */
/** @typedef {import("./outlines.js").Outline} Outline */

const WIDTH = 1.5; // pixels of an outline
const HALO = 4;
const LEAST = 6; // pixels of a scene, so that it is seen from afar
const LISTED = 12; // names, of the uppermost scenes

export class Scenes {
  /**
   * @param {{url: string, look: () => View, changed: () => void, go: (square: Square) => void}} given `go` shows a part
   * of the unit square
   */
  constructor({ url, look, changed, go }) {
    this.url = url;
    this.look = look;
    this.changed = changed;
    this.go = go;
    /** @type {Outline[]} the lowest first */
    this.scenes = [];
    /** @type {Outline | null} */
    this.pointed = null;
    this.text = byId("scene");
    this.toggle = input("scenes-toggle");
    this.toggle.addEventListener("change", () => this.start());
    byId("scenes").hidden = false;
    if (this.toggle.checked) this.start();
  }

  get on() {
    return this.toggle.checked;
  }

  /** Fetches the outlines, if they are shown. */
  async start() {
    this.scenes = [];
    this.hint = "";
    if (this.on) {
      setText(this.text, "Loading \u2026");
      try {
        this.scenes = (await ask(this.url)).features.map(outlineOf);
        this.hint = `${counted(this.scenes.length, "scene")}. Point at one for its name.`;
      } catch (error) {
        this.hint = messageOf(error);
      }
    }
    this.names();
    this.changed();
  }

  /** Lists the uppermost scenes; each name shows its scene. */
  names() {
    const list = byId("scene-list");
    const shown = this.scenes.slice(-LISTED).reverse();
    list.hidden = shown.length === 0;
    const items = shown.map((scene) => {
      const text = [scene.name, scene.date].filter(Boolean).join(" \u00b7 ");
      const button = make("button", { class: "b bare", type: "button", title: scene.address }, text);
      button.addEventListener("click", () => this.go(scene.square));
      return make("li", {}, button);
    });
    const more = this.scenes.length - shown.length;
    if (more > 0) items.push(make("li", { class: "quiet" }, `and ${counted(more, "more scene")} below`));
    list.replaceChildren(...items);
  }

  /**
   * Paints the outlines.
   * @param {CanvasRenderingContext2D} context @param {View} view
   */
  paint(context, view) {
    if (!this.on) return;
    context.lineJoin = "round";
    context.beginPath();
    for (const scene of this.scenes) trace(context, view, scene);
    stroke(context, WIDTH);
    if (!this.pointed) return;
    context.beginPath();
    trace(context, view, this.pointed);
    stroke(context, 2 * WIDTH);
  }

  /**
   * Names the scene at a place of the map.
   * @param {import("./pointer.js").Point | null} place
   */
  point(place) {
    const scene = (this.on && place && sceneAt(this.scenes, ...toWorld(this.look(), ...place))) || null;
    const facts = scene && [scene.address, scene.date, `${Number(scene.resolution.toPrecision(3))} m`];
    setText(this.text, facts ? facts.filter(Boolean).join(" \u00b7 ") : (this.on && this.hint) || "");
    if (scene === this.pointed) return;
    this.pointed = scene;
    this.changed();
  }
}

/** @param {CanvasRenderingContext2D} context @param {number} width */
function stroke(context, width) {
  context.lineWidth = width + HALO / 2;
  context.strokeStyle = colour("paper");
  context.stroke();
  context.lineWidth = width;
  context.strokeStyle = colour("rendered");
  context.stroke();
}

/** @param {CanvasRenderingContext2D} context @param {View} view @param {Outline} scene */
function trace(context, view, { rings, square: [x0, y0, x1, y1] }) {
  const [, top, , bottom] = visible(view);
  if (y1 < top || y0 > bottom) return;
  for (const world of copies(view, x0, x1)) {
    const [left, upper] = toScreen(view, x0 + world, y0);
    const [right, lower] = toScreen(view, x1 + world, y1);
    if (Math.max(right - left, lower - upper) < LEAST) {
      context.rect((left + right - LEAST) / 2, (upper + lower - LEAST) / 2, LEAST, LEAST);
      continue;
    }
    for (const ring of rings) {
      for (const [i, [x, y]] of ring.entries()) {
        const place = toScreen(view, x + world, y);
        if (i) context.lineTo(...place);
        else context.moveTo(...place);
      }
      context.closePath();
    }
  }
}
