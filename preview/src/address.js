/** Keeps the view and the tab in the page's URL. */

import { formatHash, parseHash } from "./hash.js";

/** @typedef {import("./hash.js").Place} Place */

const FIRST = "use"; // the tab that the URL does not name

const current = parseHash(location.hash);

/** The place in the URL, null without one. */
export const placeNow = () => current.place;

/** The tab in the URL. */
export const tabNow = () => current.tab || FIRST;

/** @param {Partial<import("./hash.js").Address>} change */
function keep(change) {
  Object.assign(current, change);
  const hash = formatHash(current.place, current.tab);
  history.replaceState(null, "", hash || `${location.pathname}${location.search}`);
}

/** @param {Place} place */
export const keepPlace = (place) => keep({ place });

/** @param {string} tab */
export const keepTab = (tab) => keep({ tab: tab === FIRST ? "" : tab });

/**
 * Calls `then` when a person changes the URL.
 * @param {() => void} then
 */
export function watchAddress(then) {
  addEventListener("hashchange", () => {
    Object.assign(current, parseHash(location.hash));
    then();
  });
}
