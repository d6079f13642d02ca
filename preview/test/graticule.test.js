import assert from "node:assert/strict";
import { test } from "node:test";
import { digits, lines, meridian, parallel, spacing } from "../src/graticule.js";
import { each, near, random } from "./chance.js";

test("lines keep their distance at every zoom, and are not needlessly sparse", () => {
  each(() => {
    const pixels = 2 ** random(2, 32) / 360; // of a degree
    const apart = spacing(pixels) * pixels;
    if (pixels * 45 < 96) assert.equal(spacing(pixels), 45);
    else assert.ok(apart >= 96 && (apart < 96 * 2.6 || pixels * 1e-7 >= 96), `${apart} at ${pixels}`);
  });
});

test("lines are the multiples of the spacing within the range, all of them", () => {
  each(() => {
    const step = [30, 5, 0.2, 0.05][Math.floor(random(0, 4))] ?? 1;
    const low = random(-200, 100);
    const high = low + random(0, 50 * step);
    const found = lines(low, high, step);
    for (const each of found) {
      assert.ok(each >= low - 1e-6 && each <= high + 1e-6);
      near(each / step, Math.round(each / step), 1e-9);
    }
    assert.ok(Math.abs(found.length - (high - low) / step) <= 1);
  });
});

test("neighbouring lines have different names", () => {
  for (const step of [45, 15, 1, 0.5, 0.2, 0.01, 0.0005]) {
    const names = lines(5, 5 + 8 * step, step).map((each) => meridian(each, step));
    assert.equal(new Set(names).size, names.length, `${names}`);
  }
});

test("a line is named by its hemisphere, however often the world was turned", () => {
  assert.equal(meridian(-12.5, 0.5), "12.5°\u2009W");
  assert.equal(meridian(190, 10), "170°\u2009W");
  assert.equal(meridian(-190, 10), "170°\u2009E");
  assert.equal(meridian(180, 30), "180°");
  assert.equal(meridian(360, 30), "0°");
  assert.equal(parallel(-30, 30), "30°\u2009S");
  assert.equal(parallel(0, 30), "0°");
});

test("digits tell multiples of the step apart", () => {
  assert.deepEqual([45, 1, 0.5, 0.1, 0.05, 0.002].map(digits), [0, 0, 1, 1, 2, 3]);
});
