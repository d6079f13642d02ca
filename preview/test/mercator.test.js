import assert from "node:assert/strict";
import { test } from "node:test";
import {
  copies,
  cover,
  latitudeAt,
  longitudeAt,
  MAX_LATITUDE,
  squareOf,
  tileZoom,
  toScreen,
  touches,
  toWorld,
  viewBounds,
  worldX,
  worldY,
  wrapLongitude,
} from "../src/mercator.js";
import { each, near, random } from "./chance.js";

/** @returns {import("../src/mercator.js").View} */
const anyView = () => ({
  x: random(0, 1),
  y: random(0.1, 0.9),
  world: 2 ** random(8, 24),
  width: random(200, 2000),
  height: random(200, 1500),
});

test("degrees survive the way to the unit square and back", () => {
  each(() => {
    const [longitude, latitude] = [random(-180, 180), random(-85, 85)];
    near(longitudeAt(worldX(longitude)), longitude);
    near(latitudeAt(worldY(latitude)), latitude);
  });
});

test("the unit square ends where Web Mercator does", () => {
  near(worldY(MAX_LATITUDE), 0);
  near(worldY(-MAX_LATITUDE), 1);
  near(worldY(90), 0);
  near(worldY(0), 0.5);
  near(MAX_LATITUDE, 85.0511287798066);
});

test("a longitude is wrapped by whole turns into -180 to 180", () => {
  each(() => {
    const longitude = random(-900, 900);
    const wrapped = wrapLongitude(longitude);
    assert.ok(wrapped >= -180 && wrapped <= 180);
    near((longitude - wrapped) / 360, Math.round((longitude - wrapped) / 360));
  });
  assert.equal(wrapLongitude(180), 180);
  assert.equal(wrapLongitude(-180), -180);
});

test("a place of the picture is where the world says", () => {
  each(() => {
    const view = anyView();
    const [left, top] = [random(0, view.width), random(0, view.height)];
    const [x, y] = toWorld(view, left, top);
    const [back, down] = toScreen(view, x, y);
    near(back, left, 1e-3);
    near(down, top, 1e-3);
  });
});

test("every place of the picture that is on the globe lies in exactly one covering tile", () => {
  each(() => {
    const view = anyView();
    const z = Math.max(0, Math.round(Math.log2(view.world / 256)));
    const tiles = cover(view, z);
    const [x, y] = toWorld(view, random(0, view.width), random(0, view.height));
    if (y <= 0 || y >= 1) return;
    const holding = tiles.filter((tile) => {
      const [column, row] = [x * 2 ** z - tile.wrap * 2 ** z, y * 2 ** z];
      return Math.floor(column) === tile.x && Math.floor(row) === tile.y;
    });
    assert.equal(holding.length, 1);
    assert.ok(tiles.every((tile) => tile.x >= 0 && tile.x < 2 ** z && tile.y >= 0 && tile.y < 2 ** z));
  });
});

test("a tile's own box touches it and none of its neighbours", () => {
  each(() => {
    const z = Math.floor(random(1, 18));
    const [x, y] = [Math.floor(random(0, 2 ** z)), Math.floor(random(0, 2 ** z))];
    const edge = (/** @type {number} */ column) => longitudeAt(column / 2 ** z);
    /** @type {import("../src/mercator.js").Bounds} */
    const bounds = [edge(x), latitudeAt((y + 1) / 2 ** z), edge(x + 1), latitudeAt(y / 2 ** z)];
    const inside = /** @type {const} */ ([
      bounds[0] + 0.01 * (bounds[2] - bounds[0]),
      bounds[1] + 0.01 * (bounds[3] - bounds[1]),
      bounds[2] - 0.01 * (bounds[2] - bounds[0]),
      bounds[3] - 0.01 * (bounds[3] - bounds[1]),
    ]);
    assert.ok(touches([...inside], z, x, y));
    assert.ok(!touches([...inside], z, x, y + 1));
    assert.ok(!touches([...inside], z, x, y - 1));
    if (x + 1 < 2 ** z) assert.ok(!touches([...inside], z, x + 1, y));
    if (x > 0) assert.ok(!touches([...inside], z, x - 1, y));
  });
});

test("a box across the antimeridian touches tiles on both sides, and not those between", () => {
  const box = /** @type {import("../src/mercator.js").Bounds} */ ([177, 50, -178, 53]);
  assert.ok(touches(box, 8, 255, 84));
  assert.ok(touches(box, 8, 0, 84));
  assert.ok(touches(box, 0, 0, 0));
  assert.ok(!touches(box, 8, 128, 84));
  const [x0, , x1] = squareOf(box);
  near((x1 - x0) * 360, 5);
});

test("the view's bounds hold its centre and cross the antimeridian where it does", () => {
  const view = { x: worldX(180), y: worldY(51), world: 2 ** 14, width: 400, height: 400 };
  const [west, south, east, north] = viewBounds(view);
  assert.ok(west > 0 && east < 0);
  assert.ok(south < 51 && north > 51);
  const whole = viewBounds({ x: 0.5, y: 0.5, world: 256, width: 1000, height: 300 });
  assert.deepEqual([whole[0], whole[2]], [-180, 180]);
});

test("a copy is seen in each world that the picture shows", () => {
  const view = { x: 0.5, y: 0.5, world: 300, width: 1000, height: 300 };
  assert.deepEqual(copies(view, 0.4, 0.6), [-1, 0, 1]);
  each(() => {
    const random_ = anyView();
    const x0 = random(0, 1);
    const x1 = x0 + random(0, 0.5);
    const [left, , right] = [toWorld(random_, 0, 0)[0], 0, toWorld(random_, random_.width, 0)[0]];
    const seen = [-3, -2, -1, 0, 1, 2, 3].filter((world) => x1 + world >= left && x0 + world <= right);
    assert.deepEqual(
      copies(random_, x0, x1).filter((world) => Math.abs(world) <= 3),
      seen,
    );
  });
});

test("tiles are those of the nearest zoom, never shown below the layer's first nor beyond its last", () => {
  const at = (/** @type {number} */ zoom) => ({ x: 0.5, y: 0.5, world: 256 * 2 ** zoom, width: 500, height: 500 });
  assert.equal(tileZoom(at(7.4), 0, 14), 7);
  assert.equal(tileZoom(at(7.6), 0, 14), 8);
  assert.equal(tileZoom(at(20), 0, 14), 14);
  assert.equal(tileZoom(at(3), 5, 14), null);
  assert.equal(tileZoom(at(-1), 0, 14), 0);
});
