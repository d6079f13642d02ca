/** What is beside the map: the head, and the tabs. */

import { showAbout, showCredits } from "./about.js";
import { keepTab, tabNow, watchAddress } from "./address.js";
import { BoxCommand } from "./boxcommand.js";
import { BoxTool } from "./boxtool.js";
import { Changes } from "./changes.js";
import { copyField } from "./copy.js";
import { byId, make } from "./dom.js";
import { showHead, showHealth } from "./head.js";
import { Jobs } from "./jobs.js";
import { Stored } from "./stored.js";
import { Tabs } from "./tabs.js";
import { revisionOf } from "./tiles.js";
import { timeline } from "./timeline.js";
import { Use } from "./use.js";

/** @typedef {import("./page.js").Page} Page */
/** @typedef {import("./site.js").Job} Job */

export class Panel {
  /**
   * @param {Page} page @param {import("./site.js").Config} config
   * @param {{look: () => import("./mercator.js").View, changed: () => void}} around
   */
  constructor(page, { layer, api, where }, around) {
    this.page = page;
    this.where = where;
    this.live = api !== "";
    /** @type {Job[]} */
    this.jobs = [];
    const { minzoom: low, maxzoom: high, layer: name } = page.layer;
    const counts = api ? `${api}/box/${name}` : "";
    this.command = new BoxCommand({ layer: layer || name, where, url: counts, bounds: () => page.layer.bounds });
    this.box = new BoxTool({ ...around, chosen: (asked) => this.command.choose(asked), low, high });
    this.use = new Use({ where });
    this.changes = api ? new Changes({ url: `${api}/changes/${name}`, changed: around.changed }) : null;
    const { summary, gaps } = page;
    this.stored =
      summary && gaps ? new Stored({ summary, show: (z) => this.showGaps(z), shown: () => gaps.drawn }) : null;
    this.list = this.live ? new Jobs(where) : null;
    this.tabs = new Tabs(byId("tabs"), (tab) => this.turn(tab));
    watchAddress(() => this.tabs.pick(this.wanted()));
    if (!summary) byId("coverage").replaceChildren(...uncounted(`seeder verify ${layer || name}${where}`));
    showCredits();
  }

  /** The tab in the page's URL. */
  wanted() {
    const tab = tabNow();
    return this.tabs.names.includes(tab) ? tab : (this.tabs.names[0] ?? "");
  }

  /** Shows the tab that the URL names. */
  open() {
    this.tabs.pick(this.wanted());
  }

  /**
   * Shows on the map what a tab says.
   * @param {string} tab
   */
  turn(tab) {
    document.body.dataset.tab = tab;
    byId("body").scrollTop = 0;
    keepTab(tab);
    this.page.gaps?.turn(tab === "stored");
    this.stored?.press();
    this.box.shown = tab === "box";
    this.command.turn(tab === "box");
    this.page.refresh();
  }

  /** @param {number} z */
  showGaps(z) {
    this.page.gaps?.choose(z);
    this.stored?.press();
  }

  /** Shows the facts of the layer. */
  describe() {
    const { layer, template, look } = this.page;
    showHead(layer);
    showAbout(layer);
    look.show(layer);
    this.use.show(layer, template);
    this.revisions();
  }

  /** Shows the revisions of the layer. */
  revisions() {
    const { layer, template, compare } = this.page;
    const { revisions } = layer;
    const shown = revisionOf(template) || layer.revision;
    const rollback = this.live ? `seeder rollback ${layer.layer}${this.where}` : "";
    const compared = compare?.revision ?? "";
    const how = { shown, compared, rollback, compare: (/** @type {string} */ id) => compare?.with(id) };
    byId("revisions-group").hidden = !this.live;
    byId("revisions").replaceChildren(...timeline(revisions, { ...how, brief: false }));
    byId("compare-time").hidden = revisions.filter(({ kept }) => kept).length < 2;
    byId("compare-time").replaceChildren(...timeline(revisions, { ...how, brief: true }));
  }

  /**
   * Handles a change of the compared revision.
   * @param {string} revision empty for none
   */
  compared(revision) {
    this.revisions();
    this.changes?.since(revision);
  }

  /** Handles new counts of the tiles. */
  counted() {
    const zooms = this.page.summary?.zooms ?? [];
    if (this.page.summary?.scale === 1) {
      showHealth(zooms, this.jobs);
      this.use.counted(zooms);
    }
    this.page.gaps?.counted();
    this.stored?.update();
  }

  /**
   * Handles progress of jobs.
   * @param {Job[]} jobs the newest first
   */
  progressed(jobs) {
    const key = (/** @type {Job[]} */ all) => JSON.stringify(all.map(({ job, done, failed }) => [job, done, failed]));
    if (key(jobs) !== key(this.jobs)) this.page.summary?.later();
    this.jobs = jobs;
    this.list?.update(jobs);
    if (this.page.summary?.scale === 1) showHealth(this.page.summary.zooms, jobs);
  }
}

/**
 * What the tab of stored tiles has without a server.
 * @param {string} command
 */
const uncounted = (command) => [
  make(
    "p",
    { class: "quiet" },
    "A published page does not list its bucket. This command compares the stored tiles with the plan:",
  ),
  copyField(command, { name: "the command", test: "verify" }),
];
