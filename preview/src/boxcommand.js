/** One command for the box, the sentence on its effect, and the counts of the tiles in the box. */

import { commandOf, plain, VERBS } from "./box.js";
import { byId, make, setBreakableText, setText } from "./dom.js";
import { bytes, count, counted, duration } from "./format.js";
import { ask } from "./site.js";

/** @typedef {import("./box.js").Verb} Verb */
/** @typedef {import("./boxtool.js").Asked} Asked */
/** @typedef {{planned: number, stored: number, empty: number, missing: number, failed: number, bytes: number, seconds: number | null}} Counts */

const PAUSE = 300; // milliseconds without a change before the box is counted

export class BoxCommand {
  /** @param {{layer: string, where: string, url: string, bounds: () => import("./mercator.js").Bounds}} given `url` counts, or is empty */
  constructor({ layer, where, url, bounds }) {
    this.named = { layer, where };
    this.url = url;
    this.bounds = bounds;
    /** @type {Verb} */
    this.verb = "seed";
    /** @type {Asked | null} */
    this.asked = null;
    this.on = false;
    this.running = new AbortController();
    this.timer = 0;
    byId("verbs").replaceChildren(...Object.entries(VERBS).map(([verb, { name }]) => this.choice(verb, name)));
  }

  /** @param {string} verb @param {string} name */
  choice(verb, name) {
    const radio = make("input", {
      type: "radio",
      name: "verb",
      value: verb,
      "data-testid": `verb-${verb}`,
      autocomplete: "off",
    });
    radio.checked = verb === this.verb;
    radio.addEventListener("change", () => {
      this.verb = /** @type {Verb} */ (verb);
      this.show();
    });
    return make("label", {}, radio, make("span", {}, name));
  }

  /**
   * Counts only while the tab is shown.
   * @param {boolean} on
   */
  turn(on) {
    this.on = on;
    this.recount();
  }

  /** @param {Asked | null} asked null if it is not valid */
  choose(asked) {
    this.asked = asked;
    this.show();
    this.recount();
  }

  show() {
    const { asked, verb } = this;
    byId("box-command").hidden = !asked;
    if (!asked) return;
    setBreakableText(byId("command"), commandOf(verb, { ...this.named, ...asked }));
    setText(byId("effect"), VERBS[verb].effect);
  }

  /** Counts the tiles in the box once it stays the same. */
  recount() {
    clearTimeout(this.timer);
    this.running.abort();
    if (!this.asked || !this.url) byId("box-count").hidden = true;
    else if (this.on) this.timer = window.setTimeout(() => this.count(), PAUSE);
  }

  async count() {
    const { asked } = this;
    if (!asked) return;
    this.running = new AbortController();
    const { signal } = this.running;
    const box = (asked.box ?? this.bounds()).map(plain).join(",");
    const query = new URLSearchParams({ bbox: box, zooms: `${asked.low}-${asked.high}` });
    /** @type {Counts | null} */
    const counts = await ask(`${this.url}?${query}`, signal).catch(() => null); // the command is right without it
    if (signal.aborted) return;
    const note = byId("box-count");
    note.hidden = !counts;
    if (counts) note.replaceChildren(...told(counts, asked.box !== null));
  }
}

/**
 * The counts in words.
 * @param {Counts} counts @param {boolean} boxed
 */
function told({ planned, stored, empty, missing, failed, bytes: size, seconds }, boxed) {
  const where = boxed ? "in the box" : "in the layer";
  const parts = [`${counted(planned, "tile")} ${where}, `];
  const gaps = missing + failed;
  if (!planned) return [`No tiles ${where}.`];
  const held = size ? ` (${bytes(size)})` : "";
  if (!gaps && empty && stored) return [...parts, `${count(stored)} stored${held}, ${count(empty)} empty.`];
  if (!gaps) return [...parts, stored ? `all stored${held}.` : "all empty."];
  const words = [missing ? `${count(missing)} missing` : "", failed ? `${count(failed)} failed` : ""].filter(Boolean);
  const time = seconds && seconds >= 0.5 ? `, about ${duration(seconds)} to render` : "";
  return [...parts, make("b", { class: failed ? "bad" : "loud" }, words.join(" and ")), `${time}.`];
}
