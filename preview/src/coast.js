/** Reads the coasts and borders that ground.mjs writes, and thins them out for small scales. */

/** @typedef {import("./mercator.js").Square} Square */
/** @typedef {{points: Float64Array, square: Square}} Line x and y by turns, in the unit square, or beyond it to the east or west */
/** @typedef {{land: Line[], borders: Line[]}} Coast */

const SIDE = 2 ** 15; // positions along each axis

/**
 * @param {Uint8Array} bytes
 * @returns {Coast}
 */
export function coastOf(bytes) {
  let at = 0;
  const whole = () => {
    let number = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++];
      if (byte === undefined) throw new Error("the outlines end too early");
      number |= (byte & 127) << shift;
      if (byte < 128) return number;
    }
  };
  const signed = () => {
    const number = whole();
    return number & 1 ? -(number + 1) / 2 : number / 2;
  };
  const lines = () => {
    let [x, y] = [0, 0];
    return Array.from({ length: whole() }, () => {
      const points = new Float64Array(2 * whole());
      for (let i = 0; i < points.length; i += 2) {
        x += signed();
        y += signed();
        points[i] = x / SIDE;
        points[i + 1] = y / SIDE;
      }
      return lineOf(points);
    });
  };
  return { land: lines(), borders: lines() };
}

/** @param {Float64Array} points @returns {Line} */
function lineOf(points) {
  /** @type {Square} */
  const square = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0];
  for (let i = 0; i < points.length; i += 2) {
    const [x, y] = [points[i] ?? 0, points[i + 1] ?? 0];
    square[0] = Math.min(square[0], x);
    square[1] = Math.min(square[1], y);
    square[2] = Math.max(square[2], x);
    square[3] = Math.max(square[3], y);
  }
  return { points, square };
}

/**
 * The lines without points nearer to the one before than `apart`, and without lines smaller than it.
 * @param {Line[]} lines @param {number} apart in the unit square
 */
export function thinned(lines, apart) {
  const large = lines.filter(({ square: [x0, y0, x1, y1] }) => Math.max(x1 - x0, y1 - y0) >= apart);
  return large.map(({ points, square }) => {
    const kept = [points[0] ?? 0, points[1] ?? 0];
    for (let i = 2; i < points.length; i += 2) {
      const [x, y] = [points[i] ?? 0, points[i + 1] ?? 0];
      const far = Math.hypot(x - (kept.at(-2) ?? 0), y - (kept.at(-1) ?? 0)) >= apart;
      if (far || i === points.length - 2) kept.push(x, y);
    }
    return { points: Float64Array.from(kept), square };
  });
}
