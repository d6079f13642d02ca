/** Following what a server tells: the layer's new revisions, and its jobs. */

import { note, tell } from "./about.js";
import { byId, say } from "./dom.js";
import { Jobs } from "./jobs.js";
import { ask, listen } from "./site.js";
import { revisionOf } from "./tiles.js";

/** @typedef {import("./page.js").Page} Page */
/** @typedef {{layer: string, revision: string}} Named */

const AGAIN = 3000; // milliseconds between two looks at which revision the tiles are of, while it is not the newest

/**
 * Keeps `page` up to date with what happens behind `api`.
 * @param {Page} page @param {string} api
 */
export function follow(page, api) {
  const jobs = new Jobs();
  const handlers = {
    layers: (/** @type {Named[]} */ layers) => changed(page, api, layers).catch(tell),
    jobs: (/** @type {import("./site.js").Job[]} */ told) => {
      jobs.update(told);
      page.coverage?.told(told);
      page.state.jobs = told;
    },
  };
  setInterval(() => placed(page).catch(() => {}), AGAIN); // a server that is away is told of elsewhere
  listen(`${api}/events?layer=${encodeURIComponent(page.layer.layer)}`, handlers, (open) =>
    say(byId("connection"), open ? "" : "Connection lost; trying again \u2026"),
  );
}

/** @param {Page} page @param {string} api @param {Named[]} layers */
async function changed(page, api, layers) {
  const now = layers.find((each) => each.layer === page.layer.layer);
  if (!now) note("This layer was removed.");
  if (now && now.revision !== page.layer.revision && (await page.renew())) {
    const { layer, template } = page;
    const shown = revisionOf(template);
    const still = shown && shown !== layer.revision ? `; the tiles are still those of ${shown}` : " and is shown now";
    note(`Revision ${layer.revision} was ingested${still}.`);
  }
  page.compare?.offer(page.layer, revisionOf(page.template), (await ask(`${api}/layers`)).layers);
}

/**
 * Somebody may have put the tiles of the newest revision in their place.
 * @param {Page} page
 */
async function placed(page) {
  if (revisionOf(page.template) === page.layer.revision || !(await page.renew())) return;
  note(`The tiles are those of revision ${revisionOf(page.template)} now.`);
}
