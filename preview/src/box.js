/** A box: its edges, rounded outward, and the commands for it. */

import { decimals } from "./format.js";
import { latitudeAt, longitudeAt, MAX_LATITUDE, wrapLongitude } from "./mercator.js";

/** @typedef {import("./mercator.js").Bounds} Bounds */
/** @typedef {import("./mercator.js").Square} Square */

/**
 * The box of a rectangle in the unit square, rounded outward to roughly a pixel of zoom `z`.
 * @param {Square} square its corners in any order @param {number} z
 * @returns {Bounds}
 */
export function boxOf([xa, ya, xb, yb], z) {
  const digits = decimals(z);
  const [x0, x1] = [Math.min(xa, xb), Math.max(xa, xb)];
  const [north, south] = [latitudeAt(Math.max(0, Math.min(ya, yb))), latitudeAt(Math.min(1, Math.max(ya, yb)))];
  const whole = x1 - x0 >= 1;
  const west = whole ? -180 : wrapLongitude(longitudeAt(x0));
  const east = whole ? 180 : wrapLongitude(longitudeAt(x1));
  return [
    Math.max(-180, down(west, digits)),
    Math.max(-90, down(Math.max(south, -MAX_LATITUDE), digits)),
    Math.min(180, up(east, digits)),
    Math.min(90, up(Math.min(north, MAX_LATITUDE), digits)),
  ];
}

/** @param {number} value @param {number} digits */
const down = (value, digits) =>
  Number((Math.floor(Number((value * 10 ** digits).toFixed(4))) / 10 ** digits).toFixed(digits));

/** @param {number} value @param {number} digits */
const up = (value, digits) => -down(-value, digits) || 0;

/**
 * The error of a box, empty if it is valid.
 * @param {Bounds} box
 */
export function faultOf([west, south, east, north]) {
  if (![west, south, east, north].every(Number.isFinite)) return "Enter all four edges in degrees.";
  if (Math.abs(west) > 180 || Math.abs(east) > 180) return "West and east must be between -180 and 180.";
  if (Math.abs(south) > 90 || Math.abs(north) > 90) return "South and north must be between -90 and 90.";
  if (south >= north) return "South must be less than north.";
  return west === east ? "West and east must differ." : "";
}

/** @typedef {"seed" | "verify" | "export" | "invalidate"} Verb */

/**
 * The commands for a box: their names and effects.
 * @type {Record<Verb, {name: string, effect: string}>}
 */
export const VERBS = {
  seed: {
    name: "Seed",
    effect: "Renders and stores the missing tiles. Run it again at any time: it continues from where it stopped.",
  },
  verify: {
    name: "Verify",
    effect: "Compares the stored tiles with the plan and prints the gaps. It changes nothing.",
  },
  export: { name: "Export", effect: "Writes the stored tiles into one file. It changes nothing." },
  invalidate: { name: "Invalidate", effect: "Removes the stored tiles. They are rendered again on request." },
};

/**
 * The command for a box, or for the whole layer.
 * @param {Verb} verb
 * @param {{layer: string, where: string, low: number, high: number, box: Bounds | null}} asked
 */
export function commandOf(verb, { layer, where, low, high, box }) {
  const zooms = low === high ? `${low}` : `${low}-${high}`;
  const file = verb === "export" ? ` ${layer}${box ? "-box" : ""}.pmtiles` : "";
  // "=" keeps a negative west from being read as an option
  const options = `${layer}${file} --zooms ${zooms}${box ? ` --bbox=${box.map(plain).join(",")}` : ""}${where}`;
  return `${verb === "seed" ? "seed" : `seeder ${verb}`} ${options}`;
}

/**
 * A number without an exponent.
 * @param {number} value
 */
export const plain = (value) => {
  const text = String(value);
  return text.includes("e") ? value.toFixed(8).replace(/\.?0+$/, "") : text;
};
