// Pictures of the same grid, in which a reader points at one cell by mouse, finger or arrow keys; all show the same frame.
import * as kit from "./kit.js";

// The cell is in the traits `row` and `column`.
/** @param {kit.Model} model @param {number} rows @param {number} columns */
export const picker = (model, rows, columns) => {
  /** @type {HTMLElement[]} */
  const frames = [];
  const set = (/** @type {number} */ row, /** @type {number} */ column) => {
    model.set("row", Math.min(rows - 1, Math.max(0, Math.floor(row))));
    model.set("column", Math.min(columns - 1, Math.max(0, Math.floor(column))));
    model.save_changes();
  };
  const point = (/** @type {any} */ event) => {
    const box = event.currentTarget.getBoundingClientRect();
    set(((event.clientY - box.top) / box.height) * rows, ((event.clientX - box.left) / box.width) * columns);
  };
  const press = (/** @type {KeyboardEvent} */ event) => {
    const row = model.get("row"), column = model.get("column");
    const to = {
      ArrowUp: [row - 1, column], ArrowDown: [row + 1, column], ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1],
      Home: [row, 0], End: [row, columns - 1], PageUp: [0, column], PageDown: [rows - 1, column],
    }[event.key];
    if (!to) return;
    event.preventDefault();
    set(to[0], to[1]);
  };
  // A finger chooses with a tap, and scrolls the page.
  const drag = (/** @type {PointerEvent} */ event) => {
    if (event.buttons && event.pointerType !== "touch") point(event);
  };
  return {
    // A canvas with the frame; all can be pointed at, and one with a label takes the keys.
    framed: (/** @type {HTMLElement} */ canvas, label = "") => {
      const frame = kit.el("div", { class: "dw-cell", style: `width: ${100 / columns}%; height: ${100 / rows}%; forced-color-adjust: none` });
      const keys = label && { tabindex: 0, role: "application", "aria-label": label, "data-lm-suppress-shortcuts": "true", onkeydown: press };
      frames.push(frame);
      return kit.el("div", { class: "dw-pick", onclick: point, onpointermove: drag, ...keys }, canvas, frame);
    },
    show: () => {
      const row = kit.within(model, "row", 0, rows - 1), column = kit.within(model, "column", 0, columns - 1);
      for (const { style } of frames) Object.assign(style, { left: `${(100 * column) / columns}%`, top: `${(100 * row) / rows}%` });
      return { row, column };
    },
  };
};
