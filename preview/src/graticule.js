/** Meridians and parallels to draw, and their labels. */

const FINEST = 7; // decimals of a degree: a centimetre
const APART = 96; // pixels, minimum distance of lines
const STEPS = [45, 30, 15, 10, 5, 2, 1]; // degrees, from coarse to fine
for (let digit = 1; digit <= FINEST; digit++) STEPS.push(...[5, 2, 1].map((each) => each / 10 ** digit));

/**
 * Degrees between two lines, if a degree of longitude is `pixels` wide.
 * @param {number} pixels
 */
export const spacing = (pixels) => STEPS.findLast((step) => step * pixels >= APART) ?? 45;

/**
 * The multiples of `step` from `low` to `high`.
 * @param {number} low @param {number} high @param {number} step
 */
export function lines(low, high, step) {
  const first = Math.ceil(low / step - 1e-9);
  const count = Math.max(0, Math.floor(high / step + 1e-9) - first + 1);
  return Array.from({ length: count }, (_, i) => (first + i) * step);
}

/**
 * Decimals needed to distinguish multiples of `step`.
 * @param {number} step
 */
export const digits = (step) => Math.max(0, Math.ceil(-Math.log10(step) - 1e-9));

/**
 * `12.5° E`
 * @param {number} longitude @param {number} step
 */
export function meridian(longitude, step) {
  const turned = ((((longitude + 180) % 360) + 360) % 360) - 180;
  const size = Math.abs(turned).toFixed(digits(step));
  if (Number(size) === 0 || Number(size) === 180) return `${size}°`;
  return `${size}°\u2009${turned < 0 ? "W" : "E"}`;
}

/**
 * `45° N`
 * @param {number} latitude @param {number} step
 */
export function parallel(latitude, step) {
  const size = Math.abs(latitude).toFixed(digits(step));
  return Number(size) === 0 ? `${size}°` : `${size}°\u2009${latitude < 0 ? "S" : "N"}`;
}
