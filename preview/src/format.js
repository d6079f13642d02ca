/** Numbers formatted for people. */

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** @param {number} number */
export const count = (number) => WHOLE.format(number);

/**
 * `1 tile`, `1,234 tiles`
 * @param {number} number @param {string} one
 */
export const counted = (number, one) => `${count(number)} ${one}${number === 1 ? "" : "s"}`;

/** @param {number} ms */
export function milliseconds(ms) {
  if (ms < 9.95) return `${ms.toFixed(1)} ms`;
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/**
 * A duration in its one or two largest units.
 * @param {number} seconds
 */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  const minutes = Math.round(whole / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return `${Math.round(hours / 24)} days`;
}

/** @param {number} rate tiles per second */
export const speed = (rate) => `${rate < 10 ? rate.toFixed(1) : count(rate)} tiles/s`;

/**
 * A percentage that is 100 only if nothing is left.
 * @param {number} percent
 */
export function percentage(percent) {
  const shown = Math.min(percent, percent < 100 ? 99.9 : 100);
  return `${shown < 10 && shown > 0 ? shown.toFixed(1) : Math.floor(shown)}%`;
}

/**
 * Decimals of a degree needed to distinguish the pixels of a zoom.
 * @param {number} zoom of 256-pixel tiles
 */
export const decimals = (zoom) => Math.max(0, Math.min(8, Math.ceil(Math.log10((256 * 2 ** zoom) / 360))));

/**
 * A layer's zooms, `0\u201314`.
 * @param {number} low @param {number} high
 */
export const zooms = (low, high) => (low === high ? `${low}` : `${low}\u2013${high}`);

/**
 * The median of numbers, NaN if there are none.
 * @param {number[]} numbers
 */
export function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  if (sorted.length % 2) return sorted[half] ?? Number.NaN;
  return ((sorted[half - 1] ?? Number.NaN) + (sorted[half] ?? Number.NaN)) / 2;
}

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];

/**
 * `174 MB`, `2.6 MB`
 * @param {number} bytes
 */
export function bytes(bytes) {
  const at = Math.min(UNITS.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(1, bytes) * 1.0005) / 3)));
  const size = bytes / 1000 ** at;
  return `${at && size < 9.95 ? size.toFixed(1) : count(size)} ${UNITS[at]}`;
}

/**
 * How long ago, `3 days ago`.
 * @param {number} then @param {number} now seconds since 1970
 */
export function age(then, now) {
  const seconds = Math.max(0, now - then);
  if (seconds < 60) return "just now";
  if (seconds < 3570) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.round(seconds / 3600)} h ago`;
  const days = Math.round(seconds / 86400);
  if (days < 2) return "yesterday";
  if (days < 60) return `${days} days ago`;
  return days < 700 ? `${Math.round(days / 30.44)} months ago` : `${Math.round(days / 365.25)} years ago`;
}

/**
 * Numbers in ranges: `0\u20137 and 9`
 * @param {number[]} numbers in rising order
 */
export function ranges(numbers) {
  /** @type {[number, number][]} */
  const runs = [];
  for (const each of numbers) {
    const last = runs.at(-1);
    if (last && last[1] + 1 === each) last[1] = each;
    else runs.push([each, each]);
  }
  const parts = runs.flatMap(([low, high]) => (high === low + 1 ? [`${low}`, `${high}`] : [zooms(low, high)]));
  return parts.length < 2 ? parts.join("") : `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}`;
}
