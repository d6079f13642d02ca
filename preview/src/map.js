/** The map without its layers: first view, controls, and the view in the page's URL. */

import { Map as GlMap } from "maplibre-gl";
import { keepPlace, placeNow, watchAddress } from "./address.js";
import { button } from "./dom.js";
import { titleOf } from "./facts.js";
import { worldX, worldY } from "./mercator.js";

/** @typedef {import("./mercator.js").Bounds} Bounds */
/** @typedef {import("./site.js").Layer} Layer */

const DEEPER = 4; // zooms of the map beyond the layer's maximum
const NARROW = matchMedia("(width <= 720px)");
const WIDER = -1; // MapLibre's zooms are for tiles of 512 pixels: one less than for 256

/**
 * Creates a map without rotation and tilt, so that everything drawn over it is upright.
 * @param {Layer} layer
 */
export function makeMap(layer) {
  const map = new GlMap({
    container: "map",
    style: { version: 8, sources: {}, layers: [] },
    attributionControl: false,
    boxZoom: false,
    dragRotate: false,
    touchPitch: false,
    maxPitch: 0,
    minZoom: WIDER,
    maxZoom: deepest(layer),
    fadeDuration: 0,
    ...firstView(layer),
  });
  map.touchZoomRotate.disableRotation();
  map.keyboard.disableRotation();
  map.on("error", () => {}); // a failed tile is shown by its border
  map
    .getCanvas()
    .setAttribute("aria-label", `Map of ${titleOf(layer)}. Move with the arrow keys, zoom with plus and minus.`);
  keepAddress(map);
  button("zoom-in").addEventListener("click", () => map.zoomIn());
  button("zoom-out").addEventListener("click", () => map.zoomOut());
  return map;
}

/** @param {Layer} layer */
export const deepest = (layer) => layer.maxzoom + DEEPER + WIDER;

/**
 * The map's view.
 * @param {GlMap} map
 * @returns {import("./mercator.js").View}
 */
export function viewOf(map) {
  const { lng, lat } = map.getCenter();
  const { clientWidth: width, clientHeight: height } = map.getContainer();
  return { x: worldX(lng), y: worldY(lat), world: 512 * 2 ** map.getZoom(), width, height };
}

/**
 * Bounds in MapLibre's form, with padding.
 * @param {Bounds} bounds
 * @returns {[[number, number, number, number], {padding: import("maplibre-gl").PaddingOptions}]}
 */
export function fit([west, south, east, north]) {
  const side = NARROW.matches ? 16 : 56;
  const padding = { top: 32, right: side, bottom: 48, left: side };
  return [[west, south, east < west ? east + 360 : east, north], { padding }];
}

/**
 * The first view: from the URL, or the whole layer.
 * @param {Layer} layer
 */
function firstView(layer) {
  const place = placeNow();
  if (place) return camera(place);
  const [bounds, fitBoundsOptions] = fit(layer.bounds);
  return { bounds, fitBoundsOptions };
}

/** @param {import("./hash.js").Place} place */
const camera = ({ zoom, latitude, longitude }) => ({
  center: /** @type {[number, number]} */ ([longitude, latitude]),
  zoom: zoom + WIDER,
});

/**
 * Keeps the view in the page's URL, and follows changes of the URL.
 * @param {GlMap} map
 */
function keepAddress(map) {
  map.on("moveend", () => {
    const { lng, lat } = map.getCenter().wrap();
    keepPlace({ zoom: map.getZoom() - WIDER, latitude: lat, longitude: lng });
  });
  watchAddress(() => {
    const place = placeNow();
    if (place) map.jumpTo(camera(place));
  });
}
