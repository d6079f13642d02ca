import assert from "node:assert/strict";
import { test } from "node:test";
import { blockAt, drawnZoom } from "../src/blocks.js";
import { rowsOf, runsOf } from "../src/gappaint.js";
import { anyOpaque } from "../src/pixels.js";
import { address, revisionOf, TileLog, templateIn } from "../src/tiles.js";
import { each, random } from "./chance.js";

test("a tile's address is below the page's folder, and keeps the revision", () => {
  const template = templateIn("http://tiles.test/dem/{z}/{x}/{y}.png?v=abc", "https://other.test/maps/dem/");
  assert.equal(template, "https://other.test/maps/dem/{z}/{x}/{y}.png?v=abc");
  assert.equal(address(template, { z: 3, x: 2, y: 1 }, false), "https://other.test/maps/dem/3/2/1.png?v=abc");
  assert.equal(address(template, { z: 3, x: 2, y: 1 }, true), "https://other.test/maps/dem/3/2/1@2x.png?v=abc");
  assert.equal(revisionOf(template), "abc");
  assert.throws(() => templateIn("http://tiles.test/dem.png", "https://other.test/"));
});

test("a tile counts once, with its latest state", () => {
  const log = new TileLog();
  const tile = { z: 1, x: 0, y: 1 };
  log.note(tile, "asked");
  assert.equal(log.summary([tile, tile]).asked, 1);
  log.note(tile, "rendered", 80);
  log.note({ z: 1, x: 1, y: 1 }, "failed", 5000);
  log.note({ z: 1, x: 0, y: 0 }, "stored", 20);
  log.note({ z: 2, x: 0, y: 0 }, "stored", 1);
  const all = [tile, { z: 1, x: 1, y: 1 }, { z: 1, x: 0, y: 0 }, { z: 1, x: 1, y: 0 }];
  assert.deepEqual(log.summary(all), { stored: 1, rendered: 1, empty: 0, failed: 1, asked: 0, median: 50 });
});

test("only a tile that nobody has answered is forgotten", () => {
  const log = new TileLog();
  const [a, b] = [
    { z: 1, x: 0, y: 1 },
    { z: 1, x: 0, y: 0 },
  ];
  log.note(a, "asked");
  log.note(b, "stored", 3);
  log.forget(a);
  log.forget(b);
  assert.equal(log.get(a), undefined);
  assert.equal(log.get(b)?.state, "stored");
});

test("the runs of a mask's rows are its bits, and the last digits are the northern row", () => {
  each(() => {
    const bytes = Array.from({ length: 8 }, () => Math.floor(random(0, 256)));
    const hex = bytes.toReversed().map((byte) => byte.toString(16).padStart(2, "0"));
    assert.deepEqual(rowsOf(hex.join("")), bytes);
    for (const byte of bytes) {
      const runs = runsOf(byte);
      const sum = runs.reduce((all, [from, to]) => all + 2 ** to - 2 ** from, 0);
      assert.equal(sum, byte);
      for (const [i, [from]] of runs.entries()) assert.ok(i === 0 || from > (runs[i - 1]?.[1] ?? 0));
    }
  });
});

test("a block is found at every place inside it, in every world", () => {
  each(() => {
    const z = Math.floor(random(4, 12));
    const side = 8;
    const corner = () => Math.floor(random(0, 2 ** z / side)) * side;
    const block = /** @type {import("../src/blocks.js").Block} */ ([corner(), corner(), 64, 64, 0, 0, 0]);
    const answer = { z, side, tiles: { planned: 64, stored: 64, empty: 0, missing: 0, failed: 0 }, blocks: [block] };
    const world = Math.floor(random(-2, 3));
    const at = (/** @type {number} */ tile) => (tile + random(0.001, side - 0.001)) / 2 ** z;
    assert.equal(blockAt(answer, at(block[0]) + world, at(block[1])), block);
    assert.equal(blockAt(answer, at(block[0]) + side / 2 ** z, at(block[1])), null);
  });
});

test("the blocks that are drawn go along with the view, within the layer's zooms", () => {
  assert.equal(drawnZoom(4, 0, 14), 7);
  assert.equal(drawnZoom(13, 0, 14), 14);
  assert.equal(drawnZoom(null, 5, 14), 8);
});

test("a picture is empty only where nothing of it can be seen", () => {
  assert.equal(anyOpaque(new Uint8ClampedArray([9, 9, 9, 0, 1, 1, 1, 0])), false);
  assert.equal(anyOpaque(new Uint8ClampedArray([9, 9, 9, 0, 0, 0, 0, 1])), true);
});
