/** Examples by chance, the same in each run. */

import assert from "node:assert/strict";

let seed = 20_240_607;

/** A number from `low` to `high` (mulberry32). */
export function random(/** @type {number} */ low, /** @type {number} */ high) {
  seed = (seed + 0x6d2b79f5) | 0;
  let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
  return low + (((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * (high - low);
}

/** Whether something holds for many examples. */
export function each(/** @type {() => void} */ claim) {
  for (let i = 0; i < 300; i++) claim();
}

/** That two numbers are the same but for rounding. */
export function near(/** @type {number} */ is, /** @type {number} */ ought, tolerance = 1e-9) {
  assert.ok(Math.abs(is - ought) <= tolerance * Math.max(1, Math.abs(ought)), `${is} is not ${ought}`);
}
