// Points that are guided towards one of three overlapping classes, over the true density of the class.
import * as kit from "../shared/kit.js";
import { describe, insist, sharpened } from "../shared/insist.js";
import { linear, mixture, schedule } from "../shared/science.js";

export default kit.widget(({ model, el: place }) => {
  const T = kit.within(model, "T", 1, 4000), names = model.get("names"), K = names.length, points = kit.within(model, "points", 2, 1000);
  const full = schedule(linear(T, model.get("ends"))), blobs = kit.numbers(model, "blobs", Float32Array, 4 * K);
  const start = kit.numbers(model, "start", Int16Array, 2 * points, 1 / 4096);
  const walk = insist(full, blobs, kit.within(model, "steps", 1, T)), sharpen = sharpened(blobs), { pull } = mixture(full.alphaBar, blobs);

  const plot = kit.plot({ x: [-4, 4], y: [-4, 4], xlabel: "first coordinate", ylabel: "second coordinate", label: "", height: 350 });
  const add = (/** @type {string} */ tag, attributes) => plot.svg.appendChild(kit.el(tag, attributes));
  // From the middle, where all classes are equally likely, run the borders between each two.
  const far = (/** @type {number} */ v) => -6 * v;
  for (let k = 0; k < K; k++) {
    add("line", { class: "dw-grid", x1: plot.px(0), y1: plot.py(0), x2: plot.px(far(blobs[4 * k])), y2: plot.py(far(blobs[4 * k + 1])), "stroke-width": 2 });
  }
  const rings = Array.from({ length: 2 * K }, (_, i) => {
    const [x, y, deviation] = blobs.subarray(4 * (i >> 1));
    return add("circle", { cx: plot.px(x), cy: plot.py(y), r: plot.px((1 + (i & 1)) * deviation) - plot.px(0) });
  });
  const trail = plot.line("dw-4"), dots = add("path", { class: "dw-line dw-dot dw-2", style: "stroke-opacity: 1" }), ring = plot.marker("dw-4 dw-ring"), facts = kit.facts();
  const off = (/** @type {ArrayLike<number>} */ x, /** @type {number} */ label) => {
    let count = 0;
    for (let i = 0; i < x.length; i += 2) count += Number(pull(x[i], x[i + 1], 0)[2] !== label);
    return count;
  };

  // The walks of a setting, and what is measured of them, kept because a reader comes back to it
  const known = new Map();
  const compute = (/** @type {number} */ label, /** @type {number} */ w) => {
    const key = `${label} ${w}`;
    if (!known.has(key)) {
      const towards = [blobs[4 * label], blobs[4 * label + 1]], states = walk(start, label, w), x = states[states.length - 1];
      const trace = [0, 1].map((axis) => states.map((state) => state[axis]));
      known.set(key, { towards, x, trace, drawn: describe(x, towards), ideal: sharpen(label, w), astray: off(x, label) });
    }
    return known.get(key);
  };

  const draw = () => {
    const w = kit.within(model, "w", -1, 8, false), label = kit.within(model, "label", 0, K - 1);
    const { towards, x, trace, drawn, ideal, astray } = compute(label, w), say = (/** @type {number} */ v) => kit.number(v, 3);
    rings.forEach((circle, i) => kit.put(circle, "class", `dw-line dw-exact ${i >> 1 === label ? "" : "dw-dash"}`));
    let text = "";
    for (let i = 0; i < x.length; i += 2) text += `M${plot.spot(x[i], x[i + 1])}h0`;
    dots.setAttribute("d", text);
    trail(trace[0], trace[1]);
    ring(x[0], x[1]);
    facts.write([
      ["Mean, from the middle towards the class:", `${say(drawn.mean)} (class ${say(Math.hypot(...towards))}, sharpened density ${say(ideal.mean)})`],
      ["Standard deviation:", `${say(drawn.spread)} (class ${say(blobs[4 * label + 2])}, sharpened density ${say(ideal.spread)})`],
      ["Where another class is likelier:", `${astray} of ${points}`],
    ]);
    plot.say(`Ends of ${points} walks, asked for the class ${names[label]} at w = ${kit.number(w)}: mean ${say(drawn.mean)} from the middle, standard deviation ${say(drawn.spread)}, ${astray} where another class is likelier.`);
  };

  kit.stage(
    place,
    "What does guidance take away?",
    kit.row(
      kit.slider(model, "w", { label: "strength w", min: -1, max: 8, step: 0.25 }),
      kit.choice(model, "label", { label: "class", options: names }),
    ),
    plot.svg,
    kit.legend([["dw-2", "ends of the walks"], ["dw-exact", "classes, to 1 and 2 deviations (others dashed)"], ["dw-4", "one walk, from x_T to its end"]]),
    facts,
  );
  kit.follow(model, ["w", "label"], draw);
  // All settings of the controls, in idle time
  const settings = names.flatMap((_, label) => Array.from({ length: 37 }, (_w, i) => [label, i / 4 - 1]));
  const prepare = (/** @type {IdleDeadline} */ deadline) => {
    while (settings.length && deadline.timeRemaining() > 5) {
      const [[label, w]] = settings.splice(0, 1);
      compute(label, w);
    }
    if (settings.length && !model.signal.aborted) requestIdleCallback(prepare);
  };
  window.requestIdleCallback?.(prepare);
});
