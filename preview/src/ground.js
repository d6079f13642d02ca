/** The ground below a layer: land and borders where they help to find one's way, and nothing at the scale of a drone. */

import { coastOf, thinned } from "./coast.js";
import { copies, toScreen, visible } from "./mercator.js";
import { colour } from "./palette.js";

/** @typedef {import("./mercator.js").View} View */
/** @typedef {import("./coast.js").Line} Line */
/** @typedef {import("./coast.js").Coast} Coast */

export const GROUND_CREDIT = "Outlines: Natural Earth";

const FADING = 256 * 2 ** 7; // pixels of the world from which on the outlines are too coarse
const GONE = 256 * 2 ** 8;
const APART = 1.5; // pixels between points

/**
 * How visible the outlines are, from 0 to 1.
 * @param {number} world pixels of the world
 */
export const strength = (world) => Math.min(1, Math.max(0, Math.log2(GONE / world) / Math.log2(GONE / FADING)));

/** The outlines of the world, asked for when they are first seen. */
export class Ground {
  /** @param {string} url @param {() => void} changed called when they have come */
  constructor(url, changed) {
    this.url = url;
    this.changed = changed;
    this.asked = false;
    /** @type {Coast | null} */
    this.coast = null;
    /** @type {Map<number, Coast>} */
    this.tiers = new Map();
  }

  /** Asks once; a page without outlines is still a page. */
  async load() {
    this.asked = true;
    try {
      const answer = await fetch(this.url);
      if (!answer.ok) return;
      this.coast = coastOf(new Uint8Array(await answer.arrayBuffer()));
      this.changed();
    } catch {
      // without a network, or of another build
    }
  }

  /**
   * The outlines with as many points as a scale shows.
   * @param {Coast} coast @param {number} world
   */
  tier(coast, world) {
    const level = Math.floor(Math.log2(world));
    const known = this.tiers.get(level);
    if (known) return known;
    const apart = APART / 2 ** (level + 1);
    const made = { land: thinned(coast.land, apart), borders: thinned(coast.borders, apart) };
    this.tiers.set(level, made);
    return made;
  }

  /**
   * Paints land, coasts and borders.
   * @param {CanvasRenderingContext2D} context @param {View} view
   */
  paint(context, view) {
    const alpha = strength(view.world);
    if (!alpha) return;
    if (!this.asked) void this.load();
    if (!this.coast) return;
    const { land, borders } = this.tier(this.coast, view.world);
    context.globalAlpha = alpha;
    context.lineWidth = 1;
    context.lineJoin = "round";
    context.fillStyle = colour("land");
    context.beginPath();
    each(land, view, (points, shift) => trace(context, view, points, shift, true));
    context.fill("evenodd");
    context.strokeStyle = colour("border");
    context.beginPath();
    each(borders, view, (points, shift) => trace(context, view, points, shift, false));
    context.stroke();
    context.strokeStyle = colour("coast");
    context.beginPath();
    each(land, view, (points, shift) => coastline(context, view, points, shift));
    context.stroke();
  }
}

/**
 * Calls `then` for each line in view, in each world in view.
 * @param {Line[]} lines @param {View} view @param {(points: Float64Array, shift: number) => void} then
 */
function each(lines, view, then) {
  const [, top, , bottom] = visible(view);
  for (const { points, square } of lines) {
    if (square[3] < top || square[1] > bottom) continue;
    for (const shift of copies(view, square[0], square[2])) then(points, shift);
  }
}

/**
 * @param {CanvasRenderingContext2D} context @param {View} view
 * @param {Float64Array} points @param {number} shift worlds @param {boolean} closed
 */
function trace(context, view, points, shift, closed) {
  for (let i = 0; i < points.length; i += 2) {
    const [left, top] = toScreen(view, (points[i] ?? 0) + shift, points[i + 1] ?? 0);
    if (i) context.lineTo(left, top);
    else context.moveTo(left, top);
  }
  if (closed) context.closePath();
}

/**
 * A ring without its edges along the ends of the map, which are no coast.
 * @param {CanvasRenderingContext2D} context @param {View} view @param {Float64Array} points @param {number} shift
 */
function coastline(context, view, points, shift) {
  const count = points.length;
  let before = { x: Number.NaN, y: Number.NaN };
  for (let i = 0; i <= count; i += 2) {
    const [x, y] = [points[i % count] ?? 0, points[(i + 1) % count] ?? 0];
    const [left, top] = toScreen(view, x + shift, y);
    const end = (y >= 1 && before.y >= 1) || (x === before.x && Math.max(y, before.y) >= 1);
    if (i && !end) context.lineTo(left, top);
    else context.moveTo(left, top);
    before = { x, y };
  }
}
