/** The legend of a layer: names of classes, or a ramp of values. */

import { make } from "./dom.js";
import { measureOf } from "./facts.js";

/** @typedef {{value: number, name: string, color: string, share?: number | null}} ClassEntry */
/** @typedef {{type: "classes", classes: ClassEntry[], unit?: string}} ClassLegend */
/** @typedef {{type: "ramp", stops: {value: number, color: string}[], unit?: string}} RampLegend */
/** @typedef {ClassLegend | RampLegend} Legend */

const COLOR = /^#[0-9a-f]{3,8}$/i;

/** @param {string} color */
const safe = (color) => (COLOR.test(color) ? color : "transparent");

/**
 * A share of the data: `12%`, `0.3%`, `<0.1%`
 * @param {number} share from 0 to 1
 */
export function shareOf(share) {
  const percent = share * 100;
  if (percent > 0 && percent < 0.1) return "<0.1%";
  return `${percent < 0.95 && percent > 0 ? percent.toFixed(1) : Math.round(percent)}%`;
}

/**
 * The values to write below a ramp: at most four, evenly spaced, with as many digits as tell them apart.
 * @param {number} low @param {number} high
 */
export function rampLabels(low, high) {
  const step = (high - low) / 3;
  if (!(step > 0)) return [low.toLocaleString("en")];
  const digits = Math.min(6, Math.max(0, Math.ceil(1 - Math.log10(step))));
  const format = new Intl.NumberFormat("en", { maximumFractionDigits: digits });
  return [0, 1, 2, 3].map((at) => format.format(low + at * step));
}

/**
 * The legend's heading.
 * @param {Legend} legend @param {string} [style] of the layer
 */
export function legendTitle(legend, style = "") {
  if (legend.type === "classes") return legend.unit ? `Legend, ${legend.unit}` : "Legend";
  const measure = measureOf({ style, unit: legend.unit });
  return measure.charAt(0).toUpperCase() + measure.slice(1);
}

/**
 * The legend without its heading.
 * @param {Legend} legend @param {{shares?: boolean}} [how] whether to show what share of the data each class has
 */
export function legendBody(legend, { shares = false } = {}) {
  if (legend.type === "classes") {
    const items = legend.classes.map(({ value, name, color, share }) => {
      const swatch = make("span", { class: "swatch", style: `--c:${safe(color)}` });
      const known = shares && typeof share === "number" ? shareOf(share) : "";
      return make("li", {}, swatch, name || String(value), make("span", { class: "quiet" }, known));
    });
    return make("ul", { class: "classes", "data-testid": "legend" }, ...items);
  }
  const values = legend.stops.map(({ value }) => value);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const at = (/** @type {number} */ value) => (high > low ? (100 * (value - low)) / (high - low) : 0);
  const stops = legend.stops.map(({ value, color }) => `${safe(color)} ${at(value).toFixed(2)}%`);
  if (stops.length === 1) stops.push(`${stops[0]?.split(" ")[0]} 100%`);
  const labels = rampLabels(low, high).map((label) => make("span", {}, label));
  const bar = make("i", { style: `--ramp:${stops.join(", ")}` });
  return make("div", { class: "ramp", "data-testid": "legend" }, bar, make("div", {}, ...labels));
}
