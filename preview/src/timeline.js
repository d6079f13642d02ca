/** The revisions of a layer as a timeline, the newest first. */

import { copyButton } from "./copy.js";
import { make } from "./dom.js";
import { bytes, counted } from "./format.js";
import { dayOf } from "./revisions.js";

/** @typedef {import("./revisions.js").Revision} Revision */
/**
 * @typedef {object} How
 * @property {string} shown the revision whose tiles are stored
 * @property {string} compared the revision beside it, or empty
 * @property {(revision: string) => void} compare compares with a revision, or no longer
 * @property {string} rollback the command that returns to the previous revision, or empty
 * @property {boolean} brief whether to leave out what does not help to choose
 */

/**
 * A revision's name: the day, and whether it is the current one.
 * @param {Revision} revision @param {number} nth 0 for the newest
 */
export const nameOf = ({ current, kept }, nth) =>
  current ? "Current" : nth === 1 && kept ? "Previous, kept" : kept ? "Kept" : "Not kept";

/**
 * @param {Revision[]} revisions the newest first @param {How} how
 */
export function timeline(revisions, how) {
  return revisions.map((revision, nth) => entry(revision, nth, how));
}

/**
 * @param {Revision} revision @param {number} nth @param {How} how
 */
function entry(revision, nth, { shown, compared, compare, rollback, brief }) {
  const { revision: id, published, current, kept, bytes: size, scenes } = revision;
  const day = make("span", { class: "quiet" }, published ? dayOf(published) : "");
  const head = make("div", { class: "line" }, make("strong", {}, nameOf(revision, nth)), day);
  const item = make(
    "li",
    { class: current ? "now" : "", "data-revision": id },
    head,
    make("span", { class: "mono quiet" }, id),
  );
  const facts = [scenes > 1 ? counted(scenes, "scene") : "", size ? `${bytes(size)} baked` : ""].filter(Boolean);
  if (id === shown && !current) facts.push("its tiles are still shown");
  if (facts.length && !brief) item.append(make("span", { class: "quiet" }, facts.join(" \u00b7 ")));
  if (!kept || id === shown) return item;
  const on = id === compared;
  const button = make(
    "button",
    { class: "b bare", type: "button", "aria-pressed": String(on), "aria-label": `Compare with revision ${id}` },
    on ? "Stop comparing" : "Compare",
  );
  button.addEventListener("click", () => compare(on ? "" : id));
  const buttons = make("div", { class: "buttons" }, button);
  if (nth === 1 && rollback && !brief) {
    buttons.append(
      copyButton(rollback, { label: "Copy \u201cseeder rollback\u201d", name: "seeder rollback", look: "b bare" }),
    );
  }
  item.append(buttons);
  return item;
}
