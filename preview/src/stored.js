/** The tab of stored tiles: a row for each zoom, or for several complete ones. */

import { button, byId, make, setText } from "./dom.js";
import { age, count, zooms as span } from "./format.js";
import { rowsOf } from "./zoomrows.js";

/** @typedef {import("./spine.js").Zoom} Zoom */
/** @typedef {import("./summary.js").Summary} Summary */
/** @typedef {import("./zoomrows.js").Row} Row */

const PARTS = /** @type {const} */ (["stored", "empty", "missing", "failed"]);
const TICK = 5000; // milliseconds between updates of the age

export class Stored {
  /**
   * @param {{summary: Summary, show: (z: number) => void, shown: () => number | null}} given `show` puts a zoom's gaps
   * on the map, or takes them away; `shown` is the zoom whose gaps are there
   */
  constructor({ summary, show, shown }) {
    this.summary = summary;
    this.show = show;
    this.shown = shown;
    this.list = byId("coverage");
    /** @type {Set<number>} first zooms of unfolded rows */
    this.open = new Set();
    button("count-again").addEventListener("click", () => this.again());
    for (const choice of document.querySelectorAll('input[name="scale"]')) {
      choice.addEventListener("change", () => {
        const { value } = /** @type {HTMLInputElement} */ (choice);
        summary.choose(value === "2" ? 2 : 1);
      });
    }
    setInterval(() => this.tell(), TICK);
  }

  async again() {
    setText(byId("counted"), "Counting \u2026");
    await this.summary.recount();
  }

  /** Tells when the tiles were counted, or why not. */
  tell() {
    const { counts, fault } = this.summary;
    if (fault || !counts) return setText(byId("counted"), fault || "Counting \u2026");
    const seconds = Math.max(0, Date.now() / 1000 - counts.counted);
    setText(byId("counted"), seconds < 10 ? "counted now" : `counted ${ago(seconds, counts.counted)}`);
  }

  /** Shows the counts. */
  update() {
    this.tell();
    const rows = rowsOf(this.summary.zooms);
    byId("bar-keys").hidden = !rows.some(({ state }) => state === "gap");
    const focused = document.activeElement?.closest("[data-row]")?.getAttribute("data-row");
    this.list.replaceChildren(...rows.flatMap((row) => this.row(row)));
    if (focused) /** @type {HTMLElement | null} */ (this.list.querySelector(`[data-row="${focused}"]`))?.focus();
    this.press();
  }

  /** Marks the zoom whose gaps are on the map. */
  press() {
    const shown = this.shown();
    for (const row of this.list.querySelectorAll("button[data-gap]")) {
      row.setAttribute("aria-pressed", String(row.getAttribute("data-zoom") === String(shown)));
    }
  }

  /**
   * @param {Row} row
   * @returns {HTMLElement[]}
   */
  row({ state, zooms }) {
    const [first] = zooms;
    if (!first) return [];
    if (state === "gap") return [this.gapRow(first)];
    if (zooms.length === 1) return [this.whole(state, first, "")];
    const open = this.open.has(first.z);
    const folded = cells(state, zooms);
    const fold = make(
      "button",
      {
        class: `zoom ${state} fold`,
        type: "button",
        "data-row": `fold-${first.z}`,
        "aria-expanded": String(open),
        "aria-label": `Zooms ${folded
          .map((cell) => cell.textContent)
          .filter(Boolean)
          .join(": ")}`,
      },
      ...folded,
    );
    const each = zooms.map((zoom) => this.whole(state, zoom, " one"));
    const within = make("div", { class: "within" }, ...each);
    within.hidden = !open;
    fold.addEventListener("click", () => {
      if (!this.open.delete(first.z)) this.open.add(first.z);
      within.hidden = !this.open.has(first.z);
      fold.setAttribute("aria-expanded", String(!within.hidden));
    });
    return [fold, within];
  }

  /**
   * The row of a complete zoom, or of one without tiles, which can be put on the map.
   * @param {Row["state"]} state @param {Zoom} zoom @param {string} more classes
   */
  whole(state, zoom, more) {
    const within = cells(state, [zoom]);
    if (state === "full") return make("div", { class: `zoom ${state}${more}`, ...data(zoom) }, ...within);
    const name = `Zoom ${zoom.z}: ${count(zoom.missing)} not stored`;
    const pick = {
      type: "button",
      "data-row": `gap-${zoom.z}`,
      "data-gap": "",
      "aria-pressed": "false",
      "aria-label": name,
    };
    const row = make("button", { class: `zoom ${state}${more} pick`, ...pick, ...data(zoom) }, ...within);
    row.addEventListener("click", () => this.show(zoom.z));
    return row;
  }

  /** @param {Zoom} zoom */
  gapRow(zoom) {
    const { z, planned, stored, empty, missing, failed, stale } = zoom;
    const loud =
      missing || !failed ? `${count(missing || stale)} ${missing ? "missing" : "stale"}` : `${count(failed)} failed`;
    const why = make("span", { class: "why" }, `${count(stored)} of ${count(planned)} stored`);
    if (empty) why.append(`, ${count(empty)} empty`);
    if (stale && missing) why.append(`, ${count(stale)} stale`);
    if (failed && missing) why.append(", ", make("b", { class: "bad" }, `${count(failed)} failed`));
    const row = make(
      "button",
      {
        class: "zoom gap",
        type: "button",
        "data-row": `gap-${z}`,
        "data-gap": "",
        "aria-pressed": "false",
        "aria-label": `Zoom ${z}: ${loud}, ${why.textContent}`,
        ...data(zoom),
      },
      make("span", {}, String(z)),
      meter(zoom),
      make("span", { class: missing || stale ? "loud" : "bad" }, loud),
      why,
    );
    row.addEventListener("click", () => this.show(z));
    return row;
  }
}

/** @param {number} seconds @param {number} then */
const ago = (seconds, then) => (seconds < 60 ? `${Math.round(seconds)} s ago` : age(then, Date.now() / 1000));

/**
 * A zoom's counts as attributes.
 * @param {Zoom} zoom
 */
const data = (zoom) =>
  Object.fromEntries([
    ["data-zoom", String(zoom.z)],
    ...["planned", ...PARTS, "stale"].map((name) => [`data-${name}`, String(zoom[/** @type {"planned"} */ (name)])]),
  ]);

/**
 * A bar of what is stored.
 * @param {Zoom} zoom
 */
function meter(zoom) {
  const parts = PARTS.filter((name) => zoom[name] > 0);
  const label = parts.map((name) => `${count(zoom[name])} ${name}`).join(", ");
  const bar = parts.map((name) => make("i", { class: name, style: `--n:${zoom[name]}` }));
  return make("span", { class: "meter", role: "img", "aria-label": label || "no tiles" }, ...bar);
}

/**
 * The cells of zooms that are complete, or of which nothing is stored.
 * @param {import("./zoomrows.js").RowState} state @param {Zoom[]} zooms
 */
function cells(state, zooms) {
  const [low = 0, high = 0] = [zooms[0]?.z, zooms.at(-1)?.z];
  const sum = (/** @type {"planned" | "stored" | "empty"} */ name) => zooms.reduce((all, each) => all + each[name], 0);
  const whole = sum("stored") ? `${count(sum("stored"))}, complete` : sum("planned") ? "all empty" : "no tiles";
  const text = state === "full" ? whole : `${count(sum("planned"))} not stored`;
  const bar = make("span", { class: "meter", "aria-hidden": "true" });
  if (state === "full") bar.append(make("i", { class: sum("stored") ? "stored" : "empty", style: "--n:1" }));
  return [make("span", {}, span(low, high)), bar, make("span", { class: "quiet" }, text)];
}
