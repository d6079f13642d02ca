/** The list of layers. */

import { copyButtons } from "./copy.js";
import { byId, fill, make, setBreakableText, setText } from "./dom.js";
import { counted, degrees, zooms } from "./format.js";
import { ask, config, folder, listen } from "./site.js";
import { templateIn } from "./tiles.js";

/** @typedef {import("./site.js").Layer} Layer */

const { api, where } = config();
let newest = 0;

/** Shows all layers. */
async function refresh() {
  newest += 1;
  const request = newest;
  /** @type {Layer[]} */
  const layers = (await ask(`${api}/layers`)).layers;
  const cards = await Promise.all(layers.map(card));
  if (request !== newest) return; // a newer request is pending
  fill(byId("layers"), cards);
  byId("nothing").hidden = cards.length > 0;
  setText(byId("summary"), cards.length ? counted(cards.length, "layer") : "");
}

/**
 * The card of a layer; an existing one is kept as long as the revision is the same.
 * @param {Layer} layer
 */
async function card(layer) {
  const { layer: name, revision } = layer;
  const kept = [...byId("layers").children].find(
    (each) => each instanceof HTMLElement && each.dataset.layer === name && each.dataset.revision === revision,
  );
  if (kept) return kept;
  const root = new URL(`${name}/`, folder()).href;
  const tiles = await ask(`${root}tile.json`).catch(() => null);
  const address = tiles ? templateIn(tiles.tiles[0], root) : `${root}{z}/{x}/{y}.${layer.format}`;
  const picture = make("img", {
    src: `${api}/thumbnail/${name}?v=${revision}`,
    alt: `Thumbnail of ${name}`,
    width: "320",
    height: "200",
    loading: "lazy",
  });
  const shown = make("a", { class: "picture", href: root, tabindex: "-1", "aria-hidden": "true" }, picture);
  const title = make("h2", {}, make("a", { href: root }, name));
  const links = make(
    "p",
    { class: "links" },
    make("a", { href: root, "aria-label": `Preview of ${name}` }, "Preview"),
    make("a", { href: `${root}tile.json`, "aria-label": `TileJSON of ${name}` }, "TileJSON"),
    make("a", { href: `${root}wmts.xml`, "aria-label": `WMTS of ${name}` }, "WMTS"),
  );
  const code = make("code", { id: `xyz-${name}` });
  setBreakableText(code, address);
  const copy = make(
    "button",
    { type: "button", "data-copies": code.id, "aria-label": `Copy the tile URL of ${name}` },
    "Copy",
  );
  const about = make(
    "div",
    { class: "about" },
    title,
    facts(layer),
    links,
    make("div", { class: "command" }, code, copy),
  );
  return make(
    "li",
    { class: "card", "data-testid": "layer-card", "data-layer": name, "data-revision": revision },
    shown,
    about,
  );
}

/** @param {Layer} layer */
function facts(layer) {
  const format = [layer.format.toUpperCase(), layer.style, layer.virtual ? "virtual" : ""].filter(Boolean).join(", ");
  const facts = {
    Zooms: zooms(layer.minzoom, layer.maxzoom),
    Format: format,
    Bounds: layer.bounds.map(degrees).join(", "),
    Revision: layer.revision,
  };
  return make(
    "dl",
    {},
    ...Object.entries(facts).flatMap(([term, value]) => [make("dt", {}, term), make("dd", {}, value)]),
  );
}

setBreakableText(byId("command-ingest"), `seeder ingest YOUR.tif${where}`);
copyButtons();
const again = () => refresh().catch((error) => setText(byId("summary"), String(error)));
listen(`${api}/events`, { layers: again }, (open) =>
  setText(byId("summary"), open ? "" : "Connection lost, reconnecting \u2026"),
);
again();
