/** Zoom, latitude and longitude, and the scale bar. */

import { byId, setText } from "./dom.js";
import { decimals } from "./format.js";
import { latitudeAt, longitudeAt, toWorld, wrapLongitude } from "./mercator.js";
import { rule } from "./scale.js";

const LONGEST = 128; // pixels of the scale bar

/**
 * Shows the place of the mouse, or the view's centre; the element's data are always the centre's.
 * @param {import("./mercator.js").View} view @param {import("./pointer.js").Point | null} mouse
 */
export function showReadout(view, mouse) {
  const zoom = Math.log2(view.world / 256);
  const digits = decimals(zoom);
  const [x, y] = mouse ? toWorld(view, ...mouse) : [view.x, view.y];
  const place = [latitudeAt(y), wrapLongitude(longitudeAt(x))].map((degrees) => degrees.toFixed(digits));
  const output = byId("readout");
  setText(output, `z\u2009${zoom.toFixed(2)}   ${place.join(", ")}`);
  const [latitude, longitude] = [latitudeAt(view.y), wrapLongitude(longitudeAt(view.x))].map(String);
  Object.assign(output.dataset, { zoom: zoom.toFixed(2), latitude, longitude });
  const { text, pixels } = rule(latitudeAt(view.y), view.world, LONGEST);
  const bar = /** @type {HTMLElement} */ (byId("scale").firstElementChild);
  setText(bar, text);
  bar.style.width = `${pixels}px`;
}
