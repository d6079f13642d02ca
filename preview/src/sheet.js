/** The sheet: on a phone the panel lies over the lower part of the map, or beside it if the phone is held sideways. */

import { button } from "./dom.js";

/** @typedef {"peek" | "half" | "full"} Height */

/** @type {readonly Height[]} */
export const UPRIGHT = ["peek", "half", "full"];
/** @type {readonly Height[]} */
export const SIDEWAYS = ["peek", "half"];
const TAP = 8; // pixels that a finger moves at most while it taps

/** Of phones that are held sideways; sheet.css has the same conditions. */
const LOW = "(height <= 500px) and (width >= 560px)";

/**
 * The next height after a tap.
 * @param {readonly Height[]} all @param {Height} now
 */
export const after = (all, now) => all[(all.indexOf(now) + 1) % all.length] ?? "half";

/**
 * The height one step higher or lower.
 * @param {readonly Height[]} all @param {Height} now @param {number} step
 */
export const stepped = (all, now, step) =>
  all[Math.max(0, Math.min(all.length - 1, all.indexOf(now) + step))] ?? "half";

/** Makes the grip change the sheet's height: by a tap, a drag or the arrow keys. */
export function sheet() {
  const grip = button("grip");
  const low = matchMedia(LOW);
  const heights = () => (low.matches ? SIDEWAYS : UPRIGHT);
  const now = () => /** @type {Height} */ (document.body.dataset.sheet);
  const set = (/** @type {Height} */ height) => {
    document.body.dataset.sheet = height;
    const name = low.matches ? "Details beside the map" : "Height of the sheet";
    const word = low.matches ? { peek: "hidden", half: "shown", full: "shown" }[height] : height;
    grip.setAttribute("aria-label", `${name}: ${word}`);
  };
  /** @type {PointerEvent | null} */
  let start = null;
  grip.addEventListener("pointerdown", (event) => {
    start = event;
    grip.setPointerCapture(event.pointerId);
  });
  grip.addEventListener("pointerup", (event) => {
    if (!start) return;
    const moved = low.matches ? start.clientX - event.clientX : start.clientY - event.clientY;
    set(Math.abs(moved) < TAP ? after(heights(), now()) : stepped(heights(), now(), Math.sign(moved)));
    start = null;
  });
  grip.addEventListener("pointercancel", () => {
    start = null;
  });
  grip.addEventListener("click", (event) => {
    if (event.detail === 0) set(after(heights(), now())); // of the keyboard
  });
  grip.addEventListener("keydown", ({ key }) => {
    const step = { ArrowUp: 1, ArrowLeft: 1, ArrowDown: -1, ArrowRight: -1 }[key];
    if (step) set(stepped(heights(), now(), step));
  });
  low.addEventListener("change", () => set("half"));
  set(now());
}
