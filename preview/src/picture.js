/** Draws a layer's tiles in a map. */

import { serve } from "./loader.js";
import { colour } from "./palette.js";
import { theme } from "./theme.js";

/** @typedef {import("maplibre-gl").Map} GlMap */
/** @typedef {import("./loader.js").Origin} Origin */
/**
 * @typedef {object} Picture
 * @property {string} template
 * @property {import("./mercator.js").Bounds} bounds
 * @property {number} minzoom
 * @property {number} maxzoom
 * @property {string} style the layer's style; encoded heights are drawn as a relief
 */
/**
 * @typedef {object} How
 * @property {boolean} double whether to show tiles of 512 pixels
 * @property {boolean} raw whether to show encoded heights as they are
 * @property {RequestCache} cache
 * @property {import("./tiles.js").TileLog} [log]
 * @property {import("./parents.js").Parents} [parents] keeps copies of the pictures
 */

/** @type {Record<string, "mapbox" | "terrarium">} */
const ENCODINGS = { "terrain-rgb": "mapbox", terrarium: "terrarium", mapbox: "mapbox" };
const SIDE = 256; // pixels of a tile on the map

/**
 * Whether a style encodes heights.
 * @param {string} style
 */
export const hasHeights = (style) => style in ENCODINGS;

/**
 * Shows `picture` in `map` in place of the previous one.
 * @param {GlMap} map @param {string} name of its own for each map @param {Picture | null} picture @param {How} how
 */
export function show(map, name, picture, how) {
  if (map.getLayer(name)) map.removeLayer(name);
  if (map.getSource(name)) map.removeSource(name);
  if (!picture) return;
  const { template, bounds, minzoom, maxzoom, style } = picture;
  const encoding = how.raw ? undefined : ENCODINGS[style];
  const address = serve(name, {
    template,
    bounds,
    double: how.double,
    heights: encoding !== undefined,
    cache: how.cache,
    ...(how.log ? { log: how.log } : {}),
    ...(how.parents && !encoding ? { keep: (tile, picture) => how.parents?.keep(tile, picture) } : {}),
  });
  const source = { tiles: [address], tileSize: SIDE, minzoom, maxzoom };
  if (encoding) {
    map.addSource(name, { type: "raster-dem", encoding, ...source });
    map.addLayer({ id: name, type: "hillshade", source: name, paint: shades() });
  } else {
    map.addSource(name, { type: "raster", ...source });
    map.addLayer({ id: name, type: "raster", source: name, paint: { "raster-fade-duration": 120 } });
  }
}

function shades() {
  const dark = theme() === "dark";
  return {
    "hillshade-shadow-color": dark ? "#000000" : "#3c3a36",
    "hillshade-highlight-color": dark ? "#c9c5bb" : "#ffffff",
    "hillshade-accent-color": colour("quiet"),
    "hillshade-exaggeration": 0.6,
  };
}

/**
 * Reloads the tiles in view.
 * @param {GlMap} map @param {string} name
 */
export function reload(map, name) {
  const source = map.getSource(name);
  if (source && "setTiles" in source && "tiles" in source) {
    /** @type {import("maplibre-gl").RasterTileSource} */ (source).setTiles(
      /** @type {import("maplibre-gl").RasterTileSource} */ (source).tiles,
    );
  }
}
