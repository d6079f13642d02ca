/** The head of the panel: title, name, facts, the spine of zooms and the layer's state. */

import { byId, fill, make, setText } from "./dom.js";
import { factsOf, titleOf } from "./facts.js";
import { bytes, count, counted } from "./format.js";
import { healthLine, healthOf, sumOf } from "./health.js";
import { fillSpine, hasGaps } from "./spine.js";

/** @typedef {import("./spine.js").Zoom} Zoom */
/** @typedef {import("./site.js").Job} Job */

/**
 * Shows the title and the facts of a layer.
 * @param {import("./site.js").Layer} layer
 */
export function showHead(layer) {
  const title = titleOf(layer);
  document.title = title;
  setText(byId("title"), title);
  const facts = factsOf(layer).map(({ text, mono }) => make("span", mono ? { class: "mono" } : {}, text));
  fill(byId("facts"), facts);
}

/**
 * Shows the spine and the state of a layer.
 * @param {Zoom[]} counts from low to high @param {Job[]} jobs the newest first
 */
export function showHealth(counts, jobs) {
  const spine = byId("spine");
  spine.hidden = counts.length === 0;
  if (!counts.length) return;
  fillSpine(spine, counts);
  const health = healthOf(counts, jobs);
  const sum = sumOf(counts);
  const more = [];
  if (health.mood === "none") more.push("tiles are rendered when requested");
  if (health.mood === "part") more.push(`${counted(sum.missing, "tile")} not stored`);
  if (health.mood === "run") more.push(`${count(sum.stored)} of ${counted(sum.planned, "tile")} stored`);
  if (sum.bytes > 0) more.push(bytes(sum.bytes));
  const line = healthLine(health);
  if (more.length) line.append(` \u00b7 ${more.join(" \u00b7 ")}`);
  if (line.textContent !== byId("health").textContent) byId("health").replaceChildren(line);
  byId("pip").hidden = !counts.some(hasGaps);
}
