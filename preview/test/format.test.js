import assert from "node:assert/strict";
import { test } from "node:test";
import {
  age,
  bytes,
  counted,
  decimals,
  duration,
  median,
  milliseconds,
  percentage,
  ranges,
  speed,
  zooms,
} from "../src/format.js";
import { formatHash, parseHash } from "../src/hash.js";
import { rule } from "../src/scale.js";
import { each, near, random } from "./chance.js";

test("a count has its groups and its plural", () => {
  assert.equal(counted(1, "tile"), "1 tile");
  assert.equal(counted(0, "tile"), "0 tiles");
  assert.equal(counted(1234567, "tile"), "1,234,567 tiles");
});

test("a duration is told in units that say enough", () => {
  const told = {
    0: "0 s",
    59.4: "59 s",
    59.6: "1 min",
    3599: "1 h",
    3660: "1 h 1 min",
    90000: "25 h",
    172800: "2 days",
  };
  for (const [seconds, words] of Object.entries(told)) assert.equal(duration(Number(seconds)), words);
});

test("only what is finished is 100%", () => {
  assert.equal(percentage(100), "100%");
  assert.equal(percentage(99.99), "99%");
  assert.equal(percentage(0), "0%");
  assert.equal(percentage(0.24), "0.2%");
});

test("milliseconds keep two digits at least, and become seconds", () => {
  assert.deepEqual([0.42, 9.99, 123.4, 1500].map(milliseconds), ["0.4 ms", "10 ms", "123 ms", "1.5 s"]);
  assert.deepEqual([0.5, 1234].map(speed), ["0.5 tiles/s", "1,234 tiles/s"]);
});

test("half of the numbers are not above the median, and half not below", () => {
  each(() => {
    const numbers = Array.from({ length: Math.ceil(random(0, 9)) }, () => random(0, 9));
    const middle = median(numbers);
    assert.ok(numbers.filter((each) => each <= middle).length * 2 >= numbers.length);
    assert.ok(numbers.filter((each) => each >= middle).length * 2 >= numbers.length);
  });
  assert.ok(Number.isNaN(median([])));
});

test("the decimals of a degree tell the pixels of a zoom apart, and are none too many", () => {
  for (let z = 2; z < 22; z++) {
    const pixel = 360 / (256 * 2 ** z);
    assert.ok(10 ** -decimals(z) <= pixel && 10 ** -decimals(z) > pixel / 10.01, `${z}`);
  }
});

test("one zoom is no range", () => {
  assert.equal(zooms(3, 3), "3");
  assert.equal(zooms(0, 14), "0\u201314");
});

test("a place survives the way through the address, to a pixel", () => {
  each(() => {
    const place = { zoom: random(0, 20), latitude: random(-85, 85), longitude: random(-180, 180) };
    const { place: found, tab } = parseHash(formatHash(place, "stored"));
    assert.ok(found);
    assert.equal(tab, "stored");
    const pixel = 360 / (256 * 2 ** place.zoom);
    near(found.zoom, place.zoom, 0.006);
    assert.ok(Math.abs(found.longitude - place.longitude) <= pixel);
    assert.ok(Math.abs(found.latitude - place.latitude) <= pixel);
  });
});

test("what names no place is none", () => {
  for (const hash of ["", "#", "#5/46", "#a/b/c", "#5/46/", "#5/91/7", "#5/46/7/0", "#stored", "#5/46/box"])
    assert.equal(parseHash(hash).place, null);
});

test("a tab is kept with a place and without one", () => {
  const place = { zoom: 5, latitude: 46, longitude: 7 };
  assert.deepEqual(parseHash(formatHash(null, "box")), { place: null, tab: "box" });
  assert.deepEqual(parseHash(formatHash(place)), { place, tab: "" });
  assert.equal(formatHash(null), "");
  for (const hash of ["", "#5/46/7", "#5/46/7/0", "#Stored"]) assert.equal(parseHash(hash).tab, "");
});

test("the scale bar is as long as it says, round, and fits", () => {
  each(() => {
    const [latitude, world] = [random(-80, 80), 2 ** random(8, 30)];
    const { text, pixels } = rule(latitude, world, 128);
    assert.ok(pixels > 128 / 2.6 && pixels <= 128.001, `${pixels}`);
    const [number = "", unit = ""] = text.split(" ");
    const metres = Number(number.replaceAll(",", "")) * ({ km: 1000, m: 1, cm: 0.01, mm: 0.001 }[unit] ?? Number.NaN);
    near(pixels, (metres * world) / (2 * Math.PI * 6378137 * Math.cos((latitude * Math.PI) / 180)), 1e-6);
  });
});

test("bytes have the unit that people say", () => {
  const said = [0, 999, 1000, 2_600_000, 9_949_999, 9_999_999, 174_000_000, 999_999_999].map(bytes);
  assert.deepEqual(said, ["0 B", "999 B", "1.0 kB", "2.6 MB", "9.9 MB", "10 MB", "174 MB", "1.0 GB"]);
});

test("ages are rounded to what matters", () => {
  const day = 86400;
  const said = [5, 240, 7200, 1.2 * day, 3 * day, 90 * day, 3 * 365.25 * day].map((seconds) => age(0, seconds));
  const wanted = ["just now", "4 min ago", "2 h ago", "yesterday", "3 days ago", "3 months ago", "3 years ago"];
  assert.deepEqual(said, wanted);
});

test("numbers in a row are a range", () => {
  assert.equal(ranges([]), "");
  assert.equal(ranges([4]), "4");
  assert.equal(ranges([4, 5]), "4 and 5");
  assert.equal(ranges([0, 1, 2, 9]), "0\u20132 and 9");
  assert.equal(ranges([0, 1, 2, 8, 9, 11]), "0\u20132, 8, 9 and 11");
});
