/** Entry point of the page of one layer. */

import { setWorkerUrl } from "maplibre-gl";
import { copyButtons } from "./copy.js";
import { button, byId } from "./dom.js";
import { follow } from "./live.js";
import { register } from "./loader.js";
import { showError } from "./notes.js";
import { Page } from "./page.js";
import { revisionsOf } from "./revisions.js";
import { sheet } from "./sheet.js";
import { ask, config, folder } from "./site.js";
import { themeButton } from "./theme.js";
import { revisionOf, templateIn } from "./tiles.js";

/** @typedef {import("./revisions.js").Facts} Facts */
/** @typedef {import("./site.js").TileJson} TileJson */

const settings = config();
const { layer: name, api } = settings;
const root = new URL("../", folder()).href; // of all layers

/**
 * Fetches the layer's facts, from the server or from the files beside the page.
 * @returns {Promise<{layer: Facts, template: string}>}
 */
async function fetchLayer() {
  /** @type {TileJson} */
  const tiles = await ask("tile.json");
  const template = templateIn(tiles.tiles[0] ?? "", folder());
  const facts = api
    ? await ask(`${api}/layers/${name}`)
    : await ask("layer.json").catch(() => factsIn(tiles, template));
  return { layer: { ...facts, revisions: revisionsOf(facts.revisions ?? [facts.revision], facts.revision) }, template };
}

/**
 * The facts that a TileJSON has, for pages that were published without others.
 * @param {TileJson} tiles @param {string} template
 */
function factsIn(tiles, template) {
  const { minzoom, maxzoom, bounds, attribution = "", encoding = "" } = tiles;
  const format = new URL(template).pathname.split(".").at(-1) ?? "";
  const layer = name || new URL(folder()).pathname.split("/").at(-2) || tiles.name;
  return {
    layer,
    title: tiles.name,
    revision: revisionOf(template),
    minzoom,
    maxzoom,
    bounds,
    format,
    attribution,
    style: encoding,
    virtual: false,
  };
}

async function start() {
  const page = new Page(await fetchLayer(), fetchLayer, settings, root);
  page.panel.open();
  Object.assign(window, { preview: { map: page.map, state: page.state } });
  page.summary?.load();
  if (api) follow(page, api);
}

setWorkerUrl(new URL("maplibre-worker.js", import.meta.url).href);
register();
for (const part of document.querySelectorAll("[data-live]")) /** @type {HTMLElement} */ (part).hidden = !api;
byId("all-layers").hidden = !api;
/** @type {HTMLAnchorElement} */ (byId("all-layers")).href = root;
themeButton(button("theme"));
sheet();
copyButtons();
start().catch(showError);
