/** The layer's jobs and their progress. */

import { byId, fill, make, setText } from "./dom.js";
import { count, counted, duration, percentage, speed } from "./format.js";

/** @typedef {import("./site.js").Job} Job */

/** @type {Record<string, string>} */
const STATES = {
  planning: "Planning",
  running: "Running",
  done: "Done",
  failed: "Failed",
  cancelled: "Cancelled",
  superseded: "Superseded",
  stalled: "Stalled",
};

/**
 * The progress of a job in one line.
 * @param {Job} job
 */
function lineOf({ state, tiles, done, percent, rate, left }) {
  const parts = [percent === null ? "" : percentage(percent)];
  parts.push(tiles === null ? counted(done, "tile") : `${count(done)} of ${counted(tiles, "tile")}`);
  if (state === "running" && rate) parts.push(speed(rate));
  if (state === "running" && left !== null) parts.push(`${duration(left)} left`);
  return parts.filter(Boolean).join(" \u00b7 ");
}

export class Jobs {
  constructor() {
    this.list = byId("jobs");
    /** @type {Map<string, Job>} */
    this.known = new Map();
  }

  /**
   * Shows `jobs`, and keeps existing elements.
   * @param {Job[]} jobs
   */
  update(jobs) {
    const items = jobs.map((job) => this.item(job));
    fill(this.list, items);
    byId("no-jobs").hidden = jobs.length > 0;
    const news = jobs.filter((job) => this.known.has(job.job) && this.known.get(job.job)?.state !== job.state);
    for (const { job, state } of news) setText(byId("job-news"), `Job ${job}: ${STATES[state] ?? state}`);
    this.known = new Map(jobs.map((job) => [job.job, job]));
  }

  /** @param {Job} job */
  item(job) {
    const existing = [...this.list.children].find((item) => /** @type {HTMLElement} */ (item).dataset.job === job.job);
    const item = /** @type {HTMLElement} */ (existing ?? empty(job.job));
    item.dataset.state = job.state;
    const set = (/** @type {string} */ name, /** @type {string} */ text) => {
      const part = /** @type {HTMLElement} */ (item.querySelector(`.job-${name}`));
      setText(part, text);
      part.hidden = text === "";
    };
    set("state", STATES[job.state] ?? job.state);
    set("line", lineOf(job));
    set("failures", job.failed ? `${counted(job.failed, "block")} failed` : "");
    set("why", job.why ?? "");
    const bar = /** @type {HTMLProgressElement} */ (item.querySelector("progress"));
    if (job.percent === null) bar.removeAttribute("value");
    else bar.value = job.percent;
    return item;
  }
}

/** @param {string} job */
function empty(job) {
  const head = make(
    "div",
    { class: "job-head" },
    make("span", { class: "job-state" }),
    make("span", { class: "job-id", title: job }, job),
  );
  const bar = make("progress", { max: "100", "aria-label": `Progress of job ${job}` });
  const parts = ["line", "failures", "why"].map((name) => make("p", { class: `job-${name}` }));
  return make("li", { class: "job", "data-testid": "job", "data-job": job }, head, bar, ...parts);
}
