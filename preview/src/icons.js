/** Icons of 16 pixels, drawn in the colour of the text. */

const SVG = "http://www.w3.org/2000/svg";

const PATHS = {
  copy: "M7 5.5h5A1.5 1.5 0 0 1 13.5 7v5a1.5 1.5 0 0 1-1.5 1.5H7A1.5 1.5 0 0 1 5.5 12V7A1.5 1.5 0 0 1 7 5.5zM10.5 5.5V4A1.5 1.5 0 0 0 9 2.5H4A1.5 1.5 0 0 0 2.5 4v5A1.5 1.5 0 0 0 4 10.5h1.5",
  theme: "M13.5 8a5.5 5.5 0 1 1-11 0 5.5 5.5 0 0 1 11 0z",
  plus: "M8 3v10M3 8h10",
  minus: "M3 8h10",
  fit: "M2.5 6V2.5H6M10 2.5h3.5V6M13.5 10v3.5H10M6 13.5H2.5V10",
  grid: "M3.5 2.5h9a1 1 0 0 1 1 1v9a1 1 0 0 1-1 1h-9a1 1 0 0 1-1-1v-9a1 1 0 0 1 1-1zM8 2.5v11M2.5 8h11",
  done: "M3.5 8.5l3 3 6-7",
  warning: "M8 4v5M8 11.6v.2M8 1.8l6.4 11.7H1.6z",
  stop: "M5 4h6a1 1 0 0 1 1 1v6a1 1 0 0 1-1 1H5a1 1 0 0 1-1-1V5a1 1 0 0 1 1-1z",
  down: "M3.5 6l4.5 4.5L12.5 6",
};

/** Their filled parts. @type {Record<string, string>} */
const FILLED = { theme: "M8 2.5a5.5 5.5 0 0 1 0 11z" };

/** @param {keyof typeof PATHS} name */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "i");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  svg.append(pathOf(PATHS[name]));
  if (FILLED[name]) svg.append(pathOf(FILLED[name], "currentcolor"));
  return svg;
}

/** @param {string} shape @param {string} [fill] */
function pathOf(shape, fill) {
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", shape);
  if (fill) path.setAttribute("fill", fill);
  return path;
}
