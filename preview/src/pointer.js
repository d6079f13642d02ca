/** The place on the map at the mouse, the last tap or the keyboard's crosshair. */

/** @typedef {[left: number, top: number]} Point pixels from the map's north-west corner */

export class Pointer {
  /** @param {import("maplibre-gl").Map} map @param {() => void} changed */
  constructor(map, changed) {
    this.map = map;
    /** @type {Point | null} */
    this.mouse = null;
    /** @type {Point | null} */
    this.tap = null;
    this.keyboard = false;
    const set = (/** @type {Partial<Pick<Pointer, "mouse" | "tap" | "keyboard">>} */ how) => {
      Object.assign(this, how);
      changed();
    };
    const around = map.getCanvasContainer();
    around.addEventListener("pointermove", ({ pointerType, clientX, clientY }) => {
      if (pointerType === "touch") return;
      const frame = around.getBoundingClientRect();
      set({ mouse: [clientX - frame.left, clientY - frame.top] });
    });
    around.addEventListener("pointerleave", () => set({ mouse: null }));
    map.on("click", ({ point }) => set({ tap: [point.x, point.y] }));
    map.on("movestart", () => set({ tap: null }));
    for (const kind of ["focus", "blur", "keydown"]) {
      map.getCanvas().addEventListener(kind, () => set({ keyboard: map.getCanvas().matches(":focus-visible") }));
    }
  }

  /**
   * The current place; for the keyboard, the middle.
   * @returns {Point | null}
   */
  get place() {
    const { clientWidth, clientHeight } = this.map.getContainer();
    return this.mouse ?? this.tap ?? (this.keyboard ? [clientWidth / 2, clientHeight / 2] : null);
  }
}
