/** The list of layers. */

import { announce } from "./announce.js";
import { card, only, update } from "./card.js";
import { copyButtons, copyField } from "./copy.js";
import { button, byId, fill, input, make, paced, select, setText } from "./dom.js";
import { titleOf } from "./facts.js";
import { bytes, counted } from "./format.js";
import { icon } from "./icons.js";
import { arranged, ORDERS } from "./order.js";
import { ask, config, folder, listen, messageOf } from "./site.js";
import { themeButton, typed } from "./theme.js";
import { templateIn } from "./tiles.js";

/** @typedef {import("./site.js").Layer} Layer */
/** @typedef {import("./site.js").Job} Job */
/** @typedef {import("./card.js").Known} Known */

const AGAIN = 30_000; // milliseconds between counts while nothing is at work
const WORKING = 3_000; // the same while a job is, or has just been: the server counts every few seconds
const AFTER = 15_000; // milliseconds after the last news of a job
const ENDED = ["done", "failed", "cancelled", "superseded", "stalled"];

const { api, where, demo, place } = config();
/** @type {Map<string, Known>} */
let layers = new Map();
/** @type {Map<string, {key: string, element: HTMLElement}>} */
const cards = new Map();
/** @type {Job[]} */
let jobs = [];
let lost = false;
let fault = "";
let newest = 0;
let last = 0; // milliseconds since 1970 of the last count
let lively = 0; // milliseconds since 1970 until when counts may change

const now = () => Date.now() / 1000;

/** Asks for all layers, and what is stored of each. */
async function refresh() {
  newest += 1;
  const request = newest;
  const listed = await ask(`${api}/layers`);
  const found = await Promise.all(/** @type {Layer[]} */ (listed.layers).map(known));
  if (request !== newest) return; // a newer request is pending
  fault = "";
  const before = layers;
  layers = new Map(found.map((each) => [each.layer.layer, each]));
  if (before.size) for (const [name, { layer }] of layers) if (!before.has(name)) announce(`New: ${titleOf(layer)}`);
  show();
  count();
}

/** @param {Layer} layer @returns {Promise<Known>} */
async function known(layer) {
  const root = new URL(`${encodeURIComponent(layer.layer)}/`, folder()).href;
  const before = layers.get(layer.layer);
  const same = before?.layer.revision === layer.revision ? before : null;
  const tiles = await ask(`${root}tile.json`).catch(() => null);
  const template = tiles ? templateIn(tiles.tiles[0], root) : `${root}{z}/{x}/{y}.${layer.format}`;
  const encoding = layer.encoding ?? tiles?.encoding ?? "";
  return { layer: { ...layer, encoding }, root, template, summary: same?.summary ?? null, jobs: jobsOf(layer.layer) };
}

/** @param {string} layer */
const jobsOf = (layer) => jobs.filter((job) => job.layer === layer);

/** Counts the stored tiles of each layer, or of one; a server that does not count answers 404. */
const count = paced(() => {
  for (const each of layers.values()) void counts(each);
}, 1000);

/** @param {Known} each */
async function counts(each) {
  const { layer } = each.layer;
  const summary = await ask(`${api}/summary/${encodeURIComponent(layer)}`).catch(() => null);
  if (!summary || layers.get(layer) !== each) return;
  each.summary = summary;
  show();
}

/** Shows what is known, and keeps the elements that are right. */
function show() {
  const all = [...layers.values()];
  const wanted = input("find").value;
  const order = select("order").value;
  const one = all.length === 1 && all[0] ? all[0] : null;
  const listed = one ? [] : arranged(all, wanted, order);
  fill(
    byId("layers"),
    listed.map((each) => elementOf(each, "card", () => card(each, api))),
  );
  const gaps = one?.summary?.zooms.some(({ missing, failed }) => missing + failed > 0) ? "gaps" : "";
  fill(byId("one"), one ? [elementOf(one, `one ${gaps}`, () => only(one, api, where))] : []);
  byId("one").hidden = !one;
  byId("layers").hidden = listed.length === 0;
  byId("nothing").hidden = all.length > 0 || fault !== "" || newest === 0;
  byId("tools").hidden = all.length < 2;
  byId("unfound").hidden = all.length < 2 || listed.length > 0;
  setText(byId("unfound"), `No layer has \u201c${wanted.trim()}\u201d in its title or name.`);
  say(all);
}

/** @param {Known} each @param {string} form @param {() => HTMLElement} build */
function elementOf(each, form, build) {
  const { summary: _, jobs: __, ...lasting } = each;
  const key = form + JSON.stringify(lasting);
  let kept = cards.get(each.layer.layer);
  if (kept?.key !== key) {
    kept = { key, element: build() };
    cards.set(each.layer.layer, kept);
  }
  update(kept.element, each, now());
  return kept.element;
}

/**
 * The line below the heading.
 * @param {Known[]} all
 */
function say(all) {
  const line = byId("summary");
  if (lost || fault) {
    setText(line, fault || "Connection lost, reconnecting \u2026");
    return;
  }
  const summaries = all.flatMap(({ summary }) => (summary ? [summary] : []));
  const parts = all.length ? [counted(all.length, "layer")] : [];
  if (all.length > 1 && summaries.length === all.length) {
    const sum = (/** @type {"tiles" | "bytes"} */ name) => summaries.reduce((total, each) => total + each[name], 0);
    parts.push(counted(sum("tiles"), "tile"), `${bytes(sum("bytes"))} stored`);
  }
  const text = parts.join(" \u00b7 ");
  const within = place && parts.length > 1 ? [" in ", make("span", { class: "mono" }, place)] : [];
  if (line.textContent !== text + (within.length ? ` in ${place}` : "")) line.replaceChildren(text, ...within);
}

/** @param {Job[]} latest */
function worked(latest) {
  lively = Date.now() + AFTER;
  const before = new Map(jobs.map((job) => [job.job, job.state]));
  jobs = latest;
  for (const { job, layer, state } of latest) {
    const was = before.get(job);
    const title = titleOf(layers.get(layer)?.layer ?? { layer });
    if (was && was !== state && ENDED.includes(state)) announce(`The job of ${title} is ${state}`);
  }
  for (const each of layers.values()) each.jobs = jobsOf(each.layer.layer);
  show();
  if (latest.some(({ job, state }) => before.get(job) !== state)) count();
}

const again = () =>
  refresh().catch((error) => {
    fault = messageOf(error);
    show();
  });

/** Counts again after a pause, but not for a page that nobody sees. */
function later() {
  const busy = Date.now() < lively || jobs.some(({ state }) => !ENDED.includes(state));
  if (document.visibilityState === "visible" && (busy || Date.now() - last >= AGAIN)) {
    last = Date.now();
    count();
  }
  setTimeout(later, WORKING);
}

/** Finding and ordering are part of the page's address. */
function arrange() {
  const parameters = new URLSearchParams(location.search);
  const set = (/** @type {string} */ name, /** @type {string} */ value) =>
    value ? parameters.set(name, value) : parameters.delete(name);
  set("find", input("find").value.trim());
  set("order", select("order").value === ORDERS[0] ? "" : select("order").value);
  history.replaceState(null, "", `${location.pathname}${parameters.size ? `?${parameters}` : ""}`);
  show();
}

function wire() {
  const parameters = new URLSearchParams(location.search);
  input("find").value = parameters.get("find") ?? "";
  const order = parameters.get("order") ?? "";
  select("order").value = ORDERS.includes(order) ? order : /** @type {string} */ (ORDERS[0]);
  input("find").addEventListener("input", arrange);
  select("order").addEventListener("change", arrange);
  addEventListener("keydown", (event) => {
    if (event.key !== "/" || typed(event) || byId("tools").hidden) return;
    event.preventDefault();
    input("find").focus();
  });
  button("theme").append(icon("theme"));
  themeButton(button("theme"));
  copyButtons();
  const ingest = { name: "the command that prepares a raster", main: true, test: "command-ingest" };
  byId("step-ingest").append(copyField(`seeder ingest YOUR.tif${where}`, ingest));
  byId("step-seed").append(copyField(`seed YOUR${where}`, { name: "the command that makes tiles" }));
  byId("demo").hidden = !demo;
}

wire();
listen(`${api}/events`, { layers: again, jobs: worked }, (open) => {
  lost = !open;
  say([...layers.values()]);
});
document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && count());
again();
later();
