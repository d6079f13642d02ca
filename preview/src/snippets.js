/** Lines and whole pages that show a layer in a map library, in QGIS, or anywhere. */

/** @typedef {import("./mercator.js").Bounds} Bounds */
/**
 * @typedef {object} Shown what a snippet needs to know of a layer
 * @property {string} layer its id
 * @property {string} title
 * @property {string} template the tile address, with {z}, {x}, {y} and the revision
 * @property {string} tilejson
 * @property {string} wmts
 * @property {number} minzoom
 * @property {number} maxzoom
 * @property {Bounds} bounds
 * @property {string} attribution of HTML or plain text
 * @property {string} encoding of heights: "mapbox", "terrarium", or empty
 */
/**
 * @typedef {object} Snippet
 * @property {"maplibre" | "leaflet" | "openlayers" | "qgis" | "address"} key
 * @property {string} name
 * @property {string} lines what is shown: lines for a map that is there, `map`
 * @property {string} copied what the button copies; the lines, but only the address for a program with a dialog
 * @property {string} page a whole HTML page, or empty
 * @property {string} note
 */

/** Addresses of the libraries that whole pages load; their versions are those of tests/clients. */
export const LIBRARIES = {
  maplibre: "https://unpkg.com/maplibre-gl@6.17.0/dist",
  leaflet: "https://unpkg.com/leaflet@1.9.4/dist",
  openlayers: "https://unpkg.com/ol@10.11.0",
};

/**
 * A value as JavaScript that no HTML parser takes for a tag.
 * @param {unknown} value
 */
const js = (value) => JSON.stringify(value).replaceAll("<", "\\u003c");

/**
 * The lines of an object, without those whose value is undefined.
 * @param {Record<string, string | undefined>} values JavaScript by name @param {string} indent
 */
function members(values, indent) {
  const set = Object.entries(values).filter(([, value]) => value !== undefined);
  return set.map(([name, value]) => `${indent}${name}: ${value},\n`).join("");
}

/**
 * A whole page.
 * @param {string} title @param {string} head tags @param {string} script
 */
function pageOf(title, head, script) {
  const name = title.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  const indented = script.replaceAll(/^(?=.)/gm, "  ");
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${name}</title>
${head}
<style>html, body, #map { height: 100%; margin: 0 }</style>
<div id="map"></div>
<script type="module">
${indented}</script>
</html>
`;
}

/** @param {Shown} shown @returns {Snippet} */
function maplibre({ layer, title, tilejson, bounds, encoding }) {
  const id = js(layer);
  const source = members(
    {
      type: js(encoding ? "raster-dem" : "raster"),
      url: js(tilejson),
      tileSize: "256",
      encoding: encoding ? js(encoding) : undefined,
    },
    "  ",
  );
  const lines = `map.addSource(${id}, {
${source}});
map.addLayer({
  id: ${id},
  type: ${js(encoding ? "hillshade" : "raster")},
  source: ${id},
});
`;
  const from = LIBRARIES.maplibre;
  const page = pageOf(
    title,
    `<link rel="stylesheet" href="${from}/maplibre-gl.css">`,
    `import { Map } from "${from}/maplibre-gl.mjs";

const map = new Map({ container: "map", bounds: ${js(bounds)}, style: { version: 8, sources: {}, layers: [] } });
map.on("load", () => {
${lines.replaceAll(/^(?=.)/gm, "  ")}});
`,
  );
  const note = `Run the lines once the map has loaded: in map.on("load", \u2026).`;
  return { key: "maplibre", name: "MapLibre", lines, copied: lines, page, note };
}

/** @param {Shown} shown @returns {Snippet} */
function leaflet({ title, template, minzoom, maxzoom, bounds: [west, south, east, north], attribution, encoding }) {
  const corners = js([
    [south, west],
    [north, east],
  ]);
  const options = members(
    {
      bounds: corners,
      minNativeZoom: minzoom ? `${minzoom}` : undefined,
      maxNativeZoom: `${maxzoom}`,
      maxZoom: `${maxzoom + 3}`,
      attribution: attribution ? js(attribution) : undefined,
    },
    "  ",
  );
  const lines = `L.tileLayer(${js(template)}, {
${options}}).addTo(map);
`;
  const from = LIBRARIES.leaflet;
  const page = pageOf(
    title,
    `<link rel="stylesheet" href="${from}/leaflet.css">\n<script src="${from}/leaflet.js"></script>`,
    `const map = L.map("map").fitBounds(${corners});\n${lines}`,
  );
  const note = encoding ? "Leaflet shows the colours that encode the heights; MapLibre shades them." : "";
  return { key: "leaflet", name: "Leaflet", lines, copied: lines, page, note };
}

/** @param {Shown} shown @returns {Snippet} */
function openlayers({ title, template, minzoom, maxzoom, bounds, attribution, encoding }) {
  const extent = `ol.proj.transformExtent(${js(bounds)}, "EPSG:4326", "EPSG:3857")`;
  const options = members(
    {
      url: js(template),
      minZoom: minzoom ? `${minzoom}` : undefined,
      maxZoom: `${maxzoom}`,
      attributions: attribution ? js(attribution) : undefined,
      crossOrigin: js("anonymous"),
    },
    "    ",
  );
  const lines = `map.addLayer(new ol.layer.Tile({
  extent: ${extent},
  source: new ol.source.XYZ({
${options}  }),
}));
`;
  const from = LIBRARIES.openlayers;
  const page = pageOf(
    title,
    `<link rel="stylesheet" href="${from}/ol.css">\n<script src="${from}/dist/ol.js"></script>`,
    `const map = new ol.Map({ target: "map", view: new ol.View({ maxZoom: ${maxzoom + 3} }) });
${lines}map.getView().fit(${extent});
`,
  );
  const note = encoding ? "OpenLayers shows the colours that encode the heights; MapLibre shades them." : "";
  return { key: "openlayers", name: "OpenLayers", lines, copied: lines, page, note };
}

/** @param {Shown} shown @returns {Snippet} */
function qgis({ layer, template, wmts, minzoom, maxzoom }) {
  const lines = `# Layer > Add Layer > Add XYZ Layer > New
URL        ${template}
Min. zoom  ${minzoom}
Max. zoom  ${maxzoom}

# or Layer > Add Layer > Add WMS/WMTS Layer > New
URL        ${wmts}

# or Plugins > Python Console
iface.addRasterLayer(${js(`type=xyz&url=${encodeURIComponent(template)}&zmin=${minzoom}&zmax=${maxzoom}`)}, ${js(layer)}, "wms")
`;
  return { key: "qgis", name: "QGIS", lines, copied: template, page: "", note: "The button copies the XYZ address." };
}

/** @param {Shown} shown @returns {Snippet} */
function plain({ template }) {
  return { key: "address", name: "Address", lines: `${template}\n`, copied: template, page: "", note: "" };
}

/**
 * All snippets of a layer.
 * @param {Shown} shown
 */
export const snippets = (shown) => [maplibre, leaflet, openlayers, qgis, plain].map((make) => make(shown));

const TOKENS =
  /(?<remark>^\s*(?:\/\/|#).*$)|(?<string>"(?:[^"\\]|\\.)*")|(?<key>\b(?:new|const|import|from)\b|\w+(?=\())/gm;

/**
 * Code in its coloured parts.
 * @param {string} code
 * @returns {{text: string, kind: "" | "key" | "string" | "remark"}[]}
 */
export function coloured(code) {
  /** @type {{text: string, kind: "" | "key" | "string" | "remark"}[]} */
  const parts = [];
  let end = 0;
  for (const found of code.matchAll(TOKENS)) {
    if (found.index > end) parts.push({ text: code.slice(end, found.index), kind: "" });
    const kind = found.groups?.remark ? "remark" : found.groups?.string ? "string" : "key";
    parts.push({ text: found[0], kind });
    end = found.index + found[0].length;
  }
  if (end < code.length) parts.push({ text: code.slice(end), kind: "" });
  return parts;
}
