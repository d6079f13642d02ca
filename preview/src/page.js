/** The page of one layer: its map, everything drawn over it, and the panel. */

import { describe } from "./about.js";
import { fillLegend, inView, paintBorders, showSummary } from "./borders.js";
import { BoxTool } from "./boxtool.js";
import { Compare } from "./compare.js";
import { Coverage, paintCross } from "./coverage.js";
import { button, byId, canvas, framed, input, select } from "./dom.js";
import { outline, paintDegrees, paintGrid } from "./grid.js";
import { deepest, fit, makeMap, viewOf } from "./map.js";
import { tileZoom } from "./mercator.js";
import { colour, watchPalette } from "./palette.js";
import { reload, show } from "./picture.js";
import { Pointer } from "./pointer.js";
import { showReadout } from "./readout.js";
import { Scenes } from "./scenes.js";
import { Surface } from "./surface.js";
import { TileLog } from "./tiles.js";

/** @typedef {import("./site.js").Layer} Layer */
/** @typedef {{layer: Layer, template: string}} Known `template` is the URL template of the layer's tiles */

const NAME = "layer";
const DENSE = 1.5; // device pixels per CSS pixel from which on tiles of 512 pixels look sharper

export class Page {
  /**
   * @param {Known} known @param {() => Promise<Known>} fetchLayer fetches it again
   * @param {import("./site.js").Config} config @param {string} root the URL of the folder of all layers
   */
  constructor({ layer, template }, fetchLayer, { api, where, scenes }, root) {
    this.layer = layer;
    this.template = template;
    this.fetchLayer = fetchLayer;
    this.live = api !== "";
    this.refresh = framed(() => this.redraw());
    this.log = new TileLog(this.refresh);
    this.map = makeMap(layer);
    this.pointer = new Pointer(this.map, this.refresh);
    this.borders = input("tiles-toggle");
    const around = { look: () => viewOf(this.map), changed: this.refresh };
    this.box = new BoxTool({ ...around, layer: layer.layer, where, low: layer.minzoom, high: layer.maxzoom });
    const counted = { url: `${api}/coverage/${layer.layer}`, zoom: () => this.zoom };
    this.coverage = this.live ? new Coverage({ ...around, ...counted }) : null;
    this.scenes = scenes ? new Scenes({ ...around, url: scenes }) : null;
    const compared = { map: this.map, api, root, how: () => this.how };
    this.compare = this.live ? new Compare({ ...around, ...compared }) : null;
    this.ground = new Surface(canvas("ground"), around.look, [paintGrid]);
    this.overlay = new Surface(canvas("overlay"), around.look, this.painters());
    /** For tests and the console. */
    this.state = { layer, tiles: {}, jobs: /** @type {import("./site.js").Job[]} */ ([]), page: this };
    this.wire();
    describe(layer, template);
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
    const retina = select("retina").value;
    return {
      double: retina === "on" || (retina === "auto" && devicePixelRatio >= DENSE),
      raw: select("heights").value === "raw",
      cache: this.live ? "no-cache" : "default", // shows the current state of a local layer
    };
  }

  /**
   * The painters over the map, from bottom to top.
   * @returns {import("./surface.js").Painter[]}
   */
  painters() {
    return [
      (context, view) => {
        context.setLineDash([4, 4]);
        context.strokeStyle = colour("edge");
        outline(context, view, this.layer.bounds);
      },
      (context, view) => this.coverage?.paint(context, view),
      (context, view) => {
        if (!this.borders.checked) return;
        context.beginPath();
        context.rect(0, 0, view.width * (this.compare?.share ?? 1), view.height);
        context.clip();
        paintBorders(context, view, inView(view, this.zoom, this.log), this.log);
      },
      (context, view) => this.scenes?.paint(context, view),
      (context, view) => this.box.paint(context, view),
      (context, view) => this.borders.checked || paintDegrees(context, view), // tile names would overlap the degrees
      (context, view) => this.coverage?.on && this.pointer.keyboard && paintCross(context, view),
    ];
  }

  /** Connects the controls. */
  wire() {
    const { map } = this;
    map.on("load", () => this.draw());
    map.on("move", () => this.redraw());
    map.on("resize", this.refresh);
    map.on("moveend", () => this.coverage?.moved());
    button("zoom-fit").addEventListener("click", () => map.fitBounds(...fit(this.layer.bounds)));
    const opacity = input("opacity");
    opacity.addEventListener("input", () => {
      map.getCanvas().style.opacity = String(opacity.valueAsNumber / 100);
    });
    for (const id of ["retina", "heights"]) select(id).addEventListener("change", () => this.draw());
    fillLegend(byId("tile-legend"));
    this.borders.addEventListener("change", () => {
      byId("tile-legend").hidden = !this.borders.checked;
      this.refresh();
    });
    button("reload").addEventListener("click", () => {
      this.log.clear();
      reload(map, NAME);
    });
    watchPalette(() => {
      this.draw();
      this.coverage?.swatches();
    });
  }

  /** Draws the layer with newly requested tiles. */
  draw() {
    this.log.clear();
    show(this.map, NAME, { ...this.layer, template: this.template }, { ...this.how, log: this.log });
    this.compare?.redraw();
    this.refresh();
  }

  /** Updates everything that depends on the view. */
  redraw() {
    this.ground.draw();
    this.overlay.draw();
    showReadout(viewOf(this.map), this.pointer.mouse);
    const summary = this.log.summary(inView(viewOf(this.map), this.zoom, this.log));
    showSummary(byId("tile-summary"), summary, this.zoom !== null);
    this.state.tiles = summary;
    this.coverage?.point(this.pointer.place);
    this.scenes?.point(this.pointer.place);
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
      this.box.zooms(layer.minzoom, layer.maxzoom);
    describe(layer, this.template);
    this.draw();
    this.coverage?.start();
    this.scenes?.start();
    return true;
  }
}
