/** Outlines of scenes in the unit square of the map. */

import { worldX, worldY } from "./mercator.js";

/** @typedef {import("./mercator.js").Square} Square */
/** @typedef {[x: number, y: number][]} Ring */
/** @typedef {{address: string, name: string, date: string, resolution: number, rings: Ring[], square: Square}} Outline */
/** @typedef {{type: "Polygon", coordinates: number[][][]} | {type: "MultiPolygon", coordinates: number[][][][]}} Geometry */
/** @typedef {{geometry: Geometry, properties: {address: string, name?: string, date: string, resolution: number}}} Feature */

/**
 * The outline of a scene.
 * @param {Feature} feature
 * @returns {Outline}
 */
export function outlineOf({ geometry, properties: { address, name, date, resolution } }) {
  const polygons = geometry.type === "Polygon" ? [geometry.coordinates] : geometry.coordinates;
  /** @type {Ring[]} */
  const rings = polygons.flat().map((ring) => ring.map(([x = 0, y = 0]) => [worldX(x), worldY(y)]));
  /** @type {Square} */
  const square = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, 0, 0];
  for (const [x, y] of rings.flat()) {
    square[0] = Math.min(square[0], x);
    square[1] = Math.min(square[1], y);
    square[2] = Math.max(square[2], x);
    square[3] = Math.max(square[3], y);
  }
  return { address, name: name || lastPart(address), date, resolution, rings, square };
}

/**
 * The last part of an address, without its query.
 * @param {string} address
 */
const lastPart = (address) => address.split("?")[0]?.split("/").findLast(Boolean) ?? address;

/**
 * The uppermost scene at a point of the unit square; x may be outside it, where the world repeats.
 * @param {Outline[]} scenes the lowest first @param {number} x @param {number} y
 */
export function sceneAt(scenes, x, y) {
  const column = x - Math.floor(x);
  return scenes.findLast(({ rings, square: [x0, y0, x1, y1] }) => {
    if (column < x0 || column > x1 || y < y0 || y > y1) return false;
    return rings.some((ring) => holds(ring, column, y));
  });
}

/**
 * Whether a ring is around a point: whether a line to the east of it crosses an odd number of sides.
 * @param {Ring} ring @param {number} x @param {number} y
 */
function holds(ring, x, y) {
  let inside = false;
  let [x0, y0] = ring.at(-1) ?? [0, 0];
  for (const [x1, y1] of ring) {
    if (y0 > y !== y1 > y && x < x0 + ((y - y0) / (y1 - y0)) * (x1 - x0)) inside = !inside;
    [x0, y0] = [x1, y1];
  }
  return inside;
}
