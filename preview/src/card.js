/** The card of a layer in the list, and its wide form where it is the only one. */

import { codeBlock } from "./code.js";
import { copyButton, copyField } from "./copy.js";
import { make } from "./dom.js";
import { factsOf, titleOf } from "./facts.js";
import { age, bytes } from "./format.js";
import { healthLine, healthOf, sumOf } from "./health.js";
import { snippets } from "./snippets.js";
import { fillSpine } from "./spine.js";

/** @typedef {import("./site.js").Layer} Layer */
/** @typedef {import("./site.js").Job} Job */
/** @typedef {import("./site.js").Summary} Summary */
/**
 * @typedef {object} Known what is known of a layer; `summary` is null until counted, or where the server counts nothing
 * @property {Layer} layer
 * @property {string} root the address of the layer's folder
 * @property {string} template
 * @property {Summary | null} summary
 * @property {Job[]} jobs
 */

const WORLD = 300; // degrees of longitude from which on a picture fills its frame

/** @param {Known} known @param {string} api @param {number} width pixels */
function picture({ layer }, api, width) {
  const [west, , east] = layer.bounds;
  const filled = (east - west + 360) % 360 === 0 || east - west >= WORLD;
  const source = `${api}/thumbnail/${encodeURIComponent(layer.layer)}?width=${width}&v=${layer.revision}`;
  const image = make("img", { src: source, alt: "", loading: "lazy", class: filled ? "filled" : "" });
  const shot = make("div", { class: "shot" }, image);
  image.addEventListener("error", () =>
    image.replaceWith(make("p", { class: "quiet" }, "No picture: rendering failed")),
  );
  return shot;
}

/** @param {Layer} layer */
function names(layer) {
  const facts = factsOf(layer).map(({ text, mono }) => make("span", mono ? { class: "mono" } : {}, text));
  return make("p", { class: "name" }, ...facts);
}

/** @param {Known} known */
function heading({ layer, root }) {
  return make("h2", {}, make("a", { href: root }, titleOf(layer)));
}

/** The spine and the line below it, which `update` fills. */
function state() {
  return [
    make("div", { class: "spine", "data-testid": "spine", hidden: "" }),
    make("p", { class: "state", "data-testid": "state" }),
  ];
}

/**
 * Shows what is stored and what is at work.
 * @param {HTMLElement} card @param {Known} known @param {number} now seconds since 1970
 */
export function update(card, { layer, summary, jobs }, now) {
  const spine = /** @type {HTMLElement} */ (card.querySelector(".spine"));
  const line = /** @type {HTMLElement} */ (card.querySelector(".state"));
  const zooms = summary?.zooms ?? [];
  spine.hidden = zooms.length === 0;
  const drawn = JSON.stringify(zooms);
  if (spine.dataset.drawn !== drawn) fillSpine(spine, zooms);
  spine.dataset.drawn = drawn;
  const health = summary || jobs.some(({ state }) => state === "running") ? healthOf(zooms, jobs) : null;
  const shown = JSON.stringify([health, summary?.bytes, agedOf(layer, summary, health?.mood === "run", now)]);
  if (line.dataset.shown === shown) return; // nothing moves below a pointer or a screen reader
  line.dataset.shown = shown;
  const right = agedOf(layer, summary, health?.mood === "run", now);
  line.replaceChildren(health ? healthLine(health) : "", make("span", {}, right));
}

/** @param {Layer} layer @param {Summary | null} summary @param {boolean} busy @param {number} now */
function agedOf({ published = null }, summary, busy, now) {
  if (!summary?.tiles) return published ? `new, ${age(published, now)}` : "";
  const when = busy ? "now" : summary.newest ? age(summary.newest, now) : "";
  return [bytes(summary.bytes), when].filter(Boolean).join(" \u00b7 ");
}

/**
 * A card.
 * @param {Known} known @param {string} api
 */
export function card(known, api) {
  const { layer, root, template } = known;
  const title = titleOf(layer);
  const about = make(
    "div",
    { class: "about" },
    heading(known),
    names(layer),
    ...state(),
    make(
      "p",
      { class: "acts" },
      copyButton(template, { label: "Tile address", name: `the tile address of ${title}`, mark: true }),
      make("a", { class: "b bare", href: `${root}tile.json`, "aria-label": `TileJSON of ${title}` }, "TileJSON"),
    ),
  );
  const attributes = { class: "card", "data-testid": "layer-card", "data-layer": layer.layer };
  return make("li", attributes, picture(known, api, 640), about);
}

/**
 * The only layer, as wide as the page: its address, lines for a map, and what to do next.
 * @param {Known} known @param {string} api @param {string} where options of commands
 */
export function only(known, api, where) {
  const { layer, root, template } = known;
  const [tilejson, wmts] = [`${root}tile.json`, `${root}wmts.xml`];
  const { encoding = "", attribution, minzoom, maxzoom, bounds } = layer;
  const shown = { layer: layer.layer, title: titleOf(layer), template, tilejson, wmts, minzoom, maxzoom, bounds };
  const first = snippets({ ...shown, attribution, encoding })[0];
  const about = make(
    "div",
    { class: "about" },
    make("div", {}, heading(known), names(layer)),
    ...(layer.description ? [make("p", {}, layer.description)] : []),
    ...state(),
    make("p", { class: "quiet lead" }, "Tile address, for any map that takes XYZ"),
    copyField(template, { name: "the tile address", main: true, test: "address" }),
    make(
      "p",
      { class: "acts" },
      make("a", { class: "b", href: root }, "Open the layer"),
      make("a", { class: "b bare", href: tilejson }, "TileJSON"),
      make("a", { class: "b bare", href: wmts }, "WMTS"),
    ),
    ...(first ? [codeBlock({ ...first, lines: `// MapLibre; others on the layer's page\n${first.lines}` })] : []),
  );
  const next = make("div", { class: "next", "data-testid": "next" }, ...steps(known, where));
  const attributes = { class: "one", "data-testid": "layer-card", "data-layer": layer.layer };
  return make("div", {}, make("article", attributes, picture(known, api, 1280), about), next);
}

/**
 * Three commands that make sense next: the missing tiles come first.
 * @param {Known} known @param {string} where
 */
function steps({ layer: { layer, minzoom, maxzoom }, summary }, where) {
  const zooms = minzoom === maxzoom ? `${minzoom}` : `${minzoom}-${maxzoom}`;
  const sum = sumOf(summary?.zooms ?? []);
  const own = ["Your own raster", `seeder ingest YOUR.tif${where}`, "Any raster that GDAL opens."];
  const gaps = ["Missing tiles", `seed ${layer} --zooms ${zooms}${where}`, "Until then they are rendered on request."];
  const sharp = ["Sharp tiles", `seed ${layer} --zooms ${zooms} --scale 2${where}`, "For screens of high density."];
  const file = ["In one file", `seeder export ${layer} ${layer}.pmtiles${where}`, "The stored tiles, as PMTiles."];
  const chosen = sum.missing + sum.failed > 0 ? [gaps, file, own] : [own, sharp, file];
  return chosen.map(([title = "", command = "", why = ""]) =>
    make(
      "section",
      {},
      make("h3", {}, title),
      copyField(command, { name: `the command: ${title}` }),
      make("p", { class: "quiet" }, why),
    ),
  );
}
