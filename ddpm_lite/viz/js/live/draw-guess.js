// A reader draws the curve that they expect, by a few handles, and then sees the true one over it, with the difference in words.
import * as kit from "../shared/kit.js";
import { GUESSES, keep, recall } from "../shared/store.js";

const WIDTH = 360, HEIGHT = 220, TOP = 10, FOOT = 180; // of the axes, as widgets/guess.py draws them
const NEAR = 0.05; // this share of the axis counts as right
const STEP = 0.02, LEAP = 0.1; // of an arrow key, and of Page Up

/** @param {string[]} words */
const list = (words) => (words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`);
/** @param {any} values @param {number} [count] */
const shares = (values, count) =>
  Array.isArray(values) && (count ?? values.length) === values.length && values.every((share) => share >= 0 && share <= 1);

export default kit.widget(({ model, el: place }) => {
  const demand = (/** @type {string} */ name, /** @type {boolean} */ fine) => {
    if (!fine) throw new Error(`${name}: not what a guess needs, got ${String(model.get(name)).slice(0, 40)}`);
    return model.get(name);
  };
  for (const name of ["key", "ask", "axes", "path", "hides"]) demand(name, typeof model.get(name) === "string");
  for (const name of ["log", "shown"]) demand(name, typeof model.get(name) === "boolean");
  /** @type {number[]} */
  const across = demand("across", Array.isArray(model.get("across"))), count = across.length;
  /** @type {string[]} */
  const points = demand("points", model.get("points")?.length === count);
  /** @type {number[]} */
  const truth = demand("heights", shares(model.get("heights"), count));
  const [low, high] = demand("limits", model.get("limits")?.length === 2), log = model.get("log");
  demand("guess", shares(model.get("guess")) && [0, count].includes(model.get("guess").length));

  // On a page the guess is kept in the browser, in Jupyter by the widget itself.
  const here = !model.send, key = model.get("key");
  const kept = here ? recall(GUESSES)[key] : undefined;
  if (shares(kept?.guess, count)) model.set("guess", kept.guess);

  const value = (/** @type {number} */ share) => (log ? low * (high / low) ** share : low + share * (high - low));
  const spelt = (/** @type {number} */ share) => kit.number(value(share), 2);
  const apart = (/** @type {number} */ share) =>
    log ? `a factor of ${kit.number((high / low) ** share, 2)}` : kit.number(share * (high - low), 2);

  const svg = kit.el("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "dw-plot", role: "group", "aria-label": model.get("ask") });
  svg.innerHTML = model.get("axes");
  svg.style.cssText = "touch-action: none; cursor: crosshair";
  const line = svg.appendChild(kit.el("path", { class: "dw-line dw-1 dw-dash" }));
  const real = svg.appendChild(kit.el("path", { class: "dw-line dw-exact", d: model.get("path") }));
  const miss = svg.appendChild(kit.el("path", { class: "dw-line dw-4" }));
  const py = (/** @type {number} */ share) => (FOOT - share * (FOOT - TOP)).toFixed(1);
  const handles = across.map((x, i) => svg.appendChild(kit.el("circle", {
    class: "dw-marker dw-1", r: 7, cx: x, role: "slider", tabindex: 0, "data-lm-suppress-shortcuts": "true",
    "aria-label": `Your guess at ${points[i]}`, "aria-orientation": "vertical", "aria-valuemin": 0, "aria-valuemax": 100,
    onkeydown: (/** @type {KeyboardEvent} */ event) => {
      const now = heights()[i], ways = { ArrowUp: now + STEP, ArrowRight: now + STEP, ArrowDown: now - STEP, ArrowLeft: now - STEP };
      const to = { ...ways, PageUp: now + LEAP, PageDown: now - LEAP, Home: 0, End: 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      change({ [i]: to });
    },
  })));

  /** @returns {number[]} */
  const heights = () => (model.get("guess").length ? model.get("guess") : Array(count).fill(0.5));
  // Some of the heights are others, {point: height}.
  const change = (/** @type {Record<number, number>} */ to) => {
    if (model.get("shown")) return;
    model.set("guess", heights().map((old, i) => (i in to ? Math.min(1, Math.max(0, Math.round(to[i] * 100) / 100)) : old)));
    model.save_changes();
  };

  // The pointer takes the nearest handle, and while it is down, each that it passes: a curve in one stroke.
  let last = -1, held = false;
  const moved = (/** @type {PointerEvent} */ event) => {
    const box = svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * WIDTH, y = ((event.clientY - box.top) / box.height) * HEIGHT;
    const far = across.map((at) => Math.abs(at - x)), near = far.indexOf(Math.min(...far)), to = (FOOT - y) / (FOOT - TOP);
    const from = last < 0 ? near : last, begun = heights()[from];
    /** @type {Record<number, number>} */
    const all = {};
    for (let i = from; i !== near; i += Math.sign(near - from)) if (i !== from) all[i] = begun + ((to - begun) * (i - from)) / (near - from);
    change({ ...all, [near]: to });
    last = near;
  };
  svg.addEventListener("pointerdown", (event) => {
    if (model.get("shown") || event.button) return;
    svg.setPointerCapture(event.pointerId);
    held = true;
    last = -1;
    moved(event);
    handles[last].focus({ preventScroll: true });
    event.preventDefault();
  });
  svg.addEventListener("pointermove", (event) => svg.hasPointerCapture(event.pointerId) && moved(event));
  svg.addEventListener("lostpointercapture", () => {
    held = false;
    store();
  });

  /** @param {number[]} guess @returns {string} */
  const compare = (guess) => {
    const off = guess.map((share, i) => Math.round((share - truth[i]) * 1e4) / 1e4), signs = off.map((by) => (Math.abs(by) <= NEAR ? 0 : Math.sign(by)));
    const right = signs.filter((sign) => !sign).length, near = apart(NEAR);
    if (right === count) return `Well guessed: at all ${count} points your curve is within ${near} of the true one.`;
    const most = off.reduce((best, by, i) => (Math.abs(by) > Math.abs(off[best]) ? i : best), 0);
    const told = [1, -1].flatMap((sign) => {
      /** @type {[number, number][]} */
      const runs = [];
      signs.forEach((found, i) => {
        if (found !== sign) return;
        if (i && signs[i - 1] === sign) runs[runs.length - 1][1] = i;
        else runs.push([i, i]);
      });
      const words = runs.map(([a, b]) => (a === b ? `at ${points[a]}` : `from ${points[a]} to ${points[b]}`));
      return runs.length ? [`too ${sign > 0 ? "high" : "low"} ${list(words)}`] : [];
    });
    const rest = right ? ` At the other ${right === 1 ? "point" : `${right} points`} it is within ${near} of the true one.` : "";
    return `Your curve is ${list(told)}. The largest miss is at ${points[most]}: you drew ${spelt(guess[most])}, and it is `
      + `${spelt(truth[most])}, so your guess is too ${off[most] > 0 ? "high" : "low"} by ${apart(Math.abs(off[most]))}.${rest}`;
  };

  const answer = kit.el("button", { type: "button", onclick: () => {
    model.set("shown", !model.get("shown"));
    model.save_changes();
  } }, "");
  const again = kit.el("button", { type: "button", onclick: () => {
    model.set("guess", []);
    model.set("shown", false);
    model.save_changes();
    handles[0].focus();
  } }, "Clear my guess");
  const said = kit.el("p", { role: "status" }), values = kit.el("p");
  const keys = kit.legend([["dw-1", "your guess"], ["dw-exact", "the true curve"], ["dw-4", "the largest miss"]]);

  // Not at each move of a stroke, because a browser stores before it goes on.
  const store = () => {
    if (!here || held) return;
    const guess = model.get("guess"), shown = model.get("shown"), before = recall(GUESSES)[key];
    if (guess.length || shown || before) keep(GUESSES, key, { guess, shown: shown || before?.shown === true });
  };

  const draw = () => {
    const guess = heights(), shown = model.get("shown"), drawn = model.get("guess").length > 0;
    line.setAttribute("d", guess.map((share, i) => `${i ? "L" : "M"}${across[i]} ${py(share)}`).join(""));
    handles.forEach((handle, i) => {
      kit.put(handle, "cy", py(guess[i]));
      kit.put(handle, "aria-valuenow", String(Math.round(guess[i] * 100)));
      kit.put(handle, "aria-valuetext", spelt(guess[i]));
      kit.put(handle, "aria-disabled", String(shown));
    });
    const off = guess.map((share, i) => Math.abs(share - truth[i])), most = off.indexOf(Math.max(...off));
    const missed = shown && drawn && off[most] > NEAR;
    real.style.display = shown ? "" : "none";
    kit.put(miss, "d", missed ? `M${across[most]} ${py(guess[most])}V${py(truth[most])}` : "");
    keys.children[1].hidden = !shown;
    keys.children[2].hidden = !missed;
    kit.tell(answer, shown ? "Hide the answer" : drawn ? "Compare with the answer" : "Show the answer");
    again.disabled = !drawn;
    values.hidden = !shown;
    kit.tell(values, shown ? `The true curve: ${points.map((at, i) => `${spelt(truth[i])} at ${at}`).join(", ")}.` : "");
    kit.tell(said, shown ? (drawn ? compare(guess) : "Here is the true curve.") : "");
    store();
    // What shows the result, which the page has covered (book/_ext/ddpm_book/guess.py).
    if (shown) document.querySelectorAll(".dw-covered").forEach((covered) => {
      if (/** @type {HTMLElement} */ (covered).dataset.guess !== key) return;
      covered.classList.remove("dw-covered");
      covered.querySelector(":scope > button")?.remove();
    });
  };

  kit.stage(
    place,
    `Draw your guess: ${model.get("ask")}`,
    kit.el("p", {}, `${model.get("ask")} Drag the points, draw across them in one stroke, or use the arrow keys.`),
    svg,
    keys,
    kit.el("div", { class: "dw-control" }, answer, again),
    said,
    values,
  );
  kit.follow(model, ["guess", "shown"], draw);
  // The button that started the guesses is gone with the still figure: its own guess takes the focus.
  const pressed = document.activeElement?.closest("[data-widget]");
  setTimeout(() => pressed?.contains(place) && handles[0].focus({ preventScroll: true }));
});
