/** The page of one layer: its map and everything drawn over it. panel.js has what is beside it. */

import { showAttribution } from "./about.js";
import { Basemap } from "./basemap.js";
import { Borders, inView, paintBorders, showSummary } from "./borders.js";
import { Compare } from "./compare.js";
import { button, byId, canvas, framed } from "./dom.js";
import { Gaps } from "./gaps.js";
import { outline, paintCross, paintDegrees, paintGrid } from "./grid.js";
import { GROUND_CREDIT, Ground, strength } from "./ground.js";
import { shortcuts } from "./keys.js";
import { Look } from "./look.js";
import { deepest, fit, makeMap, viewOf } from "./map.js";
import { latitudeAt, longitudeAt, tileZoom } from "./mercator.js";
import { colour, watchPalette } from "./palette.js";
import { Panel } from "./panel.js";
import { Parents } from "./parents.js";
import { hasHeights, reload, show } from "./picture.js";
import { Pointer } from "./pointer.js";
import { showReadout } from "./readout.js";
import { Scenes } from "./scenes.js";
import { Summary } from "./summary.js";
import { Surface } from "./surface.js";
import { TileLog } from "./tiles.js";
import { Waits, waiting } from "./waits.js";

/** @typedef {import("./revisions.js").Facts} Facts */
/** @typedef {{layer: Facts, template: string}} Known `template` is the URL template of the layer's tiles */

const NAME = "layer";

export class Page {
  /**
   * @param {Known} known @param {() => Promise<Known>} fetchLayer fetches it again
   * @param {import("./site.js").Config} config @param {string} root the URL of the folder of all layers
   */
  constructor({ layer, template }, fetchLayer, config, root) {
    this.layer = layer;
    this.template = template;
    this.fetchLayer = fetchLayer;
    this.api = config.api;
    this.tab = "";
    this.refresh = framed(() => this.redraw());
    this.log = new TileLog(this.refresh);
    this.parents = new Parents(this.refresh);
    this.outlines = new Ground("ground.bin", this.refresh);
    this.streets = config.basemap && new Basemap(config.basemap, this.refresh);
    this.waits = new Waits();
    this.map = makeMap(layer);
    this.pointer = new Pointer(this.map, this.refresh);
    this.borders = new Borders(this.refresh);
    this.look = new Look({ opacity: () => this.fade(), tiles: () => this.draw(), base: this.refresh }, config.basemap);
    const around = { look: () => viewOf(this.map), changed: this.refresh };
    const { api, scenes } = config;
    this.summary = api
      ? new Summary({ url: `${api}/summary/${layer.layer}`, changed: () => this.panel.counted() })
      : null;
    const counted = { url: `${api}/coverage/${layer.layer}`, zoom: () => this.zoom };
    this.gaps = this.summary ? new Gaps({ ...around, ...counted, summary: this.summary }) : null;
    this.scenes = scenes ? new Scenes({ ...around, url: scenes, go: (square) => this.go(square) }) : null;
    const chosen = (/** @type {string} */ revision) => this.panel.compared(revision);
    this.compare = api ? new Compare({ ...around, map: this.map, api, root, how: () => this.how, chosen }) : null;
    this.panel = new Panel(this, config, around);
    this.ground = new Surface(canvas("ground"), around.look, this.under());
    this.overlay = new Surface(canvas("overlay"), around.look, this.over());
    /** For tests and the console. */
    this.state = {
      layer,
      tiles: this.log.summary([]),
      jobs: /** @type {import("./site.js").Job[]} */ ([]),
      page: this,
    };
    this.wire();
    this.panel.describe();
  }

  /** The zoom of the tiles in view, null if the view is too far out. */
  get zoom() {
    return tileZoom(viewOf(this.map), this.layer.minzoom, this.layer.maxzoom);
  }

  /**
   * The options for drawing the tiles.
   * @returns {import("./picture.js").How}
   */
  get how() {
    const { double, raw } = this.look;
    return { double, raw, cache: this.api ? "no-cache" : "default" }; // shows the current state of a local layer
  }

  /** The requested tiles in view. */
  get tiles() {
    return inView(viewOf(this.map), this.zoom, this.log);
  }

  /**
   * The painters below the map, from bottom to top.
   * @returns {import("./surface.js").Painter[]}
   */
  under() {
    return [
      (context, view) => this.look.base === "outlines" && this.outlines.paint(context, view),
      (context, view) => this.look.base === "streets" && this.streets?.paint(context, view),
      paintGrid,
      (context, view) => {
        const waits = waiting(this.tiles, this.log);
        if (waits.length && this.api && !this.parents.asked) {
          this.parents.thumbnail(`${this.api}/thumbnail/${this.layer.layer}?v=${this.layer.revision}`, this.layer);
        }
        this.clip(context, view);
        context.globalAlpha = 0.55 * this.look.opacity;
        this.parents.paint(context, view, waits);
      },
    ];
  }

  /**
   * The painters over the map, from bottom to top.
   * @returns {import("./surface.js").Painter[]}
   */
  over() {
    return [
      (context, view) => {
        context.setLineDash([4, 4]);
        context.strokeStyle = colour("edge");
        outline(context, view, this.layer.bounds);
      },
      (context, view) => this.gaps?.paint(context, view),
      (context, view) => this.panel.changes?.paint(context, view),
      (context, view) => {
        if (!this.borders.on) return;
        this.clip(context, view);
        paintBorders(context, view, this.tiles, this.log);
      },
      (context, view) => this.borders.on || paintDegrees(context, view), // tile names would overlap the degrees
      (context, view) => this.scenes?.paint(context, view),
      (context, view) => this.panel.box.paint(context, view),
      (context, view) => this.gaps?.on && this.pointer.keyboard && paintCross(context, view),
    ];
  }

  /**
   * Keeps what is painted on the layer's side of the divider.
   * @param {CanvasRenderingContext2D} context @param {import("./mercator.js").View} view
   */
  clip(context, view) {
    context.beginPath();
    context.rect(0, 0, view.width * (this.compare?.share ?? 1), view.height);
    context.clip();
  }

  /** Connects the map, its buttons and the keys. */
  wire() {
    const { map } = this;
    map.on("load", () => this.draw());
    map.on("move", () => this.redraw());
    map.on("resize", this.refresh);
    map.on("moveend", () => this.gaps?.moved());
    const whole = () => map.fitBounds(...fit(this.layer.bounds));
    button("zoom-fit").addEventListener("click", whole);
    button("reload").addEventListener("click", () => {
      this.log.clear();
      reload(map, NAME);
    });
    shortcuts({ t: () => this.borders.switch(), 0: whole, "+": () => map.zoomIn(), "-": () => map.zoomOut() });
    watchPalette(() => this.draw());
  }

  /**
   * Shows a part of the unit square.
   * @param {import("./mercator.js").Square} square
   */
  go(square) {
    this.map.fitBounds(...fit(boundsOf(square)));
  }

  fade() {
    this.map.getCanvas().style.opacity = String(this.look.opacity);
    this.refresh();
  }

  /** Draws the layer with newly requested tiles. */
  draw() {
    this.log.clear();
    this.parents.clear();
    const picture = { ...this.layer, template: this.template };
    const parents = hasHeights(this.layer.style) && !this.look.raw ? {} : { parents: this.parents };
    show(this.map, NAME, picture, { ...this.how, ...parents, log: this.log });
    this.compare?.redraw();
    this.refresh();
  }

  /** Updates everything that depends on the view. */
  redraw() {
    const view = viewOf(this.map);
    this.ground.draw();
    this.overlay.draw();
    this.waits.update(view, this.tiles, this.log);
    showReadout(view, this.pointer.mouse);
    showAttribution(this.layer.attribution, this.credit(view));
    const summary = this.log.summary(this.tiles);
    showSummary(byId("tile-summary"), summary, this.zoom !== null);
    if (summary.rendered > this.state.tiles.rendered) this.summary?.later(); // rendered tiles are stored
    this.state.tiles = summary;
    this.gaps?.point(this.pointer.place);
    this.scenes?.point(this.pointer.place);
  }

  /**
   * Whom to credit for what is below the layer.
   * @param {import("./mercator.js").View} view
   */
  credit(view) {
    if (this.look.base === "streets") return this.streets?.attribution ?? "";
    return this.look.base === "outlines" && strength(view.world) > 0 ? GROUND_CREDIT : "";
  }

  /**
   * Fetches the layer again, and shows its current state.
   * @returns {Promise<boolean>} whether it has changed
   */
  async renew() {
    const { layer: before, template } = this;
    const known = await this.fetchLayer();
    if (known.layer.revision === before.revision && known.template === template) return false;
    Object.assign(this, known);
    const { layer } = this;
    this.state.layer = layer;
    this.map.setMaxZoom(deepest(layer));
    if (layer.minzoom !== before.minzoom || layer.maxzoom !== before.maxzoom)
      this.panel.box.zooms(layer.minzoom, layer.maxzoom);
    this.panel.describe();
    this.draw();
    this.gaps?.reset();
    this.summary?.load();
    this.scenes?.start();
    return true;
  }
}

/** @param {import("./mercator.js").Square} square @returns {import("./mercator.js").Bounds} */
const boundsOf = ([x0, y0, x1, y1]) => [longitudeAt(x0), latitudeAt(y1), longitudeAt(x1), latitudeAt(y0)];
