import assert from "node:assert/strict";
import { test } from "node:test";
import { Script } from "node:vm";
import { coloured, snippets } from "../src/snippets.js";

const SHOWN = {
  layer: "ortho",
  title: 'Survey <of> "2026" & more',
  template: "https://tiles.test/ortho/{z}/{x}/{y}.png?v=b8aa83ca9b88",
  tilejson: "https://tiles.test/ortho/tile.json",
  wmts: "https://tiles.test/ortho/wmts.xml",
  minzoom: 2,
  maxzoom: 9,
  bounds: /** @type {[number, number, number, number]} */ ([-9.6, 35.9, 18.6, 47.9]),
  attribution: '<a href="https://example.org">Survey</a> </script>',
  encoding: "",
};

for (const encoding of ["", "mapbox"]) {
  const all = snippets({ ...SHOWN, encoding });

  test(`lines are JavaScript, and name the layer's address (encoding ${encoding || "none"})`, () => {
    for (const { key, lines } of all.filter(({ page }) => page)) {
      new Script(lines); // parses
      assert.ok(lines.includes(key === "maplibre" ? SHOWN.tilejson : SHOWN.template), key);
    }
  });

  test(`a page holds its lines and one script of its own (encoding ${encoding || "none"})`, () => {
    for (const { key, lines, page } of all.filter((each) => each.page)) {
      const squeeze = (/** @type {string} */ text) => text.replaceAll(/^ +/gm, "");
      assert.ok(squeeze(page).includes(squeeze(lines)), key);
      assert.equal(page.split("</script>").length - 1, key === "maplibre" ? 1 : 2, key);
      assert.ok(!page.includes("<of>"), key);
    }
  });
}

test("heights are a source of heights only where the library shades them", () => {
  const [maplibre, leaflet] = snippets({ ...SHOWN, encoding: "terrarium" });
  assert.match(maplibre?.lines ?? "", /raster-dem[\s\S]*terrarium[\s\S]*hillshade/);
  assert.match(leaflet?.note ?? "", /encode/);
});

test("a program with a dialog gets the address alone", () => {
  for (const { key, copied } of snippets(SHOWN).slice(3)) assert.equal(copied, SHOWN.template, key);
});

test("colours change no character of the code", () => {
  for (const { lines, page } of snippets(SHOWN)) {
    for (const code of [lines, page]) {
      assert.equal(
        coloured(code)
          .map(({ text }) => text)
          .join(""),
        code,
      );
    }
  }
});
