// A square of 8x8 cells to draw in, by pointer, by finger, or by the keyboard.
import { el } from "./kit.js";
import { COUNT, INK, levels, SIDE, spell } from "./pixels.js";

const WORDS = (/** @type {number} */ level) => (level === 0 ? "paper" : level === INK ? "ink" : "grey");

/** @param {(picture: string) => void} changed */
export const pad = (changed) => {
  const now = new Uint8Array(COUNT);
  let here = 0, ink = INK, last = -1;
  const cells = Array.from(now, (_, i) => el("div", {
    role: "gridcell", tabindex: i ? -1 : 0, "data-lm-suppress-shortcuts": "true", style: "border: 1px solid #888; box-sizing: border-box; aspect-ratio: 1",
  }));
  const show = (/** @type {number} */ i) => {
    const grey = Math.round((255 * now[i]) / INK);
    cells[i].style.background = `rgb(${grey} ${grey} ${grey})`;
    cells[i].setAttribute("aria-label", `row ${Math.floor(i / SIDE) + 1}, column ${(i % SIDE) + 1}: ${WORDS(now[i])}`);
  };
  const put = (/** @type {number} */ i, /** @type {number} */ level) => {
    if (now[i] === level) return;
    now[i] = level;
    show(i);
    changed(spell(now));
  };
  const go = (/** @type {number} */ to, focus = true) => {
    cells[here].tabIndex = -1;
    here = to;
    cells[here].tabIndex = 0;
    if (focus) cells[here].focus({ preventScroll: true });
  };
  const keyed = (/** @type {KeyboardEvent} */ event) => {
    const across = here % SIDE, down = Math.floor(here / SIDE), { key } = event;
    const ways = {
      ArrowLeft: across ? here - 1 : here, ArrowRight: across < SIDE - 1 ? here + 1 : here,
      ArrowUp: down ? here - SIDE : here, ArrowDown: down < SIDE - 1 ? here + SIDE : here,
    };
    if (key === " " || key === "Enter") put(here, now[here] === 0 ? INK : now[here] === INK ? INK / 2 : 0);
    else if (ways[key] !== undefined) go(ways[key]);
    else return;
    event.preventDefault();
  };
  const rows = Array.from({ length: SIDE }, (_, y) => el("div", { role: "row", style: "display: contents" }, ...cells.slice(SIDE * y, SIDE * (y + 1))));
  const square = el("div", {
    role: "grid", "aria-label": "Your picture, 8 by 8 cells. Arrow keys move, the space bar changes a cell.", onkeydown: keyed,
    style: `display: grid; grid-template-columns: repeat(${SIDE}, 1fr); width: 224px; touch-action: none; cursor: crosshair; forced-color-adjust: none`,
  }, ...rows);

  // A stroke draws, or rubs out if it begins on ink. Between two reports of the pointer it is a straight line.
  const at = (/** @type {PointerEvent} */ event) => {
    const box = square.getBoundingClientRect();
    const [x, y] = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height].map((v) => Math.floor(SIDE * v));
    return x < 0 || y < 0 || x >= SIDE || y >= SIDE ? -1 : SIDE * y + x;
  };
  const moved = (/** @type {PointerEvent} */ event) => {
    const to = at(event), from = last < 0 ? to : last;
    last = to;
    if (to < 0) return;
    const dx = (to % SIDE) - (from % SIDE), dy = Math.floor(to / SIDE) - Math.floor(from / SIDE), far = Math.max(1, Math.abs(dx), Math.abs(dy));
    for (let i = 0; i <= far; i++) put(from + Math.round((dx * i) / far) + SIDE * Math.round((dy * i) / far), ink);
  };
  square.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => {
    const first = at(event);
    if (event.button || first < 0) return;
    square.setPointerCapture(event.pointerId);
    ink = now[first] === INK ? 0 : INK;
    last = -1;
    go(first);
    moved(event);
    event.preventDefault();
  });
  square.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => square.hasPointerCapture(event.pointerId) && moved(event));
  cells.forEach((_, i) => show(i));
  return {
    square,
    picture: () => spell(now),
    put: (/** @type {string} */ picture) => {
      now.set(levels(picture));
      cells.forEach((_, i) => show(i));
    },
  };
};
