/** MapLibre's tiles, fetched by the page itself, so that it knows what became of each. */

import { addProtocol } from "maplibre-gl";
import { touches } from "./mercator.js";
import { hasPixels } from "./pixels.js";
import { address } from "./tiles.js";

/** @typedef {import("./mercator.js").Bounds} Bounds */
/** @typedef {import("./tiles.js").TileLog} TileLog */
/**
 * @typedef {object} Origin where the tiles of a source come from
 * @property {string} template
 * @property {Bounds} bounds outside of which nothing is asked for
 * @property {boolean} double whether the tiles of 512 pixels are wanted
 * @property {boolean} heights whether colours are numbers and must stay exact
 * @property {RequestCache} cache
 * @property {TileLog} [log]
 */

const SCHEME = "tiles";
const NOTHING = { data: /** @type {any} */ (null) }; // drawn as a transparent tile

/** @type {Map<string, Origin>} */
const origins = new Map();

/**
 * The address by which MapLibre asks for the tiles of `origin`.
 * @param {string} name @param {Origin} origin
 */
export function serve(name, origin) {
  origins.set(name, origin);
  return `${SCHEME}://${name}/{z}/{x}/{y}`;
}

/** Have MapLibre ask this page for its tiles. */
export function register() {
  addEventListener("resourcetimingbufferfull", () => performance.clearResourceTimings()); // it would take no more
  addProtocol(SCHEME, ({ url }, controller) => load(url, controller.signal));
}

/** @param {string} url @param {AbortSignal} signal */
async function load(url, signal) {
  const [name = "", ...numbers] = url.slice(SCHEME.length + 3).split("/");
  const [z = 0, x = 0, y = 0] = numbers.map(Number);
  const origin = origins.get(name);
  if (!origin || !touches(origin.bounds, z, x, y)) return NOTHING;
  const tile = { z, x, y };
  const start = performance.now();
  origin.log?.note(tile, "asked");
  try {
    const { state, ms, data } = await ask(origin, address(origin.template, tile, origin.double), start, signal);
    origin.log?.note(tile, state, ms);
    return data ? { data } : NOTHING;
  } catch (error) {
    if (signal.aborted) origin.log?.forget(tile);
    else origin.log?.note(tile, "failed", performance.now() - start);
    throw error;
  }
}

/**
 * The milliseconds that an answer took as the browser's network saw it: by the page's own clock what else the page is
 * busy with, such as drawing, counts too.
 * @param {string} url @param {number} start when it was asked for
 */
function took(url, start) {
  const seen = performance.getEntriesByName(url, "resource").findLast((entry) => entry.startTime >= start);
  return seen ? seen.duration : performance.now() - start;
}

/**
 * @param {Origin} origin @param {string} url @param {number} start @param {AbortSignal} signal
 * @returns {Promise<{state: import("./tiles.js").State, ms: number, data: ImageBitmap | null}>}
 */
async function ask(origin, url, start, signal) {
  const response = await fetch(url, { signal, cache: origin.cache });
  if (response.status === 404) return { state: "empty", ms: took(url, start), data: null };
  if (!response.ok) throw new Error(`${response.status} for ${url}`);
  const blob = await response.blob();
  const ms = took(url, start);
  const exact = /** @type {const} */ ({ premultiplyAlpha: "none", colorSpaceConversion: "none" });
  const picture = await createImageBitmap(blob, origin.heights ? exact : undefined);
  if (blob.type !== "image/jpeg" && !hasPixels(picture)) return { state: "empty", ms, data: null };
  return { state: response.redirected ? "rendered" : "stored", ms, data: picture };
}
