// Train a small network on points in the plane: its loss, its arrows beside the exact ones, and samples from it.
import * as kit from "../shared/kit.js";
import { apart, blobs, energy, keyed, learner } from "../shared/mlp.js";
import { closed, ddim, ddpm, fresh as noises, gaussians, linear, respace, schedule, walk } from "../shared/science.js";

export default kit.widget(({ model, el: place }) => {
  const STEPS = kit.within(model, "steps", 1, 20000), LOOK = 100, QUICK = 50, POINTS = 256, REACH = 3, MOST = 60;
  const counts = model.get("counts"), own = counts.length, deviations = model.get("deviations");
  if (!model.get("points").flat().every((v) => Math.abs(v) <= 2.5)) throw new Error("points: expected pairs of numbers");
  const centres = kit.numbers(model, "centres", Int16Array, 2 * counts.reduce((a, b) => a + b), 1 / 4096);
  // The paper's schedule
  const T = kit.within(model, "T", 2, 10000), full = schedule(linear(T, model.get("ends")));
  const bar = full.alphaBar;
  const calm = matchMedia("(prefers-reduced-motion: reduce)");

  // Noise for points at which learnt and exact arrows are compared
  const chance = noises(keyed(0, 5), 2 * POINTS), shake = Float64Array.from({ length: 2 * POINTS }, (_, i) => chance(i, 0));

  // The state of one training run, from `reset` on; then the present task, and when it was last painted.
  let data, real, cloud, fresh, least, student, losses, drawn, distance;
  let task, timer, gap, running = false, painted = 0, cross = [0, 0];

  const words = { xlabel: "first coordinate", ylabel: "second coordinate", height: 350 };
  const [left, right] = [0, 1].map(() => kit.plot({ x: [-REACH, REACH], y: [-REACH, REACH], label: "", ...words }));
  const curve = kit.plot({ x: [0, STEPS], y: [0, 1], xlabel: "step", ylabel: "loss", label: "", height: 190 });
  const path = ({ svg }, kind, style = "") => svg.appendChild(kit.el("path", { class: kind, style }));
  const dots = path(left, "dw-line dw-dot dw-1"), crosses = path(left, "dw-line dw-2", "stroke-width: 1.4"), aim = path(left, "dw-line dw-4");
  const needles = path(right, "dw-marker dw-3", "fill-opacity: 0.75"), lines = path(right, "dw-line dw-2");
  const [learnt, exact] = ["dw-2", "dw-3 dw-dash"].map(curve.line);
  // The facts change many times a second, so a screen reader reads the status instead, at the beginning and the end.
  const facts = kit.facts(true), status = kit.el("p", { role: "status" });
  const say = (text) => {
    kit.tell(status, text);
  };

  const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
  const draws = ({ draw: one }, uniform) => {
    const points = new Float64Array(2 * POINTS);
    for (let i = 0; i < POINTS; i++) points.set(one(uniform, 3 * i), 2 * i);
    return points;
  };

  // The loss of the exact z (eq-training-loss), the least of any network.
  function* measure() {
    const n = 4096, uniform = keyed(0, 4);
    let sum = 0;
    for (let i = 0; i < n; i++) {
      const t = 1 + Math.floor((T * (i + uniform(6 * i))) / n), [a, b] = data.draw(uniform, 6 * i + 1);
      const [z, w] = gaussians(uniform, 6 * i + 4), { noised } = closed(bar[t]);
      const [u, v] = data.exact(noised(a, z), noised(b, w), t);
      sum += ((u - z) ** 2 + (v - w) ** 2) / (2 * n);
      if (i % 64 === 0) yield;
    }
    least = sum;
  }
  function* look(way) {
    const noise = noises(keyed(model.get("seed"), 2), 2 * POINTS);
    const start = Float64Array.from({ length: 2 * POINTS }, (_, i) => noise(i, 0)), steps = way ? full : respace(full, QUICK);
    /** @type {Float64Array} */
    let points = start;
    for (const frame of walk(student.ask, steps, start, noise, way ? ddpm : ddim, { clip: false })) {
      yield;
      points = frame.x;
    }
    drawn = points;
    distance = energy(drawn, real);
  }
  function* learning() {
    student ??= learner({ bar, data, seed: model.get("seed"), steps: STEPS });
    if (!least) yield* measure();
    while (losses.length < STEPS) {
      losses.push(student.learn());
      yield;
      if (losses.length % LOOK === 0) yield* look(0);
    }
    if (model.get("way")) yield* look(1);
  }

  // Work in slices of a few milliseconds, so that the page stays responsive.
  const go = (work, ended) => {
    clearTimeout(timer);
    task = work;
    const slice = () => {
      if (performance.now() > painted + 150) {
        draw();
        timer = setTimeout(slice);
        return;
      }
      const until = performance.now() + 8;
      let done = !place.isConnected;
      while (!done && performance.now() < until) done = task.next().done;
      if (done) halt(ended());
      else timer = setTimeout(slice);
    };
    slice();
  };
  const halt = (text) => {
    clearTimeout(timer);
    task = null;
    run(false);
    say(text);
    draw();
  };
  const run = (now) => {
    running = now;
    kit.tell(button, running ? "Pause" : "Start");
  };
  const toggled = () => {
    if (running) return halt(`Paused after step ${losses.length}.`);
    if (!data) return say(help);
    if (losses.length === STEPS) reset();
    run(true);
    say("Training.");
    go(learning(), () => `Done after ${STEPS} steps. Loss ${loss()}, exact z ${kit.number(least, 3)}; distance of the samples ${off()}, of new data ${kit.number(fresh, 2)}.`);
  };
  const NONE = "none yet";
  const loss = () => (losses.length ? kit.number(mean(losses.slice(-250)), 3) : NONE);
  const off = () => (drawn ? kit.number(distance, 2) : NONE);
  const help = "Place points first: click in the left plot, or reach it with Tab, move the cross with the arrow keys, and press Enter.";

  // Other data, or the same with a new network, which is made when it is first trained: until then it returns 0.
  const reset = (anew = false) => {
    losses = [];
    drawn = least = student = null;
    if (anew) ({ data, real, cloud, fresh } = gather(model.get("data")));
    halt(data ? "Ready." : help);
  };
  // The data and draws of them; what is ready is kept, and computed in idle time.
  const kept = [];
  const gather = (which) => {
    if (kept[which]) return kept[which];
    const from = 2 * counts.slice(0, which).reduce((a, b) => a + b, 0);
    const mine = which === own ? model.get("points").flat() : centres.subarray(from, from + 2 * counts[which]);
    if (!mine.length) return {};
    const found = blobs(mine, deviations[which], bar), points = draws(found, keyed(0, 3));
    // The average distance of two data sets, which is above 0 because finite sets differ.
    const made = { data: found, real: points, cloud: scatter(points, "h0"), fresh: (2 * apart(points, draws(found, keyed(1, 3)))) / POINTS };
    if (which !== own) kept[which] = made;
    return made;
  };

  const scatter = (points, mark) => {
    let text = "";
    for (let i = 0; i < points.length; i += 2) {
      const [x, y] = [points[i], points[i + 1]];
      if (Math.abs(x) < REACH && Math.abs(y) < REACH) text += `M${left.spot(x, y)}${mark}`;
    }
    return text;
  };

  // In the direction of the score, opposite to the noise. An arrow is a quarter of the noise, but at most 0.5 long.
  const grid = Float64Array.from({ length: 242 }, (_, i) => 0.54 * ((i % 2 ? Math.floor(i / 22) : (i >> 1) % 11) - 5));
  const along = (u, v) => [u, v].map((value) => -value * Math.min(0.25, 0.5 / Math.hypot(u, v)));
  // What is exact at a time, kept for the time last asked for.
  const keep = (make) => {
    const known = new WeakMap();
    return (its, t, ...more) => {
      if (known.get(its)?.t !== t) known.set(its, { t, made: make(its, t, ...more) });
      return known.get(its).made;
    };
  };
  const wedges = keep((its, t) => {
    let needle = "";
    for (let i = 0; i < grid.length; i += 2) {
      const x = grid[i], y = grid[i + 1], [p, q] = along(...its.exact(x, y, t)), wide = 0.07 / (Math.hypot(p, q) || 1);
      needle += `M${right.spot(x + p, y + q)}L${right.spot(x - wide * q, y + wide * p)}L${right.spot(x + wide * q, y - wide * p)}Z`;
    }
    return needle;
  });
  const truth = keep((its, t, points) => {
    const { noised } = closed(bar[t]), x = points.map((value, i) => noised(value, shake[i])), z = new Float64Array(x.length);
    for (let i = 0; i < x.length; i += 2) z.set(its.exact(x[i], x[i + 1], t), i);
    return { x, z };
  });
  const draft = (guess) => {
    let line = "";
    for (let i = 0; i < grid.length; i += 2) {
      const x = grid[i], y = grid[i + 1], [u, v] = along(guess[i], guess[i + 1]);
      line += `M${right.spot(x, y)}L${right.spot(x + u, y + v)}`;
    }
    return line;
  };
  const none = draft(grid.map(() => 0)); // a network that has not begun returns 0
  const arrows = (t) => {
    kit.put(needles, "d", wedges(data, t));
    kit.put(lines, "d", student ? draft(student.ask(grid, t)) : none);
  };
  // The difference of learnt and exact z, at points of this time.
  const compare = (t) => {
    const { x, z } = truth(data, t, real), answer = student?.ask(x, t);
    return kit.number(Math.sqrt(mean(z.map((value, i) => ((answer?.[i] ?? 0) - value) ** 2))), 3);
  };

  const paint = () => {
    const placing = model.get("data") === own, [x, y] = cross;
    kit.put(aim, "d", placing ? `M${left.spot(x - 0.2, y)}L${left.spot(x + 0.2, y)}M${left.spot(x, y - 0.2)}L${left.spot(x, y + 0.2)}` : "");
    pad.tabIndex = placing ? 0 : -1;
    kit.put(dots, "d", data ? cloud : "");
    kit.put(crosses, "d", drawn ? scatter(drawn, "m-2.5-2.5l5 5m0-5l-5 5") : "");
    const ends = Array.from({ length: Math.ceil(losses.length / 25) }, (_, i) => Math.min(25 * i + 25, losses.length));
    learnt(ends, ends.map((end, i) => mean(losses.slice(25 * i, end))));
    exact(least ? [0, STEPS] : [], [least, least]);
    const samples = drawn ? `, and samples at a distance of ${off()}` : "";
    left.say(`The data${samples}. ${placing ? model.get("points").length + " points placed." : ""}`);
    curve.say(`The loss up to step ${losses.length}: ${loss()}.`);
  };
  const point = () => {
    if (data) arrows(model.get("t"));
    else [needles, lines].forEach((one) => one.setAttribute("d", ""));
    gap = null; // measured with the other numbers
  };
  const draw = (all = true) => {
    painted = performance.now();
    // With reduced motion the numbers are updated while it runs, and the plots only at the end.
    if (!task || !calm.matches) {
      if (all) paint();
      point();
    }
    facts.write(() => {
      const t = model.get("t");
      if (!gap) {
        gap = data ? compare(t) : NONE;
        right.say(`Learnt and exact arrows at time ${t}; they differ by ${gap}.`);
      }
      return [
        ["step:", String(losses.length)],
        ["loss, last 250 steps:", loss()],
        ["loss of the exact z:", least ? kit.number(least, 3) : NONE],
        [`difference of the arrows at t = ${t}:`, gap],
        ["distance of the samples from the data:", off()],
        ["distance of new data from the data:", data ? kit.number(fresh, 2) : NONE],
      ];
    });
  };

  // The reader's own points, placed by pointer or keyboard.
  const put = (points) => {
    model.set("points", points);
    model.save_changes();
  };
  const add = () => {
    const points = model.get("points");
    if (points.length >= MOST) return say(`At most ${MOST} points.`);
    put([...points, cross]);
    say(`Point ${points.length + 1} at ${cross.map((value) => kit.number(value, 2)).join(", ")}.`);
  };
  const limited = (value) => Math.round(20 * Math.min(2.5, Math.max(-2.5, value))) / 20;
  const clicked = (event) => {
    if (model.get("data") !== own) return;
    const box = left.svg.getBoundingClientRect(), scale = 360 / box.width, width = left.px(REACH) - left.px(-REACH);
    const across = ((event.clientX - box.left) * scale - left.px(0)) / width, up = (left.py(0) - (event.clientY - box.top) * scale) / (left.py(-REACH) - left.py(REACH));
    cross = [across, up].map((share) => limited(2 * REACH * share));
    add();
  };
  const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  const pressed = (event) => {
    if (model.get("data") !== own) return;
    const move = MOVES[event.key];
    if (move) {
      cross = cross.map((value, axis) => limited(value + 0.1 * move[axis]));
      say(`Cross at ${cross.map((value) => kit.number(value, 2)).join(", ")}.`);
      draw();
    } else if (event.key === "Enter" || event.key === " ") add();
    else if (event.key === "Backspace" || event.key === "Delete") put(model.get("points").slice(0, -1));
    else return;
    event.preventDefault();
  };
  const pad = kit.el(
    "div",
    {
      class: "dw-pad", role: "application", "data-lm-suppress-shortcuts": "true", onclick: clicked, onkeydown: pressed,
      "aria-label": "Place points: the arrow keys move the cross, Enter places a point, Backspace removes the last one",
    },
    left.svg,
  );

  const button = kit.el("button", { type: "button", onclick: toggled }, "Start");
  kit.stage(
    place,
    "Train a small network",
    kit.row(
      kit.el("div", { class: "dw-control" }, button, kit.el("button", { type: "button", onclick: () => reset() }, "Reset")),
      kit.choice(model, "data", { label: "data", options: ["ring", "spiral", "mixture of five", "your own points"] }),
      kit.slider(model, "seed", { label: "seed", min: 0, max: 99 }),
      kit.choice(model, "way", { label: "sampler", options: [`DDIM, ${QUICK} steps`, `Algorithm 2, ${T} steps`] }),
    ),
    status,
    kit.row(pad, kit.el("div", { class: "dw-pad" }, right.svg)),
    kit.legend([["dw-1", "data (dots)"], ["dw-2", "samples (crosses), learnt arrows (lines), loss"], ["dw-3", "exact arrows (wedges), loss of the exact z (dashed)"]]),
    kit.row(kit.slider(model, "t", { label: "arrows at time t", min: 1, max: T })),
    kit.row(curve.svg, facts),
  );
  for (const trait of ["data", "seed", "points"]) model.on(`change:${trait}`, () => reset(trait !== "seed"));
  model.on("change:way", () => {
    if (!running && losses.length) go(look(model.get("way")), () => "Samples drawn.");
  });
  model.signal.addEventListener("abort", () => clearTimeout(timer));
  reset(true);
  kit.follow(model, ["t"], () => draw(false));
  counts.forEach((_, which) => window.requestIdleCallback?.(() => {
    const { data: one, real: points } = gather(which);
    wedges(one, model.get("t"));
    truth(one, model.get("t"), points);
  }));
});
