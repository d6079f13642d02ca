import assert from "node:assert/strict";
import { test } from "node:test";
import { boxOf, commandOf, faultOf, VERBS } from "../src/box.js";
import { MAX_LATITUDE, squareOf } from "../src/mercator.js";
import { each, random } from "./chance.js";

const EPSILON = 1e-9;

test("a box holds what was drawn, and at most about two pixels more", () => {
  each(() => {
    const z = Math.floor(random(2, 20));
    const size = random(20, 500) / (256 * 2 ** z);
    const [x, y] = [random(0, 1 - size), random(0.05, 0.95 - size)];
    const [x0, y0, x1, y1] = squareOf(boxOf([x, y, x + size, y + size], z));
    assert.ok(x0 <= x + EPSILON && x1 >= x + size - EPSILON);
    assert.ok(y0 <= y + EPSILON && y1 >= y + size - EPSILON);
    const pixel = 1 / (256 * 2 ** z);
    assert.ok(x1 - x0 - size <= 2 * pixel + EPSILON, `${(x1 - x0 - size) / pixel} pixels`);
  });
});

test("corners may be given in any order", () => {
  each(() => {
    const [a, b, c, d] = [random(0, 1), random(0, 1), random(0, 1), random(0, 1)];
    assert.deepEqual(boxOf([a, b, c, d], 10), boxOf([c, d, a, b], 10));
    assert.deepEqual(boxOf([a, b, c, d], 10), boxOf([a, d, c, b], 10));
  });
});

test("rounding again changes nothing", () => {
  each(() => {
    const x = random(0, 0.9);
    const y = random(0.1, 0.8);
    const box = boxOf([x, y, x + 0.05, y + 0.05], 12);
    const digits = box.map((edge) => `${edge}`.split(".")[1]?.length ?? 0);
    assert.ok(Math.max(...digits) <= 4, `${box}`);
  });
});

test("a box across the antimeridian has its west beyond its east", () => {
  const [west, , east] = boxOf([0.99, 0.4, 1.02, 0.5], 8);
  assert.ok(west > 170 && east < -170, `${west} ${east}`);
});

test("a box as wide as the world is the world, and no box leaves the globe", () => {
  const [west, south, east, north] = boxOf([-0.2, -1, 1.3, 2], 3);
  assert.deepEqual([west, east], [-180, 180]);
  assert.ok(north >= MAX_LATITUDE && north <= 90 && south <= -MAX_LATITUDE && south >= -90);
});

test("what is no box is told", () => {
  assert.equal(faultOf([5, 45, 10, 48]), "");
  assert.equal(faultOf([177, 45, -177, 48]), "");
  for (const bad of [
    [5, 48, 10, 45],
    [5, 45, 5, 48],
    [Number.NaN, 45, 10, 48],
    [-181, 45, 10, 48],
    [5, 45, 10, 91],
  ]) {
    assert.notEqual(faultOf(/** @type {import("../src/mercator.js").Bounds} */ (bad)), "");
  }
});

test("a west that begins with a minus is no option of its own", () => {
  const asked = { layer: "alps", where: " --data '/a b'", low: 5, high: 14 };
  const rest = "--zooms 5-14 --bbox=-12.5,45,10,48 --data '/a b'";
  const verbs = /** @type {import("../src/box.js").Verb[]} */ (Object.keys(VERBS));
  const found = verbs.map((verb) => commandOf(verb, { ...asked, box: [-12.5, 45, 10, 48] }));
  assert.deepEqual(found, [
    `seed alps ${rest}`,
    `seeder verify alps ${rest}`,
    `seeder export alps alps-box.pmtiles ${rest}`,
    `seeder invalidate alps ${rest}`,
  ]);
});

test("without a box the whole layer is meant; one zoom is no range", () => {
  const seed = commandOf("seed", { layer: "alps", where: "", low: 7, high: 7, box: null });
  assert.equal(seed, "seed alps --zooms 7");
});

test("no edge is written with an exponent", () => {
  const seed = commandOf("seed", { layer: "a", where: "", low: 0, high: 20, box: [-0.0000001, 0.00000025, 1, 2] });
  assert.match(seed, /--bbox=-0\.0000001,0\.00000025,1,2$/);
});
