/** A second map over the first, visible on one side of a divider. */

import { Map as GlMap } from "maplibre-gl";
import { byId, input, select, setText } from "./dom.js";
import { show } from "./picture.js";
import { ask } from "./site.js";
import { templateIn } from "./tiles.js";

/** @typedef {import("./picture.js").Picture} Picture */
/** @typedef {import("./site.js").Layer} Layer */

const NAME = "other";
const STEP = 100; // the divider's range

export class Compare {
  /**
   * @param {object} given
   * @param {GlMap} given.map
   * @param {string} given.api
   * @param {string} given.root the URL of the folder of all layers
   * @param {() => import("./picture.js").How} given.how
   * @param {() => void} given.changed
   */
  constructor({ map, api, root, how, changed }) {
    this.map = map;
    this.api = api;
    this.root = root;
    this.how = how;
    this.changed = changed;
    /** @type {GlMap | null} */
    this.other = null;
    this.ready = false; // whether it can be drawn on
    /** @type {Picture | null} */
    this.picture = null;
    this.choice = select("compare");
    this.slider = input("compare-slider");
    this.own = "";
    this.choice.addEventListener("change", () => this.choose());
    this.slider.addEventListener("input", () => this.place());
    addEventListener("resize", () => this.place());
    this.dragging();
  }

  /** Whether two maps are shown. */
  get on() {
    return this.picture !== null;
  }

  /** The divider's position as a fraction of the map's width. */
  get share() {
    return this.on ? this.slider.valueAsNumber / STEP : 1;
  }

  /**
   * Lists the layer's revisions, if any but the shown one, and the other layers.
   * @param {Layer} layer @param {string} shown the revision of its tiles @param {Layer[]} layers
   */
  offer(layer, shown, layers) {
    this.layer = layer;
    this.own = `${layer.layer} \u00b7 ${shown}`;
    const revisions = String(layer.revisions) === shown ? [] : layer.revisions;
    const chosen = this.choice.value;
    const group = (/** @type {string} */ label, /** @type {[string, string][]} */ options) => {
      if (!options.length) return [];
      const made = document.createElement("optgroup");
      made.label = label;
      made.append(...options.map(([value, text]) => new Option(text, value)));
      return [made];
    };
    this.choice.replaceChildren(
      new Option("none", ""),
      ...group(
        "Revisions of this layer",
        revisions.map((each) => [`revision:${each}`, each === shown ? `${each} (rendered now)` : each]),
      ),
      ...group(
        "Layers",
        layers.filter((each) => each.layer !== layer.layer).map((each) => [`layer:${each.layer}`, each.layer]),
      ),
    );
    this.choice.value = chosen;
    if (this.choice.value === chosen) return;
    this.choice.value = "";
    this.choose();
  }

  /** Shows the chosen revision or layer. */
  async choose() {
    const [kind, name = ""] = this.choice.value.split(":");
    const picture = kind === "layer" ? await this.ofLayer(name) : kind === "revision" ? this.ofRevision(name) : null;
    if (this.choice.value !== (picture ? `${kind}:${name}` : "")) return; // the choice changed meanwhile
    this.picture = picture;
    byId("compare-row").hidden = byId("divider").hidden = byId("other").hidden = !picture;
    for (const side of document.querySelectorAll(".side")) /** @type {HTMLElement} */ (side).hidden = !picture;
    if (picture) await this.second();
    this.redraw();
    if (this.picture !== picture) return;
    setText(/** @type {Element} */ (document.querySelector(".side-left")), this.own);
    setText(
      /** @type {Element} */ (document.querySelector(".side-right")),
      kind === "layer" ? name : `revision ${name}`,
    );
    this.place();
  }

  /** Draws the second map with the first one's settings. */
  redraw() {
    if (this.other && this.ready) show(this.other, NAME, this.picture, this.how());
  }

  /**
   * @param {string} name
   * @returns {Promise<Picture>}
   */
  async ofLayer(name) {
    const folder = new URL(`${name}/`, this.root).href;
    const [layer, tiles] = await Promise.all([ask(`${this.api}/layers/${name}`), ask(`${folder}tile.json`)]);
    return { ...layer, template: templateIn(tiles.tiles[0], folder) };
  }

  /**
   * @param {string} revision
   * @returns {Picture}
   */
  ofRevision(revision) {
    const layer = /** @type {Layer} */ (this.layer);
    const template = `${this.api}/revisions/${layer.layer}/${revision}/{z}/{x}/{y}.${layer.format}`;
    return { ...layer, template };
  }

  /** Creates the second map on first use. */
  async second() {
    if (this.other) {
      this.follow();
      return;
    }
    const other = new GlMap({
      container: byId("other"),
      style: { version: 8, sources: {}, layers: [] },
      interactive: false,
      attributionControl: false,
      minZoom: this.map.getMinZoom(),
      maxZoom: this.map.getMaxZoom(),
      fadeDuration: 0,
    });
    this.other = other;
    other.on("error", () => {}); // ignore failed tiles
    other.getCanvas().tabIndex = -1;
    this.map.on("move", () => this.follow());
    this.follow();
    await other.once("load");
    this.ready = true;
  }

  /** Moves the second map to the first one's view. */
  follow() {
    if (this.on) this.other?.jumpTo({ center: this.map.getCenter(), zoom: this.map.getZoom() });
  }

  /** Moves the divider to the slider's position. */
  place() {
    const at = `${100 * this.share}%`;
    byId("divider").style.left = at;
    byId("other").style.clipPath = `inset(0 0 0 ${at})`;
    this.map.getCanvas().style.clipPath = this.on ? `inset(0 calc(100% - ${at}) 0 0)` : "";
    this.slider.setAttribute("aria-valuetext", `${Math.round(100 * this.share)}% this layer`);
    this.changed();
  }

  /** Makes the divider draggable. */
  dragging() {
    const divider = byId("divider");
    divider.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      divider.setPointerCapture(event.pointerId);
    });
    divider.addEventListener("pointermove", (event) => {
      if (!divider.hasPointerCapture(event.pointerId)) return;
      const frame = byId("stage").getBoundingClientRect();
      this.slider.value = String((STEP * (event.clientX - frame.left)) / frame.width);
      this.place();
    });
  }
}
