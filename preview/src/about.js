/** The tab of facts about the layer, and its attribution on the map. */

import { plain } from "./box.js";
import { copyButton } from "./copy.js";
import { byId, make, plainMarkup, setText } from "./dom.js";
import { formatOf } from "./facts.js";
import { counted, decimals } from "./format.js";
import { dayOf } from "./revisions.js";

/** @typedef {import("./revisions.js").Facts} Facts */

const SOURCES = /** @type {const} */ ([
  ["Map: MapLibre GL JS", "maplibre-license.txt"],
  ["Outlines: Natural Earth, public domain", ""],
]);

/**
 * Shows the facts about a layer.
 * @param {Facts} layer
 */
export function showAbout(layer) {
  const {
    bounds,
    rescale = [],
    revision,
    virtual,
    lossless,
    gdal,
    scenes = 0,
    published,
    attribution,
    description = "",
  } = layer;
  setText(byId("description"), description);
  byId("description").hidden = !description;
  const digits = decimals(layer.maxzoom);
  const edges = bounds.map((edge) => plain(Number(edge.toFixed(digits))));
  const box = edges.join(",");
  const copy = copyButton(box, { name: "the bounds", look: "b bare" });
  const made = [formatOf(layer), lossless === undefined ? "" : lossless ? "lossless" : "lossy"].filter(Boolean);
  /** @type {[string, (Node | string)[]][]} */
  const facts = [
    ["Attribution", [attribution ? plainMarkup(attribution) : "none given"]],
    [
      "Bounds",
      [
        make("span", { class: "mono" }, ...edges.flatMap((edge, i) => (i ? [",", make("wbr"), edge] : [edge]))),
        " ",
        copy,
      ],
    ],
    ["Tiles", [made.join(", ")]],
    ["Stretch", [stretchOf(rescale)]],
    [
      "Source",
      [virtual ? "read from the original raster" : scenes > 1 ? counted(scenes, "scene") : "baked from one raster"],
    ],
    ["Revision", [make("span", { class: "mono" }, revision), published ? ` of ${dayOf(published)}` : ""]],
    ["GDAL", [gdal ?? ""]],
  ];
  const known = facts.filter(([, values]) => values.some((value) => typeof value !== "string" || value));
  byId("about").replaceChildren(
    ...known.flatMap(([term, values]) => [make("dt", {}, term), make("dd", {}, ...values)]),
  );
}

const VALUE = new Intl.NumberFormat("en", { maximumSignificantDigits: 6 });

/**
 * The values shown as the darkest and lightest colours, once if they are those of all bands.
 * @param {[number, number][]} rescale
 */
function stretchOf(rescale) {
  const bands = rescale.map(([low, high]) => `${VALUE.format(low)} to ${VALUE.format(high)}`);
  return [...new Set(bands)].join("; ");
}

/**
 * Names on the map the makers of what it shows.
 * @param {string} attribution of the layer @param {string} below HTML, of what is below it, or empty
 */
export function showAttribution(attribution, below) {
  const place = byId("attribution");
  const key = `${attribution}|${below}`;
  if (place.dataset.shown === key) return;
  place.dataset.shown = key;
  place.replaceChildren(plainMarkup(attribution), attribution && below ? " \u00b7 " : "", plainMarkup(below));
  place.hidden = !attribution && !below;
}

/** Names the makers of what the page is made of. */
export function showCredits() {
  const items = SOURCES.map(([text, file]) => make("li", {}, file ? make("a", { href: file }, text) : text));
  byId("credits").replaceChildren(...items);
}
