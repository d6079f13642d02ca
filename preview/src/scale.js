/** The scale bar. */

const CIRCUMFERENCE = 2 * Math.PI * 6378137; // metres, of Web Mercator's sphere

/**
 * A round length of at most `longest` pixels, and its pixels.
 * @param {number} latitude degrees @param {number} world pixels @param {number} longest pixels
 */
export function rule(latitude, world, longest) {
  const metres = (CIRCUMFERENCE * Math.cos((latitude * Math.PI) / 180)) / world; // a pixel
  const most = metres * longest;
  const power = 10 ** Math.floor(Math.log10(most));
  const length = power * ([5, 2, 1].find((digit) => digit * power <= most) ?? 1);
  return { text: format(length), pixels: length / metres };
}

/** @param {number} metres */
function format(metres) {
  if (metres >= 1000) return `${(metres / 1000).toLocaleString("en")} km`;
  if (metres >= 1) return `${Math.round(metres)} m`;
  return metres >= 0.01 ? `${Math.round(metres * 100)} cm` : `${Number((metres * 1000).toPrecision(1))} mm`;
}
