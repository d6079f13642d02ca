import assert from "node:assert/strict";
import { test } from "node:test";
import { squareOf } from "../src/mercator.js";
import { thumbnailSquare } from "../src/parents.js";
import { dayOf, revisionsOf } from "../src/revisions.js";
import { after, SIDEWAYS, stepped, UPRIGHT } from "../src/sheet.js";
import { nameOf } from "../src/timeline.js";
import { nearestGap, rowsOf } from "../src/zoomrows.js";
import { each, random } from "./chance.js";

const whole = (/** @type {number} */ low, /** @type {number} */ high) => Math.floor(random(low, high));

/** @param {number} z @returns {import("../src/spine.js").Zoom} */
function zoom(z) {
  const [stored, empty, missing, failed] = [0, 0, 0, 0].map(() => (random(0, 1) < 0.6 ? 0 : whole(1, 9)));
  const [a = 0, b = 0, c = 0, d = 0] = [stored, empty, missing, failed];
  return { z, planned: a + b + c + d, stored: a, empty: b, missing: c, failed: d, stale: 0, bytes: 0 };
}

const zooms = () => Array.from({ length: whole(1, 12) }, (_, z) => zoom(z));

test("every zoom is in one row, in order, and one with a gap is in a row of its own", () => {
  each(() => {
    const all = zooms();
    const rows = rowsOf(all);
    assert.deepEqual(
      rows.flatMap((row) => row.zooms),
      all,
    );
    for (const [i, { state, zooms }] of rows.entries()) {
      if (state === "gap") assert.equal(zooms.length, 1);
      else assert.notEqual(rows[i + 1]?.state, state);
      for (const { missing, failed } of zooms) assert.equal(missing + failed === 0, state === "full");
    }
  });
});

test("no other zoom with gaps is nearer than the one on the map", () => {
  each(() => {
    const all = zooms();
    const wanted = whole(0, 12);
    const gaps = rowsOf(all).filter(({ state }) => state === "gap");
    const found = nearestGap(all, wanted);
    const distances = gaps.map(({ zooms }) => Math.abs((zooms[0]?.z ?? 0) - wanted));
    if (found === null) assert.equal(gaps.length, 0);
    else assert.equal(Math.abs(found - wanted), Math.min(...distances));
  });
});

test("a thumbnail shows the whole layer, or 320 x 200 pixels of its middle where it does not fit", () => {
  each(() => {
    const [west, south] = [random(-180, 150), random(-80, 60)];
    const bounds = /** @type {[number, number, number, number]} */ ([
      west,
      south,
      west + random(0.001, 29),
      south + random(0.001, 19),
    ]);
    const whole = thumbnailSquare({ bounds, minzoom: 0, maxzoom: 25 });
    for (const [i, edge] of squareOf(bounds).entries()) assert.ok(Math.abs((whole[i] ?? 0) - edge) < 1e-9);
    const middle = thumbnailSquare({ bounds, minzoom: 25, maxzoom: 25 });
    const [width, height] = [(middle[2] - middle[0]) * 2 ** 33, (middle[3] - middle[1]) * 2 ** 33];
    assert.ok(Math.abs(width - 320) < 1e-3 && Math.abs(height - 200) < 1e-3, `${width} ${height}`);
    assert.ok(Math.abs(middle[0] + middle[2] - whole[0] - whole[2]) < 1e-9);
  });
});

test("taps go through the heights of the sheet, steps end at the last", () => {
  for (const heights of [UPRIGHT, SIDEWAYS]) {
    const passed = heights.reduce(
      (now) => after(heights, now),
      /** @type {import("../src/sheet.js").Height} */ ("peek"),
    );
    assert.equal(passed, "peek");
    assert.equal(stepped(heights, "peek", -1), "peek");
    const top = heights.at(-1) ?? "half";
    assert.equal(stepped(heights, top, 1), top);
  }
  assert.equal(stepped(UPRIGHT, "half", 1), "full");
});

test("a day of today has a time, one of another year its year", () => {
  const now = new Date(2026, 10, 30, 12, 0);
  const seconds = (/** @type {number} */ year, /** @type {number} */ month) =>
    new Date(year, month, 30, 2, 28).getTime() / 1000;
  assert.equal(dayOf(seconds(2026, 10), now), "today, 02:28");
  assert.equal(dayOf(seconds(2026, 9), now), "October 30");
  assert.equal(dayOf(seconds(2025, 9), now), "October 30, 2025");
});

test("revisions that are known only by name are the current and kept ones", () => {
  const found = revisionsOf(["b", "a"], "b");
  assert.deepEqual(
    found.map(({ revision, current, kept }) => [revision, current, kept]),
    [
      ["b", true, true],
      ["a", false, true],
    ],
  );
  assert.deepEqual(found.map(nameOf), ["Current", "Previous, kept"]);
});
