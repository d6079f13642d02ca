/** A second map over the first, visible on one side of a divider. */

import { Map as GlMap } from "maplibre-gl";
import { byId, select, setText } from "./dom.js";
import { titleOf } from "./facts.js";
import { show } from "./picture.js";
import { dayOf } from "./revisions.js";
import { ask } from "./site.js";
import { templateIn } from "./tiles.js";

/** @typedef {import("./picture.js").Picture} Picture */
/** @typedef {import("./site.js").Layer} Layer */
/** @typedef {import("./revisions.js").Facts} Facts */

const NAME = "other";

/** @type {Record<string, (share: number) => number>} */
const KEYS = {
  ArrowLeft: (share) => share - 0.02,
  ArrowRight: (share) => share + 0.02,
  PageDown: (share) => share - 0.1,
  PageUp: (share) => share + 0.1,
  Home: () => 0,
  End: () => 1,
};

export class Compare {
  /**
   * @param {object} given
   * @param {GlMap} given.map
   * @param {string} given.api
   * @param {string} given.root the URL of the folder of all layers
   * @param {() => import("./picture.js").How} given.how
   * @param {() => void} given.changed
   * @param {(revision: string) => void} given.chosen called with the compared revision, or nothing
   */
  constructor({ map, api, root, how, changed, chosen }) {
    this.map = map;
    this.api = api;
    this.root = root;
    this.how = how;
    this.changed = changed;
    this.chosen = chosen;
    /** @type {GlMap | null} */
    this.other = null;
    this.ready = false; // whether it can be drawn on
    /** @type {Picture | null} */
    this.picture = null;
    this.choice = select("compare");
    this.divider = byId("divider");
    this.position = 0.5; // of the divider, as a fraction of the map's width
    this.own = "";
    this.choice.addEventListener("change", () => this.choose());
    this.dragging();
  }

  /** Whether two maps are shown. */
  get on() {
    return this.picture !== null;
  }

  /** The divider's position as a fraction of the map's width. */
  get share() {
    return this.on ? this.position : 1;
  }

  /** The compared revision, or nothing. */
  get revision() {
    const [kind, name = ""] = this.choice.value.split(":");
    return kind === "revision" ? name : "";
  }

  /**
   * Compares with a revision, or no longer.
   * @param {string} revision
   */
  with(revision) {
    this.choice.value = revision ? `revision:${revision}` : "";
    this.choose();
  }

  /**
   * Lists the layer's revisions, if any but the shown one, and the other layers.
   * @param {Facts} layer @param {string} shown the revision of its tiles @param {Layer[]} layers
   */
  offer(layer, shown, layers) {
    this.layer = layer;
    this.own = sideOf(layer, shown);
    const kept = layer.revisions.filter((each) => each.kept);
    const revisions = kept.length === 1 && kept[0]?.revision === shown ? [] : kept;
    const chosen = this.choice.value;
    const group = (/** @type {string} */ label, /** @type {[string, string][]} */ options) => {
      if (!options.length) return [];
      const made = document.createElement("optgroup");
      made.label = label;
      made.append(...options.map(([value, text]) => new Option(text, value)));
      return [made];
    };
    this.choice.replaceChildren(
      new Option("nothing", ""),
      ...group(
        "Revisions of this layer",
        revisions.map(({ revision }) => [
          `revision:${revision}`,
          `${sideOf(layer, revision)}${revision === shown ? ", rendered now" : ""}`,
        ]),
      ),
      ...group(
        "Layers",
        layers.filter((each) => each.layer !== layer.layer).map((each) => [`layer:${each.layer}`, titleOf(each)]),
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
    this.chosen(this.revision);
    this.divider.hidden = byId("other").hidden = !picture;
    for (const side of document.querySelectorAll(".side")) /** @type {HTMLElement} */ (side).hidden = !picture;
    if (picture) await this.second();
    this.redraw();
    if (this.picture !== picture) return;
    setText(/** @type {Element} */ (document.querySelector(".side-left")), this.own);
    setText(
      /** @type {Element} */ (document.querySelector(".side-right")),
      kind === "layer" || !this.layer
        ? (this.choice.selectedOptions[0]?.textContent ?? name)
        : sideOf(this.layer, name),
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
    const layer = /** @type {Facts} */ (this.layer);
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

  /**
   * Moves the divider.
   * @param {number} [share] of the map's width
   */
  place(share = this.position) {
    this.position = Math.max(0, Math.min(1, share));
    const at = `${100 * this.position}%`;
    const whole = Math.round(100 * this.position);
    this.divider.style.left = at;
    byId("other").style.clipPath = `inset(0 0 0 ${at})`;
    this.map.getCanvas().style.clipPath = this.on ? `inset(0 calc(100% - ${at}) 0 0)` : "";
    this.divider.setAttribute("aria-valuenow", String(whole));
    this.divider.setAttribute("aria-valuetext", `${whole}% ${this.own}`);
    this.changed();
  }

  /** Makes the divider movable: with a pointer or the keyboard. */
  dragging() {
    const { divider } = this;
    divider.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      divider.focus({ preventScroll: true });
      divider.setPointerCapture(event.pointerId);
    });
    divider.addEventListener("pointermove", (event) => {
      if (!divider.hasPointerCapture(event.pointerId)) return;
      const frame = byId("stage").getBoundingClientRect();
      this.place((event.clientX - frame.left) / frame.width);
    });
    divider.addEventListener("keydown", (event) => {
      const move = KEYS[event.key];
      if (!move) return;
      event.preventDefault();
      this.place(move(this.position));
    });
  }
}

/**
 * A revision in words: its day, or else its name.
 * @param {Facts} layer @param {string} revision
 */
function sideOf({ revisions }, revision) {
  const found = revisions.find((each) => each.revision === revision);
  const day = found?.published ? dayOf(found.published) : revision;
  return found?.current ? `Current, ${day}` : `Revision of ${day}`;
}
