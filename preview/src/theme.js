/** Light or dark: as the system says, until a person chooses. */

/** @typedef {"light" | "dark"} Theme */

const KEY = "theme"; // in the browser's storage, for all pages of this host
const CHANGED = "themechange";

const darkness = () => matchMedia("(prefers-color-scheme: dark)");

/** @returns {Theme} */
const system = () => (darkness().matches ? "dark" : "light");

/** @returns {Theme | null} */
function chosen() {
  try {
    const value = localStorage.getItem(KEY);
    return value === "light" || value === "dark" ? value : null;
  } catch {
    return null; // the browser keeps nothing for this page
  }
}

/** @param {Theme} theme */
function choose(theme) {
  try {
    if (theme === system()) localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, theme);
  } catch {
    // lasts until the page is left
  }
}

/** The theme that is shown. @returns {Theme} */
export const theme = () => (document.documentElement.dataset.theme === "dark" ? "dark" : "light");

/**
 * Shows a theme: the chosen one, else that of the system.
 * @param {Theme} [wanted]
 */
export function apply(wanted = chosen() ?? system()) {
  if (document.documentElement.dataset.theme === wanted) return;
  document.documentElement.dataset.theme = wanted;
  dispatchEvent(new Event(CHANGED));
}

/**
 * Calls `then` after each change of the theme.
 * @param {() => void} then
 */
export const watchTheme = (then) => addEventListener(CHANGED, then);

function toggle() {
  const next = theme() === "dark" ? "light" : "dark";
  choose(next);
  apply(next);
}

/**
 * Whether a key was typed into a field, or with another key.
 * @param {KeyboardEvent} event
 */
export function typed(event) {
  const { target } = event;
  const field =
    target instanceof Element && target.closest("input:not([type=radio], [type=checkbox]), select, textarea");
  return Boolean(field) || event.ctrlKey || event.metaKey || event.altKey;
}

/**
 * Makes `button` and the key `d` switch between light and dark, and follows the system until then.
 * @param {HTMLButtonElement} button
 */
export function themeButton(button) {
  const label = () => {
    const other = theme() === "dark" ? "Light" : "Dark";
    button.setAttribute("aria-label", `${other} theme`);
    button.title = `${other} theme (d)`;
  };
  label();
  watchTheme(label);
  button.addEventListener("click", toggle);
  addEventListener("keydown", (event) => {
    if (event.key === "d" && !typed(event)) toggle();
  });
  darkness().addEventListener("change", () => apply());
  addEventListener("storage", ({ key }) => key === KEY && apply()); // chosen on another page
}
