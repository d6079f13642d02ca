/** Finding and ordering layers. */

import { titleOf } from "./facts.js";
import { sumOf } from "./health.js";
import { hasGaps } from "./spine.js";

/** @typedef {import("./card.js").Known} Known */

/** Names of orders, the usual one first. */
export const ORDERS = ["newest", "name", "gaps"];

/** @param {string} text */
const plain = (text) =>
  text
    .normalize("NFD")
    .replace(/\p{Diacritic}/gu, "")
    .toLowerCase();

/** @param {Known} known */
const time = ({ layer, summary }) => Math.max(layer.published ?? 0, summary?.newest ?? 0);

/** @param {Known} known */
function lacking({ summary }) {
  const zooms = summary?.zooms ?? [];
  const { missing, failed, planned } = sumOf(zooms);
  const rank = failed > 0 ? 2 : zooms.some(hasGaps) ? 1 : 0;
  return { rank, share: planned ? missing / planned : 0 };
}

/** @param {Known} one @param {Known} other */
const byName = (one, other) => titleOf(one.layer).localeCompare(titleOf(other.layer), "en", { numeric: true });

/** @type {Record<string, (one: Known, other: Known) => number>} */
const COMPARED = {
  newest: (one, other) => time(other) - time(one),
  name: () => 0,
  gaps: (one, other) => {
    const [first, second] = [lacking(one), lacking(other)];
    return second.rank - first.rank || second.share - first.share;
  },
};

/**
 * The layers with all words of `wanted` in their title, id or description, in order.
 * @param {Known[]} all @param {string} wanted @param {string} order one of ORDERS
 */
export function arranged(all, wanted, order) {
  const words = plain(wanted).split(/\s+/).filter(Boolean);
  const found = all.filter(({ layer }) => {
    const text = plain(`${titleOf(layer)} ${layer.layer} ${layer.description ?? ""}`);
    return words.every((word) => text.includes(word));
  });
  const compare = COMPARED[order] ?? byName;
  return found.sort((one, other) => compare(one, other) || byName(one, other));
}
