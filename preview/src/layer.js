/** Entry point of the page of one layer. */

import { setWorkerUrl } from "maplibre-gl";
import { sheet, showError } from "./about.js";
import { copyButtons } from "./copy.js";
import { byId } from "./dom.js";
import { follow } from "./live.js";
import { register } from "./loader.js";
import { Page } from "./page.js";
import { ask, config, folder } from "./site.js";
import { revisionOf, templateIn } from "./tiles.js";

/** @typedef {import("./site.js").Layer} Layer */
/** @typedef {import("./site.js").TileJson} TileJson */

const settings = config();
const { layer: name, api } = settings;
const root = new URL("../", folder()).href; // of all layers

/**
 * Fetches the layer's facts, from the server or else from its TileJSON.
 * @returns {Promise<{layer: Layer, template: string}>}
 */
async function fetchLayer() {
  /** @type {TileJson} */
  const tiles = await ask("tile.json");
  const template = templateIn(tiles.tiles[0] ?? "", folder());
  if (api) {
    const facts = await ask(`${api}/layers/${name}`);
    const revisions = facts.revisions.map((/** @type {{revision: string}} */ each) => each.revision);
    return { layer: { ...facts, revisions }, template };
  }
  const { minzoom, maxzoom, bounds, attribution = "", encoding = "" } = tiles;
  const format = new URL(template).pathname.split(".").at(-1) ?? "";
  const revision = revisionOf(template);
  const layer = { layer: name || tiles.name, revision, minzoom, maxzoom, bounds, format, attribution, style: encoding };
  return { layer: { ...layer, virtual: false, revisions: [revision] }, template };
}

async function start() {
  const page = new Page(await fetchLayer(), fetchLayer, settings, root);
  Object.assign(window, { preview: { map: page.map, state: page.state } });
  if (api) follow(page, api);
}

setWorkerUrl(new URL("maplibre-worker.js", import.meta.url).href);
register();
for (const part of document.querySelectorAll("[data-live]")) /** @type {HTMLElement} */ (part).hidden = !api;
byId("all-layers").hidden = !api;
/** @type {HTMLAnchorElement} */ (byId("all-layers")).href = root;
sheet();
copyButtons();
start().catch(showError);
