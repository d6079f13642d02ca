/** The outline of squares that lie side by side. */

/**
 * Adds the sides of a square that it does not share with another.
 * @param {Path2D} path @param {number[]} corners left, top, right and bottom, pixels
 * @param {(across: number, down: number) => boolean} shared whether the square that many squares away has the outline too
 */
export function addSides(path, [left = 0, top = 0, right = 0, bottom = 0], shared) {
  const line = (
    /** @type {number} */ ax,
    /** @type {number} */ ay,
    /** @type {number} */ bx,
    /** @type {number} */ by,
  ) => {
    path.moveTo(ax, ay);
    path.lineTo(bx, by);
  };
  if (!shared(0, -1)) line(left, top, right, top);
  if (!shared(0, 1)) line(left, bottom, right, bottom);
  if (!shared(-1, 0)) line(left, top, left, bottom);
  if (!shared(1, 0)) line(right, top, right, bottom);
}
