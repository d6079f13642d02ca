/** The page's elements. */

/**
 * The element of that id, which the page has.
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return /** @type {T} */ (found);
}

/** @param {string} id */
export const input = (id) => /** @type {HTMLInputElement} */ (byId(id));

/** @param {string} id */
export const select = (id) => /** @type {HTMLSelectElement} */ (byId(id));

/** @param {string} id */
export const button = (id) => /** @type {HTMLButtonElement} */ (byId(id));

/** @param {string} id */
export const canvas = (id) => /** @type {HTMLCanvasElement} */ (byId(id));

/**
 * A new element.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string>} [attributes] `class`, `data-state` and the like
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/**
 * Sets an element's text, where it differs: what a screen reader is told of stays as it is otherwise.
 * @param {Element} element @param {string} text
 */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Sets an element's text so that a narrow line breaks between a command's options or after an address's slashes.
 * @param {Element} element @param {string} text
 */
export function sayBreakable(element, text) {
  if (element.textContent === text) return;
  const [first = "", ...options] = text.split(" --");
  if (options.length) {
    const parts = options.flatMap((option) => [" ", make("span", {}, `--${option}`)]);
    element.replaceChildren(make("span", {}, first), ...parts);
  } else {
    const parts = text.split(/(?<=\/)(?!\/)/);
    element.replaceChildren(...parts.flatMap((part) => [part, document.createElement("wbr")]));
  }
}

/**
 * Puts `items` into an element, where they are not in it already: what has the focus keeps it.
 * @param {Element} element @param {Element[]} items
 */
export function fill(element, items) {
  const same = items.length === element.children.length && items.every((item, i) => element.children[i] === item);
  if (!same) element.replaceChildren(...items);
}

/**
 * Digits in groups of three that are set apart by space alone, so that what is copied is the plain number.
 * @param {number} number
 */
export function grouped(number) {
  const digits = String(number);
  const groups = digits.match(/\d{1,3}(?=(\d{3})*$)/g) ?? [digits];
  return groups.map((group) => make("span", { class: "group" }, group));
}

/**
 * Calls `then` at most once a frame.
 * @param {() => void} then
 */
export function framed(then) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      then();
    });
  };
}

/**
 * Calls `then` at once, and again at most every `pause` milliseconds: however often it is asked for, the last asking counts.
 * @param {() => void} then @param {number} pause
 */
export function paced(then, pause) {
  let last = Number.NEGATIVE_INFINITY;
  /** @type {number | undefined} */
  let timer;
  return () => {
    if (timer !== undefined) return;
    timer = window.setTimeout(
      () => {
        timer = undefined;
        last = performance.now();
        then();
      },
      Math.max(0, last + pause - performance.now()),
    );
  };
}

/**
 * The links and the text of what an attribution says; all other markup is left out.
 * @param {string} html
 */
export function plainMarkup(html) {
  const parsed = new DOMParser().parseFromString(html, "text/html").body;
  const kept = document.createDocumentFragment();
  const walk = (/** @type {Node} */ from, /** @type {Node} */ into) => {
    for (const node of from.childNodes) {
      if (node instanceof Text) into.appendChild(new Text(node.data));
      else if (node instanceof HTMLAnchorElement && /^https?:/.test(node.href)) {
        const link = make("a", { href: node.href, rel: "noopener" });
        walk(node, into.appendChild(link));
      } else if (node instanceof HTMLElement && !(node instanceof HTMLScriptElement)) walk(node, into);
    }
  };
  walk(parsed, kept);
  return kept;
}
