/** The tab on how the layer looks: opacity, base map, size of the tiles, heights, legend. */

import { byId, input, make, setText } from "./dom.js";
import { legendBody, legendTitle } from "./legend.js";
import { hasHeights } from "./picture.js";

const DENSE = 1.5; // device pixels per CSS pixel from which on tiles of 512 pixels look sharper
const FOLDED = matchMedia("(width <= 720px), (height <= 520px)"); // screens that the legend would cover

/** @param {string} name */
const chosen = (name) =>
  /** @type {HTMLInputElement | null} */ (document.querySelector(`input[name="${name}"]:checked`))?.value ?? "";

export class Look {
  /**
   * @param {{opacity: () => void, tiles: () => void, base: () => void}} changed
   * @param {import("./basemap.js").Named | null} basemap of another host, if one was named
   */
  constructor({ opacity, tiles, base }, basemap) {
    this.slider = input("opacity");
    byId("base-streets").hidden = !basemap;
    const host = basemap ? new URL(basemap.template.replaceAll(/[{}]/g, "")).host : "";
    setText(byId("base-note"), host ? `Streets are fetched from ${host}, and only when chosen.` : "");
    this.slider.addEventListener("input", () => {
      setText(byId("opacity-out"), `${this.slider.value}%`);
      opacity();
    });
    for (const [name, then] of Object.entries({ sharp: tiles, heights: tiles, base })) {
      for (const radio of document.querySelectorAll(`input[name="${name}"]`)) radio.addEventListener("change", then);
    }
    /** @type {HTMLDetailsElement} */ (byId("legend")).open = !FOLDED.matches;
  }

  /** From 0 to 1. */
  get opacity() {
    return this.slider.valueAsNumber / 100;
  }

  /** Whether to show tiles of 512 pixels. */
  get double() {
    const sharp = chosen("sharp");
    return sharp === "on" || (sharp === "auto" && devicePixelRatio >= DENSE);
  }

  /** What to show below the layer: "none", "outlines" or "streets". */
  get base() {
    return chosen("base");
  }

  /** Whether to show encoded heights as they are. */
  get raw() {
    return chosen("heights") === "raw";
  }

  /**
   * Shows the choices and the legend of a layer.
   * @param {import("./site.js").Layer} layer
   */
  show(layer) {
    byId("heights-row").hidden = !hasHeights(layer.style);
    const { legend = null } = layer;
    byId("legend").hidden = !legend;
    byId("legend-note").hidden = !(legend?.type === "classes" && legend.classes.some(({ share }) => share != null));
    const title = legend ? legendTitle(legend, layer.style) : "Legend";
    for (const id of ["legend-title", "legend-heading"]) setText(byId(id), title);
    byId("legend-body").replaceChildren(...(legend ? [legendBody(legend)] : []));
    byId("legend-panel").replaceChildren(legend ? legendBody(legend, { shares: true }) : none(layer));
    if (legend?.type === "ramp") byId("legend-panel").append(make("p", { class: "quiet" }, ENDS));
  }
}

const ENDS = "Lower and higher values have the colours of the ends.";

/** @type {Record<string, string>} */
const NONE = {
  shade: "Shade has no values to read, so there is no legend.",
  heights: "The tiles encode heights for maps that shade them. They have no legend.",
  contours: "Contours have no legend.",
};

/** @param {import("./site.js").Layer} layer */
const none = ({ kind = "photo" }) => make("p", { class: "quiet" }, NONE[kind] ?? "A picture has no legend.");
