/** Helpers for the page's elements. */

/**
 * The element with this id, which must exist.
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no #${id}`);
  return /** @type {T} */ (element);
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
 * Creates an element.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string>} [attributes] such as `class` and `data-state`
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
 * Sets an element's text if it differs, so that screen readers do not repeat unchanged text.
 * @param {Element} element @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Sets an element's text with line breaks allowed between a command's options, or after a URL's slashes and before its query.
 * @param {Element} element @param {string} text
 */
export function setBreakableText(element, text) {
  if (element.textContent === text) return;
  const [first = "", ...options] = text.split(" --");
  if (options.length) {
    const parts = options.flatMap((option) => [" ", make("span", {}, ...breakable(`--${option}`, ","))]);
    element.replaceChildren(make("span", {}, first), ...parts);
  } else {
    element.replaceChildren(...breakable(text, "/"));
  }
}

/**
 * A text with line breaks allowed after each of its separators, of an address also before its query.
 * @param {string} text @param {"/" | ","} separator
 */
function breakable(text, separator) {
  const parts = text.split(separator === "/" ? /(?<=\/)(?!\/)|(?=\?)/ : /(?<=,)/);
  return parts.flatMap((part, i) => (i ? [make("wbr"), part] : [part]));
}

/**
 * Sets the children of an element unless they are the same, so that the focus is kept.
 * @param {Element} element @param {Element[]} items
 */
export function fill(element, items) {
  const same = items.length === element.children.length && items.every((item, i) => element.children[i] === item);
  if (!same) element.replaceChildren(...items);
}

/**
 * Digits in groups of three, separated by CSS spacing only, so that the copied text is a plain number.
 * @param {number} number
 */
export function grouped(number) {
  const digits = String(number);
  const groups = digits.match(/\d{1,3}(?=(\d{3})*$)/g) ?? [digits];
  return groups.map((group) => make("span", { class: "group" }, group));
}

/**
 * Calls `then` at most once per frame.
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
 * Calls `then` at once, and at most every `pause` milliseconds; the last request is never lost.
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
 * The text and links of an attribution, without other markup.
 * @param {string} html
 */
export function plainMarkup(html) {
  const parsed = new DOMParser().parseFromString(html, "text/html").body;
  const fragment = document.createDocumentFragment();
  const walk = (/** @type {Node} */ from, /** @type {Node} */ into) => {
    for (const node of from.childNodes) {
      if (node instanceof Text) into.appendChild(new Text(node.data));
      else if (node instanceof HTMLAnchorElement && /^https?:/.test(node.href)) {
        const link = make("a", { href: node.href, rel: "noopener" });
        walk(node, into.appendChild(link));
      } else if (node instanceof HTMLElement && !(node instanceof HTMLScriptElement)) walk(node, into);
    }
  };
  walk(parsed, fragment);
  return fragment;
}
