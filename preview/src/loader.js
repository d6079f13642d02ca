/** Fetches MapLibre's tiles in the page itself, to record the result of each. */

import { addProtocol } from "maplibre-gl";
import { touches } from "./mercator.js";
import { hasPixels } from "./pixels.js";
import { fetchAgain } from "./retry.js";
import { Refused } from "./site.js";
import { address } from "./tiles.js";

/** @typedef {import("./mercator.js").Bounds} Bounds */
/** @typedef {import("./tiles.js").TileLog} TileLog */
/**
 * @typedef {object} Origin the tiles of a source
 * @property {string} template
 * @property {Bounds} bounds outside of which no tile is requested
 * @property {boolean} double whether to request tiles of 512 pixels
 * @property {boolean} heights whether colours encode heights and must stay exact
 * @property {RequestCache} cache
 * @property {TileLog} [log]
 * @property {(tile: import("./tiles.js").Name, picture: ImageBitmap) => void} [keep] is given each picture
 */

const SCHEME = "tiles";
const NOTHING = { data: /** @type {any} */ (null) }; // drawn as a transparent tile

/** @type {Map<string, Origin>} */
const origins = new Map();

/**
 * The URL template by which MapLibre requests the tiles of `origin`.
 * @param {string} name @param {Origin} origin
 */
export function serve(name, origin) {
  origins.set(name, origin);
  return `${SCHEME}://${name}/{z}/{x}/{y}`;
}

/** Registers the page as MapLibre's source of tiles. */
export function register() {
  addEventListener("resourcetimingbufferfull", () => performance.clearResourceTimings()); // a full buffer records nothing
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
    const { state, ms, data } = await fetchTile(origin, address(origin.template, tile, origin.double), start, signal);
    if (data) origin.keep?.(tile, data);
    origin.log?.note(tile, state, ms);
    return data ? { data } : NOTHING;
  } catch (error) {
    if (signal.aborted) origin.log?.forget(tile);
    else origin.log?.note(tile, "failed", performance.now() - start, whyOf(error));
    throw error;
  }
}

/**
 * Why a tile failed, in two words.
 * @param {unknown} error
 */
function whyOf(error) {
  if (error instanceof Refused) return `error ${error.status}`;
  return error instanceof TypeError ? "no answer" : "unreadable";
}

/**
 * The resource timing of a request.
 * @param {string} url @param {number} start time of the request
 */
function timing(url, start) {
  const entries = performance.getEntriesByName(url, "resource").filter((each) => each.startTime >= start);
  return /** @type {PerformanceResourceTiming | undefined} */ (entries.at(-1));
}

/**
 * The milliseconds of a request as measured by the browser's network; the page's own clock would include other work,
 * such as drawing.
 * @param {string} url @param {number} start time of the request
 */
function elapsed(url, start) {
  const entry = timing(url, start);
  return entry ? entry.duration : performance.now() - start;
}

/**
 * Whether a tile was rendered for this request. A website redirects to a rendered tile; behind CloudFront it has a
 * header. Cached copies keep the header, in CloudFront (`X-Cache`) and in the browser (no bytes transferred).
 * @param {Response} response @param {string} url @param {number} start time of the request
 */
function rendered(response, url, start) {
  if (response.redirected) return true;
  if (response.headers.get("X-Tile-State") !== "rendered") return false;
  const entry = timing(url, start);
  const local = entry !== undefined && entry.encodedBodySize > 0 && entry.transferSize === 0;
  return !local && !/^(Refresh)?Hit/.test(response.headers.get("X-Cache") ?? "");
}

/**
 * @param {Origin} origin @param {string} url @param {number} start @param {AbortSignal} signal
 * @returns {Promise<{state: import("./tiles.js").State, ms: number, data: ImageBitmap | null}>}
 */
async function fetchTile(origin, url, start, signal) {
  const response = await fetchAgain(url, { signal, cache: origin.cache });
  if (response.status === 404) return { state: "empty", ms: elapsed(url, start), data: null };
  if (!response.ok) throw new Refused(response.status, `${response.status} for ${url}`);
  const blob = await response.blob();
  const ms = elapsed(url, start);
  const exact = /** @type {const} */ ({ premultiplyAlpha: "none", colorSpaceConversion: "none" });
  const picture = await createImageBitmap(blob, origin.heights ? exact : undefined);
  if (blob.type !== "image/jpeg" && !hasPixels(picture)) return { state: "empty", ms, data: null };
  return { state: rendered(response, url, start) ? "rendered" : "stored", ms, data: picture };
}
