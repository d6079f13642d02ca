/** The counts of a layer's tiles at every zoom. */

import { paced } from "./dom.js";
import { ask, messageOf, Refused } from "./site.js";

/** @typedef {import("./site.js").Summary} Counts */

const PAUSE = 3000; // milliseconds between counts while a job runs
const MOST = 3; // requests for newer counts than those that the server has kept

export class Summary {
  /** @param {{url: string, changed: () => void}} given the URL without the scale */
  constructor({ url, changed }) {
    this.url = url;
    this.changed = changed;
    /** @type {1 | 2} */
    this.scale = 1;
    /** @type {Counts | null} */
    this.counts = null;
    this.fault = "";
    this.stopped = false;
    this.running = new AbortController();
    /** Counts again soon, at most every few seconds. */
    this.later = paced(() => this.recount(), PAUSE);
  }

  /** The zooms, from low to high. */
  get zooms() {
    return this.counts?.zooms ?? [];
  }

  /** @param {1 | 2} scale */
  async choose(scale) {
    this.scale = scale;
    this.counts = null;
    this.changed();
    await this.load();
  }

  /** Counts anew, if need be after those that the server has kept. */
  async recount() {
    const before = this.counts?.counted;
    for (let i = 0; i < MOST; i++) {
      await this.load();
      if (this.fault || this.counts?.counted !== before) return;
      await new Promise((done) => setTimeout(done, PAUSE));
    }
  }

  /** Stops, because the layer was removed. */
  stop() {
    this.stopped = true;
    this.running.abort();
  }

  /** Counts; an older count never replaces a newer one. */
  async load() {
    if (this.stopped) return;
    this.running.abort();
    this.running = new AbortController();
    const { signal } = this.running;
    try {
      const counts = await ask(`${this.url}?scale=${this.scale}`, signal);
      if (signal.aborted) return;
      [this.counts, this.fault] = [counts, ""];
    } catch (error) {
      if (signal.aborted) return;
      const unknown = error instanceof Refused && error.status === 404;
      this.fault = unknown ? "This server does not count tiles." : `Cannot count tiles: ${messageOf(error)}`;
    }
    this.changed();
  }
}
