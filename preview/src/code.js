/** Blocks of code with the button that copies them. */

import { copyButton } from "./copy.js";
import { make } from "./dom.js";
import { coloured } from "./snippets.js";

/**
 * The code in colours.
 * @param {string} code
 */
export function painted(code) {
  const parts = coloured(code.trimEnd());
  const nodes = parts.map(({ text, kind }) => (kind ? make("span", { class: `code-${kind}` }, text) : text));
  return make("code", {}, ...nodes);
}

/**
 * A snippet's lines, and the button that copies them.
 * @param {import("./snippets.js").Snippet} snippet
 */
export function codeBlock({ key, name, lines, copied }) {
  const button = copyButton(copied, { name: copied === lines ? `the lines for ${name}` : `the address for ${name}` });
  return make("div", { class: "block", "data-testid": `snippet-${key}` }, button, make("pre", {}, painted(lines)));
}
