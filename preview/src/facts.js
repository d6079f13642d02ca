/** A layer's facts in words. */

import { zooms } from "./format.js";

/** @typedef {import("./site.js").Layer} Layer */

/** @type {Record<string, string>} */
const FORMATS = { png: "PNG", jpg: "JPEG", webp: "WebP" };
/** @type {Record<string, string>} */
const KINDS = { shade: "shade", heights: "heights", contours: "contours" };

/** @type {Record<string, string>} what the values of a style are; those of a plain ramp may be anything */
const MEASURES = { relief: "heights", slope: "slopes" };

/**
 * What a ramp of colours shows: `values`, `heights in m`
 * @param {{style: string, unit?: string}} ramp
 */
export const measureOf = ({ style, unit = "" }) => (MEASURES[style] ?? "values") + (unit ? ` in ${unit}` : "");

/**
 * The title, or the id where none was given.
 * @param {{layer: string, title?: string}} layer
 */
export const titleOf = ({ layer, title = "" }) => title || layer;

/**
 * What the tiles are: `PNG, 7 classes`, `WebP`
 * @param {Layer} layer
 */
export function formatOf({ format, kind, style, legend = null, virtual }) {
  const classes = legend?.type === "classes" ? `${legend.classes.length} classes` : kind === "classes" ? "classes" : "";
  const ramp = kind === "ramp" ? measureOf({ style, unit: legend?.unit }) : "";
  const what = classes || ramp || (kind ? KINDS[kind] : style);
  return [FORMATS[format] ?? format.toUpperCase(), what, virtual ? "virtual" : ""].filter(Boolean).join(", ");
}

/**
 * The facts below a title; the id is one of them only if the title differs.
 * @param {Layer} layer
 * @returns {{text: string, mono: boolean}[]}
 */
export function factsOf(layer) {
  const facts = [
    { text: formatOf(layer), mono: false },
    { text: `zoom${layer.minzoom === layer.maxzoom ? "" : "s"} ${zooms(layer.minzoom, layer.maxzoom)}`, mono: false },
  ];
  return titleOf(layer) === layer.layer ? facts : [{ text: layer.layer, mono: true }, ...facts];
}
