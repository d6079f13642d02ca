/** Keys that work anywhere on the page but in fields. */

import { typed } from "./theme.js";

/**
 * @param {Record<string, () => void>} actions by key
 */
export function shortcuts(actions) {
  addEventListener("keydown", (event) => {
    const inside = event.target instanceof Element && event.target.closest("canvas"); // MapLibre's own keys
    if (typed(event) || (inside && "+-=".includes(event.key))) return;
    actions[event.key]?.();
  });
}
