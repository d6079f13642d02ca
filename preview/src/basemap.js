/** A base map of another host below the layer: only if the person who started the server, or published, named one. */

import { cover, toScreen } from "./mercator.js";

/** @typedef {import("./mercator.js").View} View */
/** @typedef {{template: string, attribution: string, maxzoom: number}} Named `attribution` is HTML */

const SIDE = 256; // pixels of a tile
const KEPT = 400; // images

export class Basemap {
  /** @param {Named} named @param {() => void} changed called when an image has come */
  constructor(named, changed) {
    this.named = named;
    this.changed = changed;
    /** @type {Map<string, HTMLImageElement>} by address, the latest used last */
    this.images = new Map();
  }

  /** The HTML of whom to credit. */
  get attribution() {
    return this.named.attribution;
  }

  /**
   * The image of a tile, if it has come.
   * @param {{z: number, x: number, y: number}} tile @param {boolean} wanted whether to ask for it
   */
  image({ z, x, y }, wanted) {
    const address = this.named.template.replace("{z}", `${z}`).replace("{x}", `${x}`).replace("{y}", `${y}`);
    let image = this.images.get(address);
    if (!image) {
      if (!wanted) return null;
      image = new Image();
      image.addEventListener("load", this.changed);
      image.src = address;
    }
    this.images.delete(address);
    this.images.set(address, image);
    const oldest = this.images.size > KEPT ? this.images.keys().next().value : undefined;
    if (oldest !== undefined) this.images.delete(oldest);
    return image.complete && image.naturalWidth ? image : null;
  }

  /**
   * Paints the tiles in view, and where one has not come, the part of a coarser one that has.
   * @param {CanvasRenderingContext2D} context @param {View} view
   */
  paint(context, view) {
    const z = Math.max(0, Math.min(this.named.maxzoom, Math.round(Math.log2(view.world / SIDE))));
    for (const { x, y, wrap } of cover(view, z)) {
      const [left, top] = toScreen(view, x / 2 ** z + wrap, y / 2 ** z).map(Math.round);
      const [right, bottom] = toScreen(view, (x + 1) / 2 ** z + wrap, (y + 1) / 2 ** z).map(Math.round);
      this.draw(context, { z, x, y }, [left ?? 0, top ?? 0, (right ?? 0) - (left ?? 0), (bottom ?? 0) - (top ?? 0)]);
    }
  }

  /**
   * @param {CanvasRenderingContext2D} context @param {{z: number, x: number, y: number}} tile
   * @param {[left: number, top: number, width: number, height: number]} frame pixels
   */
  draw(context, { z, x, y }, frame) {
    for (let up = 0; up <= z; up++) {
      const image = this.image({ z: z - up, x: x >> up, y: y >> up }, up === 0);
      if (!image) continue;
      const size = image.naturalWidth / 2 ** up;
      const parts = 2 ** up;
      context.drawImage(image, (x % parts) * size, (y % parts) * size, size, size, ...frame);
      return;
    }
  }
}
