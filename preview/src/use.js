/** The tab on how to use the layer: its address, lines for map libraries, and other ways in. */

import { codeBlock } from "./code.js";
import { copyButton } from "./copy.js";
import { byId, make, setBreakableText, setText } from "./dom.js";
import { titleOf } from "./facts.js";
import { count } from "./format.js";
import { sumOf } from "./health.js";
import { folder } from "./site.js";
import { snippets } from "./snippets.js";
import { Tabs } from "./tabs.js";

/** @typedef {import("./snippets.js").Snippet} Snippet */

const SHORT = "\u2026"; // in place of the host

export class Use {
  /** @param {{where: string}} given the options that make a command use the same stores */
  constructor({ where }) {
    this.where = where;
    this.library = "maplibre";
  }

  /**
   * Shows the addresses of a layer.
   * @param {import("./site.js").Layer} layer @param {string} template
   */
  show(layer, template) {
    const base = folder();
    setBreakableText(byId("address-xyz"), template);
    const { minzoom, maxzoom, bounds, attribution, encoding = "" } = layer;
    const shown = {
      layer: layer.layer,
      title: titleOf(layer),
      template,
      minzoom,
      maxzoom,
      bounds,
      attribution,
      encoding,
    };
    const all = snippets({ ...shown, tilejson: `${base}tile.json`, wmts: `${base}wmts.xml` });
    this.libraries(all.filter(({ key }) => key !== "address"));
    byId("ways").replaceChildren(
      way("TileJSON", `${base}tile.json`, `${SHORT}/${layer.layer}/tile.json`),
      way("WMTS", `${base}wmts.xml`, `${SHORT}/${layer.layer}/wmts.xml`),
      ...["pmtiles", "mbtiles"].map((kind) => this.file(layer.layer, kind)),
    );
  }

  /** @param {Snippet[]} shown */
  libraries(shown) {
    const tabs = shown.map(({ key, name }) =>
      make("button", { role: "tab", type: "button", id: `tab-${key}`, "aria-controls": `lines-${key}` }, name),
    );
    const list = make("div", { class: "tabs small", role: "tablist", "aria-label": "Map library" }, ...tabs);
    const panels = shown.map((snippet) => {
      const { key, note, page, name } = snippet;
      const panel = make(
        "div",
        { role: "tabpanel", id: `lines-${key}`, "aria-labelledby": `tab-${key}` },
        codeBlock(snippet),
      );
      const line = make("p", { class: "quiet line" }, make("span", {}, note));
      if (page)
        line.append(copyButton(page, { label: "Copy a whole page", name: `a whole page for ${name}`, look: "b bare" }));
      if (note || page) panel.append(line);
      return panel;
    });
    byId("snippets").replaceChildren(list, ...panels);
    new Tabs(list, (key) => {
      this.library = key;
    }).pick(this.library);
  }

  /** @param {string} layer @param {string} kind */
  file(layer, kind) {
    const command = `seeder export ${layer} ${layer}.${kind}${this.where}`;
    const name = kind === "pmtiles" ? "PMTiles" : "MBTiles";
    const button = copyButton(command, { label: "Copy command", name: `the command for ${name}`, look: "b bare" });
    return make("li", {}, make("span", {}, name), make("span", { class: "quiet" }, "one file"), button);
  }

  /**
   * Tells how much an export would hold.
   * @param {import("./spine.js").Zoom[]} zooms
   */
  counted(zooms) {
    const { stored, missing, failed } = sumOf(zooms);
    const note = byId("export-note");
    note.hidden = missing + failed === 0;
    setText(note, `An export holds the stored tiles: ${count(stored)} now, without ${count(missing + failed)} others.`);
  }
}

/**
 * A row with an address.
 * @param {string} name @param {string} address @param {string} short
 */
function way(name, address, short) {
  const link = make("a", { href: address, class: "mono" }, short);
  return make(
    "li",
    {},
    make("span", {}, name),
    link,
    copyButton(address, { name: `the ${name} address`, look: "b bare" }),
  );
}
