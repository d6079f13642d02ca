/** The page's configuration, and requests to the server. */

import { byId } from "./dom.js";

/** @typedef {import("./mercator.js").Bounds} Bounds */
/**
 * @typedef {object} Config
 * @property {string} layer
 * @property {string} api empty without a server
 * @property {string} where options that make commands use the same stores
 * @property {string} scenes empty without outlines of scenes
 * @property {string} demo empty without the command that makes a layer to try
 * @property {string} place the folder or the bucket of the layers
 * @property {import("./basemap.js").Named | null} basemap
 */
/**
 * @typedef {object} Layer
 * @property {string} layer
 * @property {string} revision
 * @property {number} minzoom
 * @property {number} maxzoom
 * @property {Bounds} bounds
 * @property {string} format
 * @property {string} attribution
 * @property {string} style
 * @property {boolean} virtual
 * @property {string} [title]
 * @property {string} [description]
 * @property {"photo" | "classes" | "ramp" | "shade" | "heights" | "contours"} [kind]
 * @property {import("./legend.js").Legend | null} [legend]
 * @property {number | null} [published] seconds since 1970
 * @property {string} [encoding] of heights: "mapbox", "terrarium", or empty
 */
/**
 * @typedef {object} Summary what is stored of a layer, at one scale
 * @property {string} layer
 * @property {string} revision
 * @property {number} counted seconds since 1970
 * @property {number} tiles
 * @property {number} bytes
 * @property {number | null} newest seconds since 1970
 * @property {import("./spine.js").Zoom[]} zooms
 */
/**
 * @typedef {object} TileJson
 * @property {string} name
 * @property {string[]} tiles
 * @property {number} minzoom
 * @property {number} maxzoom
 * @property {Bounds} bounds
 * @property {[number, number, number]} center
 * @property {string} [attribution]
 * @property {string} [encoding]
 */
/**
 * @typedef {object} Job
 * @property {string} job
 * @property {string} layer
 * @property {string} state
 * @property {string} [why]
 * @property {number | null} tiles
 * @property {number} done
 * @property {number} failed
 * @property {number | null} percent
 * @property {number | null} rate
 * @property {number | null} left
 * @property {Record<string, {tiles: number, blocks: number, done: number, failed: number}>} by_zoom
 */

/** @returns {Config} */
export const config = () => ({
  layer: "",
  api: "",
  where: "",
  scenes: "",
  demo: "",
  place: "",
  basemap: null,
  ...JSON.parse(byId("config").textContent ?? "{}"),
});

/** The URL of the page's folder. */
export const folder = () => new URL("./", document.baseURI).href;

/** An error response of the server. */
export class Refused extends Error {
  /** @param {number} status @param {string} message */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** @param {unknown} error */
export const messageOf = (error) => (error instanceof Error ? error.message : String(error));

/**
 * The server's response as JSON.
 * @param {string} url @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
export async function ask(url, signal) {
  const response = await fetch(url, { cache: "no-cache", signal: signal ?? null });
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refused(response.status, body.message ?? `${response.status} for ${url}`);
  return body;
}

/**
 * Listens to events, and reconnects when the connection is lost.
 * @param {string} url
 * @param {Record<string, (data: any) => void>} handlers by the event's name
 * @param {(open: boolean) => void} connected
 */
export function listen(url, handlers, connected) {
  const source = new EventSource(url);
  source.addEventListener("open", () => connected(true));
  source.addEventListener("error", () => {
    connected(false);
    if (source.readyState !== EventSource.CLOSED) return; // the browser reconnects
    setTimeout(() => listen(url, handlers, connected), 3000);
  });
  for (const [name, handle] of Object.entries(handlers)) {
    source.addEventListener(name, (event) => handle(JSON.parse(event.data)));
  }
}
