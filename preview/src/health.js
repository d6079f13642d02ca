/** The state of a layer in one line. */

import { make } from "./dom.js";
import { count, counted, percentage, ranges } from "./format.js";
import { hasGaps } from "./spine.js";

/** @typedef {import("./spine.js").Zoom} Zoom */
/** @typedef {import("./site.js").Job} Job */
/** @typedef {"run" | "failed" | "gap" | "part" | "none" | "full"} Mood */
/** @typedef {{mood: Mood, strong: string, rest: string}} Health */

const RUNNING = ["planning", "running"];

/**
 * The sums of all zooms.
 * @param {Zoom[]} zooms
 */
export function sumOf(zooms) {
  const sum = { planned: 0, stored: 0, empty: 0, missing: 0, failed: 0, stale: 0, bytes: 0 };
  for (const zoom of zooms) {
    for (const name of /** @type {(keyof typeof sum)[]} */ (Object.keys(sum))) sum[name] += zoom[name];
  }
  return sum;
}

/**
 * The zooms at which a job is at work.
 * @param {Job} job
 */
function atWork(job) {
  const open = Object.entries(job.by_zoom)
    .filter(([, { blocks, done, failed }]) => done + failed < blocks)
    .map(([zoom]) => Number(zoom));
  return open.length ? Math.min(...open) : null;
}

/**
 * The most important fact about a layer: a job at work, then failures, then gaps. Whole zooms without tiles are no gap.
 * @param {Zoom[]} zooms @param {Job[]} jobs of the layer, the newest first
 * @returns {Health}
 */
export function healthOf(zooms, jobs) {
  const job = jobs.find(({ state }) => RUNNING.includes(state));
  if (job) {
    const zoom = atWork(job);
    const strong = job.state === "planning" ? "Planning a job" : zoom === null ? "Seeding" : `Seeding zoom ${zoom}`;
    return { mood: "run", strong, rest: job.percent === null ? "" : `, ${percentage(job.percent)}` };
  }
  const { planned, stored, empty, missing, failed } = sumOf(zooms);
  if (failed > 0) {
    const more = missing > 0 ? `, ${count(missing)} missing` : "";
    return { mood: "failed", strong: `${counted(failed, "tile")} failed`, rest: more };
  }
  if (missing > 0 && stored + empty === 0) return { mood: "none", strong: "", rest: "Nothing stored yet" };
  if (missing > 0 && !zooms.some(hasGaps)) {
    const whole = zooms.filter((zoom) => zoom.planned > 0 && zoom.missing === 0).map(({ z }) => z);
    return { mood: "part", strong: "", rest: `${whole.length === 1 ? "Zoom" : "Zooms"} ${ranges(whole)} complete` };
  }
  if (missing > 0) return { mood: "gap", strong: `${count(missing)} of ${counted(planned, "tile")} missing`, rest: "" };
  return { mood: "full", strong: "", rest: `Complete, ${counted(stored, "tile")}` };
}

/** @type {Record<Mood, string>} */
const LOOKS = { run: "run", failed: "bad", gap: "loud", part: "", none: "", full: "" };

/**
 * The line as an element.
 * @param {Health} health
 */
export function healthLine({ mood, strong, rest }) {
  const line = make("span", { "data-mood": mood, "data-testid": "health" });
  if (mood !== "full") line.append(make("span", { class: `dot ${mood === "part" ? "none" : mood}` }));
  if (strong) line.append(make("span", { class: LOOKS[mood] }, strong));
  line.append(rest);
  return line;
}
