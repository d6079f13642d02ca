/** The panel's facts about the layer, and short notes. */

import { button, byId, make, plainMarkup, setBreakableText, setText } from "./dom.js";
import { degrees, zooms } from "./format.js";
import { hasHeights } from "./picture.js";
import { messageOf } from "./site.js";

/** @typedef {import("./site.js").Layer} Layer */

/** Matches windows as narrow as a phone's: there the panel is a sheet over the map. */
export const NARROW = matchMedia("(width <= 720px)");

const SHOWN = 8000; // milliseconds a note is shown

/**
 * Fills in the panel's facts about the layer.
 * @param {Layer} layer @param {string} template
 */
export function describe(layer, template) {
  document.title = layer.layer;
  setText(byId("name"), layer.layer);
  const facts = [
    layer.format.toUpperCase(),
    `zooms ${zooms(layer.minzoom, layer.maxzoom)}`,
    layer.style,
    layer.revision,
  ];
  setText(byId("facts"), facts.filter(Boolean).join(" \u00b7 "));
  byId("facts").title = `West, south, east, north: ${layer.bounds.map(degrees).join(", ")}`;
  byId("attribution").replaceChildren(plainMarkup(layer.attribution));
  byId("attribution").hidden = !layer.attribution;
  byId("heights-row").hidden = !hasHeights(layer.style);
  setBreakableText(byId("address-xyz"), template);
}

/**
 * Shows a note for some seconds.
 * @param {string} text
 */
export function note(text) {
  const element = make("p", {}, text);
  byId("notes").replaceChildren(element);
  setTimeout(() => element.remove(), SHOWN);
}

/** @param {unknown} error */
export const showError = (error) => note(messageOf(error));

/** Makes the sheet collapsible. */
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
