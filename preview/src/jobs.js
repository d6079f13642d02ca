/** The layer's jobs: a card for each that runs or needs attention, a line for each that has ended. */

import { announce } from "./announce.js";
import { copyButton } from "./copy.js";
import { byId, fill, make, setText } from "./dom.js";
import { count, counted, duration, percentage, ranges, speed } from "./format.js";
import { icon } from "./icons.js";
import { dayOf } from "./revisions.js";

/** @typedef {import("./site.js").Job & {begun?: string, last?: string | null}} Job */

/** @type {Record<string, string>} */
const STATES = {
  planning: "Planning",
  running: "Seeding",
  done: "Done",
  failed: "Failed",
  cancelled: "Cancelled",
  superseded: "Superseded",
  stalled: "Stalled",
};

const RUNNING = ["planning", "running"];

/**
 * Whether a job gets a card: it runs, or it is the newest and did not come to its end.
 * @param {Job} job @param {number} nth 0 for the newest
 */
const hasCard = ({ state }, nth) => RUNNING.includes(state) || (nth === 0 && ["failed", "stalled"].includes(state));

/**
 * The zooms of a job: `zoom 9`, `zooms 0\u20138`
 * @param {Job} job
 */
export function zoomsOf({ by_zoom }) {
  const zooms = Object.keys(by_zoom).map(Number);
  return `${zooms.length === 1 ? "zoom" : "zooms"} ${ranges(zooms.sort((a, b) => a - b))}`;
}

/**
 * The progress of a job in one line.
 * @param {Job} job
 */
function lineOf({ state, tiles, done, percent, rate }) {
  const parts = [percent === null ? "" : percentage(percent)];
  parts.push(tiles === null ? counted(done, "tile") : `${count(done)} of ${counted(tiles, "tile")}`);
  if (state === "running" && rate) parts.push(speed(rate));
  return parts.filter(Boolean).join(" \u00b7 ");
}

export class Jobs {
  /** @param {string} where the options that make a command use the same stores */
  constructor(where) {
    this.where = where;
    /** @type {Map<string, Job> | null} null before the first news, which are of jobs of earlier days */
    this.known = null;
    /** @type {Map<string, HTMLElement>} */
    this.cards = new Map();
  }

  /**
   * Shows `jobs`, and keeps existing elements.
   * @param {Job[]} jobs the newest first
   */
  update(jobs) {
    const current = jobs.filter(hasCard);
    const cards = current.map((job) => this.card(job));
    this.cards = new Map(current.map(({ job }, i) => [job, /** @type {HTMLElement} */ (cards[i])]));
    fill(byId("job-cards"), cards);
    byId("past-jobs").replaceChildren(...jobs.filter((job) => !current.includes(job)).map(past));
    byId("no-jobs").hidden = jobs.length > 0;
    for (const job of this.known ? jobs : []) {
      const changed = this.known?.get(job.job)?.state !== job.state;
      if (changed) announce(`Job for ${zoomsOf(job)}: ${STATES[job.state] ?? job.state}`);
    }
    this.known = new Map(jobs.map((job) => [job.job, job]));
  }

  /** @param {Job} job */
  card(job) {
    const item = this.cards.get(job.job) ?? this.empty(job);
    item.dataset.state = job.state;
    const set = (/** @type {string} */ name, /** @type {string} */ text) => {
      const part = /** @type {HTMLElement} */ (item.querySelector(`.job-${name}`));
      setText(part, text);
      part.hidden = text === "";
    };
    const running = RUNNING.includes(job.state);
    set("state", `${STATES[job.state] ?? job.state}${running ? "" : ":"} ${zoomsOf(job)}`);
    set("left", job.state === "running" && job.left !== null ? `${duration(job.left)} left` : "");
    set("line", lineOf(job));
    set("failures", job.failed ? `${counted(job.failed, "block")} failed` : "");
    set("why", job.why ?? "");
    /** @type {HTMLElement} */ (item.querySelector(".dot")).className = `dot ${running ? "run" : "failed"}`;
    /** @type {HTMLElement} */ (item.querySelector('[data-verb="cancel"]')).hidden = !running;
    /** @type {HTMLElement} */ (item.querySelector('[data-verb="errors"]')).hidden = !job.failed;
    /** @type {HTMLElement} */ (item.querySelector('[data-verb="resume"]')).hidden = running;
    const bar = /** @type {HTMLProgressElement} */ (item.querySelector("progress"));
    if (job.percent === null) bar.removeAttribute("value");
    else bar.value = job.percent;
    return item;
  }

  /** @param {Job} job */
  empty({ job }) {
    const state = make("strong", {}, make("span", { class: "dot" }), make("span", { class: "job-state" }));
    const left = make("span", { class: "job-left" });
    const bar = make("progress", { max: "100", "aria-label": `Progress of job ${job}` });
    const line = make("p", { class: "quiet" }, make("span", { class: "job-line" }));
    line.append(make("span", { class: "job-failures bad" }));
    const copies = ["errors", "resume", "cancel"].map((verb) => {
      const command = `seeder ${verb} ${job}${this.where}`;
      const button = copyButton(command, {
        label: `Copy \u201cseeder ${verb}\u201d`,
        name: `seeder ${verb}`,
        look: "b bare",
      });
      button.dataset.verb = verb;
      return button;
    });
    const parts = [make("div", { class: "line" }, state, left), bar, line, make("p", { class: "job-why quiet" })];
    const item = make("li", { class: "job", "data-testid": "job", "data-job": job, title: job }, ...parts);
    item.append(make("div", { class: "buttons" }, ...copies));
    return item;
  }
}

/**
 * The line of a job that has ended.
 * @param {Job} job
 */
function past(job) {
  const { state, tiles, done, failed, begun, last } = job;
  const bad = ["failed", "stalled"].includes(state);
  const what = [zoomsOf(job)];
  if (state === "done") what.push(counted(tiles ?? done, "tile"));
  else what.push(`${(STATES[state] ?? state).toLowerCase()} after ${counted(done, "tile")}`);
  if (failed) what.push(`${counted(failed, "block")} failed`);
  const when = begun ? [dayOf(Date.parse(begun) / 1000)] : [];
  if (begun && last) when.push(duration((Date.parse(last) - Date.parse(begun)) / 1000));
  const attributes = { class: bad ? "bad" : "", "data-testid": "job", "data-job": job.job, "data-state": state };
  return make(
    "li",
    { ...attributes, title: job.job },
    icon(state === "done" ? "done" : bad ? "warning" : "stop"),
    make("span", {}, what.join(", ")),
    make("span", {}, when.join(" \u00b7 ")),
  );
}
