/** Tabs: one of several panels is shown; arrow keys, Home and End move between them. */

/** @type {Record<string, (at: number, all: number) => number>} */
const KEYS = {
  ArrowRight: (at) => at + 1,
  ArrowLeft: (at) => at - 1,
  Home: () => 0,
  End: (_, all) => all - 1,
};

export class Tabs {
  /**
   * @param {HTMLElement} list whose tabs control panels; a tab's id is `tab-` and its name
   * @param {(name: string) => void} [picked] called after each choice of a tab
   */
  constructor(list, picked = () => {}) {
    this.tabs = /** @type {HTMLElement[]} */ ([...list.querySelectorAll('[role="tab"]')]);
    this.picked = picked;
    for (const tab of this.tabs) tab.addEventListener("click", () => this.pick(nameOf(tab)));
    list.addEventListener("keydown", (event) => this.move(event));
  }

  /** The names of the tabs. */
  get names() {
    return this.tabs.map(nameOf);
  }

  /**
   * Shows the panel of a tab.
   * @param {string} name
   */
  pick(name) {
    for (const tab of this.tabs) {
      const on = nameOf(tab) === name;
      tab.setAttribute("aria-selected", String(on));
      tab.tabIndex = on ? 0 : -1;
      const panel = document.getElementById(tab.getAttribute("aria-controls") ?? "");
      if (panel) panel.hidden = !on;
    }
    this.picked(name);
  }

  /** @param {KeyboardEvent} event */
  move(event) {
    const at = this.tabs.indexOf(/** @type {HTMLElement} */ (event.target));
    const all = this.tabs.length;
    const to = at < 0 ? undefined : KEYS[event.key]?.(at, all);
    const tab = to === undefined ? undefined : this.tabs[(to + all) % all];
    if (!tab) return;
    event.preventDefault();
    this.pick(nameOf(tab));
    tab.focus();
  }
}

/** @param {HTMLElement} tab */
const nameOf = (tab) => tab.id.replace(/^tab-/, "");
