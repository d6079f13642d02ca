import assert from "node:assert/strict";
import { test } from "node:test";
import { healthOf, sumOf } from "../src/health.js";
import { cellOf, spineWords } from "../src/spine.js";
import { each, random } from "./chance.js";

const whole = (/** @type {number} */ most) => Math.floor(random(0, most + 1));

/** @param {Partial<import("../src/spine.js").Zoom>} counts */
function zoom(counts) {
  const { z = 0, stored = 0, empty = 0, missing = 0, failed = 0, stale = 0, bytes = 0 } = counts;
  return { z, planned: stored + empty + missing + failed, stored, empty, missing, failed, stale, bytes };
}

test("a gap takes at least 35% of its cell however small it is, and a complete zoom has none", () => {
  each(() => {
    const it = zoom({ stored: whole(1e6), empty: whole(9), missing: whole(2), failed: whole(2) });
    const { state, share } = cellOf(it);
    assert.equal(state === "full", it.missing + it.failed === 0);
    if (state !== "full") assert.ok(share <= 65, `${share}`);
    assert.equal(share === 0, it.stored + it.empty === 0 && state !== "full");
  });
});

test("each state of a zoom has its cell", () => {
  assert.equal(cellOf(zoom({ stored: 1 })).state, "full");
  assert.equal(cellOf(zoom({ empty: 3 })).state, "full");
  assert.equal(cellOf(zoom({ missing: 3 })).state, "none");
  assert.equal(cellOf(zoom({ stored: 1, missing: 3 })).state, "gap");
  assert.equal(cellOf(zoom({ failed: 3 })).state, "failed");
  assert.equal(cellOf(zoom({ stored: 1, missing: 1, failed: 1 })).state, "both");
});

test("the spine in words names every zoom", () => {
  const full = (/** @type {number} */ z) => zoom({ z, stored: 1 });
  assert.equal(spineWords([full(0), full(1)]), "All zooms complete");
  assert.equal(spineWords([zoom({ z: 3, missing: 1 })]), "All zooms not stored");
  const mixed = [full(0), full(1), full(2), zoom({ z: 3, stored: 1, missing: 1 }), zoom({ z: 4, failed: 1 })];
  assert.equal(spineWords(mixed), "zooms 0\u20132 complete; zoom 3 with gaps; zoom 4 with failed tiles");
});

test("sums are sums", () => {
  const sum = sumOf([zoom({ stored: 1, missing: 2, bytes: 5 }), zoom({ stored: 3, failed: 1, bytes: 7 })]);
  assert.deepEqual([sum.planned, sum.stored, sum.missing, sum.failed, sum.bytes], [7, 4, 2, 1, 12]);
});

test("work comes before failures, failures before gaps, and quiet is complete", () => {
  const zooms = [zoom({ z: 0, stored: 1 }), zoom({ z: 1, stored: 3, missing: 2 })];
  const line = (/** @type {import("../src/spine.js").Zoom[]} */ some, /** @type {any[]} */ jobs = []) => {
    const { mood, strong, rest } = healthOf(some, jobs);
    return `${mood}: ${strong}${rest}`;
  };
  assert.equal(line(zooms), "gap: 2 of 6 tiles missing");
  assert.equal(line([...zooms, zoom({ z: 2, failed: 1 })]), "failed: 1 tile failed, 2 missing");
  assert.equal(line([zoom({ z: 0, missing: 9 })]), "none: Nothing stored yet");
  assert.equal(line([zoom({ z: 0, stored: 1 }), zoom({ z: 1, missing: 2 })]), "part: Zoom 0 complete");
  assert.equal(line([zoom({ z: 0, stored: 41 })]), "full: Complete, 41 tiles");
  const by_zoom = {
    0: { tiles: 1, blocks: 1, done: 1, failed: 0 },
    1: { tiles: 9, blocks: 4, done: 1, failed: 1 },
  };
  const job = { state: "running", percent: 64.2, by_zoom };
  assert.equal(line(zooms, [{ state: "done", by_zoom: {} }, job]), "run: Seeding zoom 1, 64%");
  assert.equal(line(zooms, [{ ...job, state: "failed" }]), "gap: 2 of 6 tiles missing");
});
