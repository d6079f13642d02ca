import assert from "node:assert/strict";
import { test } from "node:test";
import { legendTitle, rampLabels, shareOf } from "../src/legend.js";
import { each, random } from "./chance.js";

test("labels of a ramp are different, and begin and end with its values", () => {
  each(() => {
    const low = random(-5000, 5000);
    const high = low + 10 ** random(-2, 4);
    const labels = rampLabels(low, high);
    assert.equal(new Set(labels).size, 4, `${labels}`);
    const value = (/** @type {string | undefined} */ label) => Number(label?.replaceAll(",", ""));
    assert.ok(Math.abs(value(labels[0]) - low) <= (high - low) / 20, `${labels}`);
    assert.ok(Math.abs(value(labels[3]) - high) <= (high - low) / 20, `${labels}`);
  });
  assert.deepEqual(rampLabels(5, 5), ["5"]);
  assert.deepEqual(rampLabels(1623, 1998), ["1,623", "1,748", "1,873", "1,998"]);
});

test("a share is short, and never 0% unless there is none", () => {
  assert.deepEqual([0, 0.0004, 0.003, 0.12, 1].map(shareOf), ["0%", "<0.1%", "0.3%", "12%", "100%"]);
});

test("a heading has the unit", () => {
  assert.equal(legendTitle({ type: "ramp", stops: [], unit: "m" }), "Values in m");
  assert.equal(legendTitle({ type: "ramp", stops: [], unit: "m" }, "relief"), "Heights in m");
  assert.equal(legendTitle({ type: "classes", classes: [], unit: "" }), "Legend");
});
