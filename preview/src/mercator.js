/**
 * Arithmetic of the Web Mercator world as a unit square: x grows eastward from the antimeridian, y southward from the
 * northern edge. Tiles are those of the XYZ grid, 256 pixels wide.
 */

/** @typedef {[west: number, south: number, east: number, north: number]} Bounds degrees; west > east crosses 180° */
/** @typedef {{x: number, y: number, world: number, width: number, height: number}} View the centre in the unit square, the width of the world and the size of the map in CSS pixels */
/** @typedef {{z: number, x: number, y: number, wrap: number}} Tile `wrap` counts worlds east of the first */
/** @typedef {[x0: number, y0: number, x1: number, y1: number]} Square in the unit square, or in pixels */

export const MAX_LATITUDE = (Math.atan(Math.sinh(Math.PI)) * 180) / Math.PI;

const EDGE = 1e-9; // of a tile: a box that only touches a tile's edge is outside it

/** @param {number} longitude */
export const worldX = (longitude) => longitude / 360 + 0.5;

/** @param {number} latitude */
export function worldY(latitude) {
  const radians = (Math.max(-MAX_LATITUDE, Math.min(MAX_LATITUDE, latitude)) * Math.PI) / 180;
  return 0.5 - Math.asinh(Math.tan(radians)) / (2 * Math.PI);
}

/** @param {number} x */
export const longitudeAt = (x) => (x - 0.5) * 360;

/** @param {number} y */
export const latitudeAt = (y) => (Math.atan(Math.sinh((0.5 - y) * 2 * Math.PI)) * 180) / Math.PI;

/**
 * The same meridian between -180 and 180 degrees.
 * @param {number} longitude
 */
export function wrapLongitude(longitude) {
  if (longitude >= -180 && longitude <= 180) return longitude;
  return ((((longitude + 180) % 360) + 360) % 360) - 180;
}

/**
 * The position of a point of the unit square on the screen, in pixels from the map's north-west corner.
 * @param {View} view @param {number} x @param {number} y
 * @returns {[number, number]}
 */
export const toScreen = (view, x, y) => [
  (x - view.x) * view.world + view.width / 2,
  (y - view.y) * view.world + view.height / 2,
];

/**
 * The inverse of `toScreen`.
 * @param {View} view @param {number} left @param {number} top
 * @returns {[number, number]}
 */
export const toWorld = (view, left, top) => [
  (left - view.width / 2) / view.world + view.x,
  (top - view.height / 2) / view.world + view.y,
];

/**
 * The visible part of the unit square; x may be outside it, where the world repeats.
 * @param {View} view
 * @returns {Square}
 */
export function visible(view) {
  const [x0, y0] = toWorld(view, 0, 0);
  const [x1, y1] = toWorld(view, view.width, view.height);
  return [x0, Math.max(0, y0), x1, Math.min(1, y1)];
}

/**
 * The bounds of the view.
 * @param {View} view
 * @returns {Bounds}
 */
export function viewBounds(view) {
  const [x0, y0, x1, y1] = visible(view);
  if (x1 - x0 >= 1) return [-180, latitudeAt(y1), 180, latitudeAt(y0)];
  return [wrapLongitude(longitudeAt(x0)), latitudeAt(y1), wrapLongitude(longitudeAt(x1)), latitudeAt(y0)];
}

/**
 * The tiles of zoom `z` in the view, also partly visible ones.
 * @param {View} view @param {number} z
 * @returns {Tile[]}
 */
export function cover(view, z) {
  const side = 2 ** z;
  const [x0, y0, x1, y1] = visible(view);
  const tiles = [];
  for (let y = Math.floor(y0 * side + EDGE); y < Math.min(side, y1 * side - EDGE); y++) {
    for (let x = Math.floor(x0 * side + EDGE); x < x1 * side - EDGE; x++) {
      const wrap = Math.floor(x / side);
      tiles.push({ z, x: x - wrap * side, y, wrap });
    }
  }
  return tiles;
}

/**
 * The zoom of the 256-pixel tiles in a view, as chosen by MapLibre.
 * @param {View} view @param {number} minzoom @param {number} maxzoom
 * @returns {number | null} null if the view is too far out to show the layer
 */
export function tileZoom(view, minzoom, maxzoom) {
  const z = Math.max(0, Math.round(Math.log2(view.world / 256)));
  return z < minzoom ? null : Math.min(z, maxzoom);
}

/**
 * A box in the unit square, its east always right of its west, so x may exceed 1.
 * @param {Bounds} bounds
 * @returns {Square}
 */
export function squareOf([west, south, east, north]) {
  const x0 = worldX(west);
  const x1 = worldX(east);
  return [x0, worldY(north), x1 < x0 ? x1 + 1 : x1, worldY(south)];
}

/**
 * Whether a tile and a box share more than an edge.
 * @param {Bounds} bounds @param {number} z @param {number} x @param {number} y
 */
export function touches(bounds, z, x, y) {
  const side = 2 ** z;
  const [x0, y0, x1, y1] = squareOf(bounds).map((edge) => edge * side);
  const [west = 0, north = 0, east = 0, south = 0] = [x0, y0, x1, y1];
  const across = [x, x + side].some((column) => column < east - EDGE && column + 1 > west + EDGE);
  return across && y < south - EDGE && y + 1 > north + EDGE;
}

/**
 * The worlds in which the range from x0 to x1 is visible.
 * @param {View} view @param {number} x0 @param {number} x1
 * @returns {number[]} worlds to shift the range by
 */
export function copies(view, x0, x1) {
  const [left, , right] = visible(view);
  const first = Math.ceil(left - x1);
  const last = Math.floor(right - x0);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => first + i);
}
