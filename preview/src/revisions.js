/** The revisions of a layer, and the days of their publication. */

/**
 * @typedef {object} Revision
 * @property {string} revision
 * @property {number | null} published seconds since 1970
 * @property {number} scenes
 * @property {number | null} bytes of its parts
 * @property {string} gdal
 * @property {boolean} current
 * @property {boolean} kept
 */
/** @typedef {import("./site.js").Layer & {revisions: Revision[], gdal?: string, scenes?: number, lossless?: boolean, rescale?: [number, number][]}} Facts */

/**
 * Revisions of a layer, the newest first; older servers tell only their names.
 * @param {(Revision | string)[]} revisions @param {string} current
 * @returns {Revision[]}
 */
export function revisionsOf(revisions, current) {
  const named = (/** @type {string} */ revision) => ({
    revision,
    published: null,
    scenes: 0,
    bytes: null,
    gdal: "",
    current: revision === current,
    kept: true,
  });
  return revisions.map((each) => (typeof each === "string" ? named(each) : each));
}

const DAY = new Intl.DateTimeFormat("en", { day: "numeric", month: "long" });
const DAY_AND_YEAR = new Intl.DateTimeFormat("en", { day: "numeric", month: "long", year: "numeric" });
const TIME = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

/**
 * A day, and the time of today: `today, 02:28`, `November 2`
 * @param {number} seconds since 1970 @param {Date} [now]
 */
export function dayOf(seconds, now = new Date()) {
  const then = new Date(seconds * 1000);
  if (then.toDateString() === now.toDateString()) return `today, ${TIME.format(then)}`;
  return (then.getFullYear() === now.getFullYear() ? DAY : DAY_AND_YEAR).format(then);
}
