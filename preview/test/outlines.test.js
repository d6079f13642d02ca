import assert from "node:assert/strict";
import { test } from "node:test";
import { worldX, worldY } from "../src/mercator.js";
import { outlineOf, sceneAt } from "../src/outlines.js";

/** @param {string} address @param {number[][][][]} coordinates */
const scene = (address, coordinates) =>
  outlineOf({
    geometry:
      coordinates.length === 1
        ? { type: "Polygon", coordinates: coordinates[0] ?? [] }
        : { type: "MultiPolygon", coordinates },
    properties: { address, date: "", resolution: 1 },
  });

/** @param {number} west @param {number} south @param {number} east @param {number} north */
const box = (west, south, east, north) => [
  [
    [west, south],
    [east, south],
    [east, north],
    [west, north],
    [west, south],
  ],
];

/** @param {import("../src/outlines.js").Outline[]} scenes @param {number} longitude @param {number} latitude */
const named = (scenes, longitude, latitude) => sceneAt(scenes, worldX(longitude), worldY(latitude))?.address;

test("the uppermost scene at a place is the last of those around it", () => {
  const scenes = [scene("a", [box(0, 0, 20, 20)]), scene("b", [box(10, 10, 30, 30)])];
  assert.deepEqual(
    [
      [5, 5],
      [15, 15],
      [25, 25],
      [5, 25],
    ].map(([x = 0, y = 0]) => named(scenes, x, y)),
    ["a", "b", "b", undefined],
  );
});

test("a slanted scene is not its box", () => {
  const corners = [0, 0, 10, 0, 20, 10, 0, 0];
  const ring = [0, 2, 4, 6].map((i) => corners.slice(i, i + 2));
  const slanted = scene("a", [[ring]]);
  assert.equal(named([slanted], 10, 3), "a");
  assert.equal(named([slanted], 4, 8), undefined);
});

test("a scene across the antimeridian is found on both sides, and in each copy of the world", () => {
  const scenes = [scene("a", [box(170, -10, 180, 10), box(-180, -10, -170, 10)])];
  for (const longitude of [175, -175, 185, -185, 535]) assert.equal(named(scenes, longitude, 0), "a");
  for (const longitude of [0, 165, -165, 195]) assert.equal(named(scenes, longitude, 0), undefined);
});
