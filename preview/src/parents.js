/** Small copies of the tiles seen so far, to be shown enlarged where a tile below them is still on its way. */

import { squareOf, toScreen } from "./mercator.js";

/** @typedef {import("./mercator.js").View} View */
/** @typedef {import("./mercator.js").Bounds} Bounds */
/** @typedef {import("./mercator.js").Square} Square */
/** @typedef {import("./tiles.js").Name} Name */
/** @typedef {{picture: ImageBitmap | HTMLImageElement, square: Square}} Patch a picture and its place in the unit square */

const SIDE = 64; // pixels of a copy
const MOST = 400; // copies, 16 kB each
const THUMBNAIL = [320, 200]; // pixels

/** @param {Name} tile @returns {Square} */
const squareOfTile = ({ z, x, y }) => [x / 2 ** z, y / 2 ** z, (x + 1) / 2 ** z, (y + 1) / 2 ** z];

export class Parents {
  /** @param {() => void} changed */
  constructor(changed) {
    this.changed = changed;
    /** @type {Map<string, ImageBitmap>} */
    this.copies = new Map();
    /** @type {Patch | null} the whole layer, coarse */
    this.whole = null;
    this.asked = false; // whether the thumbnail was requested
  }

  /**
   * Keeps a copy of a tile.
   * @param {Name} tile @param {ImageBitmap} picture
   */
  async keep({ z, x, y }, picture) {
    const small = await createImageBitmap(picture, { resizeWidth: SIDE, resizeHeight: SIDE }).catch(() => null);
    if (!small) return;
    const key = `${z}/${x}/${y}`;
    this.copies.delete(key);
    this.copies.set(key, small);
    const oldest = this.copies.size > MOST ? this.copies.keys().next().value : undefined;
    if (oldest !== undefined) this.copies.delete(oldest);
  }

  /**
   * Takes the server's thumbnail as the picture of last resort.
   * @param {string} url @param {{bounds: Bounds, minzoom: number, maxzoom: number}} layer
   */
  thumbnail(url, layer) {
    this.asked = true;
    const picture = new Image();
    picture.addEventListener("load", () => {
      this.whole = { picture, square: thumbnailSquare(layer) };
      this.changed();
    });
    picture.src = url;
  }

  /** Forgets all tiles, of an earlier revision or in other colours. */
  clear() {
    this.copies.clear();
    this.whole = null;
    this.asked = false;
  }

  /**
   * The picture nearest above a tile.
   * @param {Name} tile
   * @returns {Patch | null}
   */
  above({ z, x, y }) {
    for (let up = 0; up <= z; up++) {
      const tile = { z: z - up, x: x >> up, y: y >> up };
      const picture = this.copies.get(`${tile.z}/${tile.x}/${tile.y}`);
      if (picture) return { picture, square: squareOfTile(tile) };
    }
    return this.whole;
  }

  /**
   * Paints what is known of `tiles`.
   * @param {CanvasRenderingContext2D} context @param {View} view @param {import("./mercator.js").Tile[]} tiles
   */
  paint(context, view, tiles) {
    context.imageSmoothingQuality = "high";
    for (const tile of tiles) {
      const patch = this.above(tile);
      if (!patch) continue;
      const [x0, y0, x1, y1] = squareOfTile(tile);
      const [left, top] = toScreen(view, x0 + tile.wrap, y0);
      const [right, bottom] = toScreen(view, x1 + tile.wrap, y1);
      context.save();
      context.beginPath();
      context.rect(left, top, right - left, bottom - top);
      context.clip();
      const world = tile.wrap + Math.round((x0 + x1 - patch.square[0] - patch.square[2]) / 2); // across the antimeridian
      const [west, north] = toScreen(view, patch.square[0] + world, patch.square[1]);
      const [east, south] = toScreen(view, patch.square[2] + world, patch.square[3]);
      context.drawImage(patch.picture, west, north, east - west, south - north);
      context.restore();
    }
  }
}

/**
 * The square that a layer's thumbnail shows: the whole of it, or its middle if that does not fit at its lowest zoom.
 * @param {{bounds: Bounds, minzoom: number, maxzoom: number}} layer
 * @returns {Square}
 */
export function thumbnailSquare({ bounds, minzoom, maxzoom }) {
  const [x0, y0, x1, y1] = squareOf(bounds);
  const [width = 0, height = 0] = THUMBNAIL.map((pixels) => pixels / 256); // tiles
  const fits = Math.floor(Math.log2(Math.min(width / (x1 - x0), height / (y1 - y0))));
  const world = 2 ** Math.min(Math.max(fits, minzoom), maxzoom);
  const [x, y] = [(x0 + x1) / 2, (y0 + y1) / 2];
  const [across, down] = [Math.min(x1 - x0, width / world), Math.min(y1 - y0, height / world)];
  return [x - across / 2, y - down / 2, x + across / 2, y + down / 2];
}
