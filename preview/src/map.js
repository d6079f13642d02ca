/** The map, without what is shown in it: where it begins, how it is moved, what its address says. */

import { Map as GlMap } from "maplibre-gl";
import { NARROW } from "./about.js";
import { button, byId } from "./dom.js";
import { formatHash, parseHash } from "./hash.js";
import { worldX, worldY } from "./mercator.js";

/** @typedef {import("./mercator.js").Bounds} Bounds */
/** @typedef {import("./site.js").Layer} Layer */

const DEEPER = 4; // zooms that the map goes beyond the layer's last
const WIDER = -1; // MapLibre's zooms count tiles of 512 pixels: one less than those of 256

/**
 * A map that neither turns nor tilts, so that all that is drawn over it is upright.
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
  map.on("error", () => {}); // what a failed tile means is told by its border
  map.getCanvas().setAttribute("aria-label", `Map of ${layer.layer}: arrow keys move it, plus and minus zoom`);
  keepAddress(map);
  button("zoom-in").addEventListener("click", () => map.zoomIn());
  button("zoom-out").addEventListener("click", () => map.zoomOut());
  return map;
}

/** @param {Layer} layer */
export const deepest = (layer) => layer.maxzoom + DEEPER + WIDER;

/**
 * What the map shows.
 * @param {GlMap} map
 * @returns {import("./mercator.js").View}
 */
export function viewOf(map) {
  const { lng, lat } = map.getCenter();
  const { clientWidth: width, clientHeight: height } = map.getContainer();
  return { x: worldX(lng), y: worldY(lat), world: 512 * 2 ** map.getZoom(), width, height };
}

/**
 * Bounds as MapLibre takes them, and room around them.
 * @param {Bounds} bounds
 * @returns {[[number, number, number, number], {padding: import("maplibre-gl").PaddingOptions}]}
 */
export function fit([west, south, east, north]) {
  const sheet = NARROW.matches ? (byId("panel").querySelector("header")?.clientHeight ?? 0) : 0;
  const side = NARROW.matches ? 16 : 56;
  const padding = { top: 40, right: side, bottom: 40 + sheet, left: side };
  return [[west, south, east < west ? east + 360 : east, north], { padding }];
}

/**
 * Where the map begins: at what the address names, or with the whole layer.
 * @param {Layer} layer
 */
function firstView(layer) {
  const place = parseHash(location.hash);
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
 * Keeps the view in the page's address, and goes where that is changed to.
 * @param {GlMap} map
 */
function keepAddress(map) {
  map.on("moveend", () => {
    const { lng, lat } = map.getCenter().wrap();
    history.replaceState(null, "", formatHash({ zoom: map.getZoom() - WIDER, latitude: lat, longitude: lng }));
  });
  addEventListener("hashchange", () => {
    const place = parseHash(location.hash);
    if (place) map.jumpTo(camera(place));
  });
}
