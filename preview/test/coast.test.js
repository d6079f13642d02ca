import assert from "node:assert/strict";
import { test } from "node:test";
import { ground } from "../ground.mjs";
import { coastOf, thinned } from "../src/coast.js";
import { strength } from "../src/ground.js";
import { worldX, worldY } from "../src/mercator.js";

const bytes = await ground();
const { land, borders } = coastOf(bytes);

/** Whether a place is on land: whether a line to the east of it crosses an odd number of sides. */
function isLand(/** @type {number} */ longitude, /** @type {number} */ latitude, lines = land) {
  const y = worldY(latitude);
  let inside = false;
  for (const { points } of lines) {
    for (const x of [-1, 0, 1].map((world) => worldX(longitude) + world)) {
      for (let i = 0; i < points.length; i += 2) {
        const at = (/** @type {number} */ index) => points[index % points.length] ?? 0;
        const [x0, y0, x1, y1] = [at(i), at(i + 1), at(i + 2), at(i + 3)];
        if (y0 > y !== y1 > y && x < x0 + ((y - y0) / (y1 - y0)) * (x1 - x0)) inside = !inside;
      }
    }
  }
  return inside;
}

/** @type {Record<string, [longitude: number, latitude: number, land: boolean]>} */
const PLACES = {
  Paris: [2.35, 48.86, true],
  Nairobi: [36.8, -1.3, true],
  "Ayers Rock": [131, -25.3, true],
  Chukotka: [-175, 66.8, true],
  "east Siberia": [175, 66.8, true],
  "South Pole's side": [60, -80, true],
  "Bay of Biscay": [-5, 45, false],
  "the Pacific": [-170, -30, false],
  "the Tyrrhenian Sea": [12, 40, false],
  "the Arctic": [0, 84.5, false],
};

for (const [name, [longitude, latitude, wanted]] of Object.entries(PLACES)) {
  test(`${name} is ${wanted ? "land" : "sea"}, at every scale`, () => {
    assert.equal(isLand(longitude, latitude), wanted);
    assert.equal(isLand(longitude, latitude, thinned(land, 1 / 1024)), wanted);
  });
}

test("no line leaps over the map", () => {
  for (const { points } of [...land, ...borders]) {
    for (let i = 2; i < points.length; i += 2) {
      const step = Math.abs((points[i] ?? 0) - (points[i - 2] ?? 0));
      assert.ok(step < 0.5 || (points[i + 1] ?? 0) >= 1, `${step}`);
    }
  }
});

test("the outlines weigh about 100 kB", () => assert.ok(bytes.length < 110_000, `${bytes.length}`));

test("thinning keeps the ends of lines, and leaves fewer points", () => {
  const few = thinned(borders, 1 / 512);
  assert.ok(few.length < borders.length);
  const total = (/** @type {typeof few} */ lines) => lines.reduce((sum, { points }) => sum + points.length, 0);
  assert.ok(total(few) < total(borders) / 2);
  for (const { points } of few) assert.ok(borders.some((line) => line.points.at(-1) === points.at(-1)));
});

test("outlines are seen at the scale of countries, never at that of a drone", () => {
  assert.equal(strength(256 * 2 ** 5), 1);
  assert.equal(strength(256 * 2 ** 9), 0);
  assert.ok(strength(256 * 2 ** 7.5) < 1);
});
