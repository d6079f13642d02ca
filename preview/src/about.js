/** What the panel says of the layer, and what passes by. */

import { button, byId, make, plainMarkup, say, sayBreakable } from "./dom.js";
import { degrees, zooms } from "./format.js";
import { hasHeights } from "./picture.js";
import { messageOf } from "./site.js";

/** @typedef {import("./site.js").Layer} Layer */

/** Whether the window is as narrow as a phone's: the panel is a sheet over the map then. */
export const NARROW = matchMedia("(width <= 720px)");

const SHOWN = 8000; // milliseconds that a note stays

/**
 * Fills in what the panel says of the layer.
 * @param {Layer} layer @param {string} template
 */
export function describe(layer, template) {
  document.title = layer.layer;
  say(byId("name"), layer.layer);
  const facts = [
    layer.format.toUpperCase(),
    `zooms ${zooms(layer.minzoom, layer.maxzoom)}`,
    layer.style,
    layer.revision,
  ];
  say(byId("facts"), facts.filter(Boolean).join(" \u00b7 "));
  byId("facts").title = `West, south, east, north: ${layer.bounds.map(degrees).join(", ")}`;
  byId("attribution").replaceChildren(plainMarkup(layer.attribution));
  byId("attribution").hidden = !layer.attribution;
  byId("heights-row").hidden = !hasHeights(layer.style);
  sayBreakable(byId("address-xyz"), template);
}

/**
 * Tells something for a while.
 * @param {string} text
 */
export function note(text) {
  const told = make("p", {}, text);
  byId("notes").replaceChildren(told);
  setTimeout(() => told.remove(), SHOWN);
}

/** @param {unknown} error */
export const tell = (error) => note(messageOf(error));

/** Lets the sheet give way to the map. */
export function sheet() {
  const toggle = button("panel-toggle");
  const fold = (/** @type {boolean} */ open) => {
    byId("panel").classList.toggle("collapsed", !open);
    toggle.setAttribute("aria-expanded", String(open));
  };
  toggle.addEventListener("click", () => fold(toggle.getAttribute("aria-expanded") !== "true"));
  NARROW.addEventListener("change", () => fold(!NARROW.matches));
  fold(!NARROW.matches);
}
