/**
 * Coasts and borders of the world in few bytes: Natural Earth 1:50m (public domain, from the package world-atlas),
 * projected, simplified and written as differences. `src/coast.js` reads them.
 */

import { readFile } from "node:fs/promises";
import { worldX, worldY } from "./src/mercator.js";

const SOURCE = new URL("./node_modules/world-atlas/countries-50m.json", import.meta.url);
const SIDE = 2 ** 15; // positions along each axis: pixels of zoom 7
const DETAIL = 40; // square pixels: twice the smallest triangle that a point makes with its neighbours
const ISLAND = 3; // square pixels of the smallest island

/** @typedef {[number, number]} Point */

/** The file's bytes. */
export async function ground() {
  const { arcs, transform, objects } = JSON.parse(await readFile(SOURCE, "utf8"));
  const simple = arcs.map((arc) => simplified(projected(arc, transform)));
  const land = polygons(objects.land.geometries[0]).flat();
  const rings = land.map((ring) => joined(ring, simple)).filter((ring) => ring.length > 2 && area(ring) >= ISLAND);
  const coast = new Set(land.flat().map(forward));
  const used = new Map();
  for (const arc of objects.countries.geometries.flatMap(polygons).flat(2).map(forward)) {
    used.set(arc, (used.get(arc) ?? 0) + 1);
  }
  const inner = simple.filter((line, at) => (used.get(at) ?? 0) > 1 && !coast.has(at) && line.length > 1);
  const borders = inner.map(unwrapped);
  return Buffer.from([...written(rings), ...written(borders)]);
}

/** @param {any} geometry @returns {number[][][]} polygons of rings of arcs */
const polygons = ({ type, arcs }) => (type === "Polygon" ? [arcs] : type === "MultiPolygon" ? arcs : []);

/** The arc that a ring goes along, in either direction. @param {number} arc */
const forward = (arc) => (arc < 0 ? ~arc : arc);

/** An arc of differences in whole pixels, without repeated points. */
function projected(arc, { scale, translate }) {
  let [x, y] = [0, 0];
  const points = arc.map(([right, up]) => {
    x += right;
    y += up;
    const longitude = x * scale[0] + translate[0];
    const latitude = y * scale[1] + translate[1];
    return [Math.round(worldX(longitude) * SIDE), Math.round(worldY(latitude) * SIDE)];
  });
  return points.filter(([left, top], at) => !at || left !== points[at - 1][0] || top !== points[at - 1][1]);
}

/** The arc without its least important points (Visvalingam and Whyatt, 1993); its ends stay. */
function simplified(arc) {
  const points = [...arc];
  const sizes = points.map((_, at) => triangle(points, at));
  for (;;) {
    let least = 0;
    for (let at = 1; at < points.length - 1; at++) if (!least || sizes[at] < sizes[least]) least = at;
    if (!least || sizes[least] >= DETAIL) return points;
    points.splice(least, 1);
    sizes.splice(least, 1);
    for (const at of [least - 1, least]) sizes[at] = triangle(points, at);
  }
}

/** Twice the area of the triangle at a point. */
function triangle(points, at) {
  const [before, here, after] = [points[at - 1], points[at], points[at + 1]];
  if (!before || !after) return Number.POSITIVE_INFINITY;
  return Math.abs((here[0] - before[0]) * (after[1] - before[1]) - (after[0] - before[0]) * (here[1] - before[1]));
}

/** A ring's points, the first not repeated at its end; around a pole it is closed along the edge of the map. */
function joined(ring, arcs) {
  const points = unwrapped(ring.flatMap((arc) => (arc < 0 ? arcs[~arc].toReversed() : arcs[arc]).slice(0, -1)));
  if (!points.length) return points;
  const [[x, y], [lastX]] = [points[0], points.at(-1)];
  const turns = Math.round((lastX - x) / SIDE);
  if (!turns) return points;
  const pole = y > SIDE / 2 ? SIDE : 0;
  return [...points, [x + turns * SIDE, y], [x + turns * SIDE, pole], [x, pole]];
}

/** A line without leaps over the antimeridian: it goes on beyond the edge of the map. */
function unwrapped(line) {
  let shift = 0;
  return line.map(([x, y], at) => {
    if (at) shift += SIDE * Math.round((line[at - 1][0] - x) / SIDE);
    return [x + shift, y];
  });
}

/** @param {Point[]} ring */
function area(ring) {
  const sum = ring.reduce((total, [x, y], at) => {
    const [nextX, nextY] = ring[(at + 1) % ring.length];
    return total + x * nextY - nextX * y;
  }, 0);
  return Math.abs(sum) / 2;
}

/** Lines as numbers: how many, and of each its length and its points as differences to the point before. */
function* written(lines) {
  yield* whole(lines.length);
  let [x, y] = [0, 0];
  for (const line of lines) {
    yield* whole(line.length);
    for (const [left, top] of line) {
      yield* whole(signed(left - x));
      yield* whole(signed(top - y));
      [x, y] = [left, top];
    }
  }
}

/** A number that may be negative as one that is not: 0, -1, 1, -2 ... as 0, 1, 2, 3 ... */
const signed = (number) => (number < 0 ? -2 * number - 1 : 2 * number);

/** A number in bytes of seven bits each, the lowest first; all but the last have the eighth bit. */
function* whole(number) {
  let left = number;
  for (; left > 127; left >>>= 7) yield (left & 127) | 128;
  yield left;
}
