/** Follows the server's events: new revisions of the layer, and its jobs. */

import { byId, setText } from "./dom.js";
import { note, showError } from "./notes.js";
import { ask, listen } from "./site.js";
import { revisionOf } from "./tiles.js";

/** @typedef {import("./page.js").Page} Page */
/** @typedef {{layer: string, revision: string}} Named */

const AGAIN = 3000; // milliseconds between checks of the tiles' revision while it is not the newest

/**
 * Updates `page` with the events of `api`.
 * @param {Page} page @param {string} api
 */
export function follow(page, api) {
  const handlers = {
    layers: (/** @type {Named[]} */ layers) => changed(page, api, layers).catch(showError),
    jobs: (/** @type {import("./site.js").Job[]} */ latest) => {
      page.panel.progressed(latest);
      page.state.jobs = latest;
    },
  };
  setInterval(() => placed(page).catch(() => {}), AGAIN); // a lost connection is shown elsewhere
  listen(`${api}/events?layer=${encodeURIComponent(page.layer.layer)}`, handlers, (open) =>
    setText(byId("connection"), open ? "" : "Connection lost, reconnecting \u2026"),
  );
}

/** @param {Page} page @param {string} api @param {Named[]} layers */
async function changed(page, api, layers) {
  const current = layers.find((each) => each.layer === page.layer.layer);
  if (!current) {
    page.summary?.stop();
    note("This layer was removed.");
  }
  if (current && current.revision !== page.layer.revision && (await page.renew())) {
    const { layer, template } = page;
    const shown = revisionOf(template);
    const still = shown && shown !== layer.revision ? `; the tiles are still of ${shown}` : " and is now shown";
    note(`Revision ${layer.revision} was ingested${still}.`);
  }
  page.compare?.offer(page.layer, revisionOf(page.template), (await ask(`${api}/layers`)).layers);
}

/**
 * Checks whether the tiles are now of the newest revision.
 * @param {Page} page
 */
async function placed(page) {
  if (revisionOf(page.template) === page.layer.revision || !(await page.renew())) return;
  note(`The tiles are now of revision ${revisionOf(page.template)}.`);
}
