// The path from one start to its end, step by step: the straight guess, Euler's method and Heun's (eq-flow, eq-ddim-euler).
import * as kit from "../shared/kit.js";
import { closed, linear, mixture, respace, schedule } from "../shared/science.js";

const REACH = 1.5, METHODS = ["Euler", "Heun"];

export default kit.widget(({ model, el: place }) => {
  const T = kit.within(model, "T", 2, 10000), full = schedule(linear(T, model.get("ends")));
  const oracle = mixture(full.alphaBar, kit.numbers(model, "blobs", Float32Array, 8));
  // The components lie on the first axis, and so does the point.
  const ask = (x, t) => oracle.z(x, 0, t)[0];
  // The times of a number of steps, and the closed form at each, computed once
  const tabled = ({ times, alphaBar, rest }) => ({ times, at: times.map((_, k) => closed(alphaBar[k], rest[k])) });
  const ways = new Map(), whole = tabled(full);
  const chosen = (steps) => ways.get(steps) ?? (ways.set(steps, tabled(respace(full, steps))), ways.get(steps));
  const guess = (x, t) => whole.at[t].image(x, ask(x, t));

  // Places of a walk with the times and the number of questions to the oracle; `heun` averages the noise of both ends.
  const walk = (steps, heun, x) => {
    const { times, at } = chosen(steps), points = [{ t: T, x, asked: 0, landed: /** @type {number | null} */ (null) }];
    for (let k = steps, asked = 0; k > 0; k--) {
      const leap = (z) => at[k - 1].noised(at[k].image(x, z), z), z = ask(x, times[k]), again = heun && k > 1;
      /** @type {number | null} */
      const landed = again ? leap(z) : null;
      x = landed === null ? leap(z) : leap((z + ask(landed, times[k - 1])) / 2);
      asked += again ? 2 : 1;
      points.push({ t: times[k - 1], x, asked, landed });
    }
    return points;
  };
  // Share of the noise, and x_t over the sum of both weights: in this scale Euler's steps are straight lines.
  const spot = ({ t, x }) => {
    const { signal, spread } = whole.at[t];
    return [spread / (signal + spread), x / (signal + spread)];
  };

  const plot = kit.plot({ x: [1, 0], y: [-REACH, REACH], xlabel: "share of noise, from x_T to x₀", ylabel: "x_t in this scale", label: "", height: 260 });
  const draws = Object.entries({ exact: "dw-exact", walked: "dw-2", straight: "dw-1 dw-dash", second: "dw-4 dw-dots" });
  const lines = Object.fromEntries(draws.map(([name, kind]) => [name, plot.line(kind)]));
  const steps = plot.svg.appendChild(kit.el("path", { class: "dw-line dw-dot dw-2", style: "stroke-opacity: 1" })), here = plot.marker("dw-2"), facts = kit.facts();
  const show = (name, points) => lines[name](...[0, 1].map((axis) => points.map((point) => spot(point)[axis])));
  const last = (points) => points[points.length - 1];
  // The path of the ODE, which only the start changes
  let exact = walk(T, true, 0);

  const draw = () => {
    const n = kit.within(model, "steps", 1, 20), heun = kit.within(model, "method", 0, 1), start = kit.within(model, "x_T", -REACH, REACH, false);
    const taken = kit.within(model, "taken", 0, 20);
    if (taken > n) {
      model.set("taken", n);
      model.save_changes();
      return;
    }
    if (exact[0].x !== start) exact = walk(T, true, start);
    const all = walk(n, heun, start), points = all.slice(0, taken + 1), now = last(points), end = last(exact).x;
    const next = all[taken + 1], estimate = now.t ? guess(now.x, now.t) : now.x;
    show("exact", exact.filter((_, i) => i % 10 === 0));
    show("walked", points);
    show("straight", now.t ? [now, { t: 0, x: estimate }] : []);
    // Heun's second question is put where Euler's step would land.
    const landing = next && next.landed !== null ? { t: next.t, x: next.landed } : null;
    show("second", landing ? [landing, { t: 0, x: guess(landing.x, landing.t) }] : []);
    kit.put(steps, "d", points.map((point) => spot(point)).map(([x, y]) => `M${plot.spot(x, y)}h0.1`).join(""));
    here(...spot(now));
    const done = taken === n, off = done ? kit.number(Math.abs(now.x - end), 3) : "";
    facts.write([
      ["Steps:", `${taken} of ${n}, at t = ${now.t}`],
      ["Noises asked for:", String(now.asked)],
      ["Straight guess of x₀ from here:", kit.number(estimate, 3)],
      ["End of the ODE's path:", kit.number(end, 3)],
      [`End by ${METHODS[heun]}'s method:`, done ? `${kit.number(now.x, 3)}, off by ${off}` : "not there yet"],
    ]);
    for (const [one, useless] of [[forward, done], [back, !taken], [restart, !taken]]) one.setAttribute("aria-disabled", useless);
    plot.say(`The path of the ODE from ${kit.number(start)} to ${kit.number(end, 3)}, and ${taken} of ${n} steps of ${METHODS[heun]}'s method; straight guess ${kit.number(estimate, 3)}.`);
  };

  const go = (step) => {
    model.set("taken", Math.min(model.get("steps"), Math.max(0, model.get("taken") + step)));
    model.save_changes();
  };
  const button = (words, step) => kit.el("button", { type: "button", onclick: () => go(step) }, words);
  const forward = button("Take a step", 1), back = button("Step back", -1), restart = button("Start again", -20);
  kit.stage(
    place,
    "How far from the curve do straight steps end?",
    kit.row(
      kit.slider(model, "x_T", { label: "start x_T", min: -REACH, max: REACH, step: 0.05 }),
      kit.slider(model, "steps", { label: "steps", min: 1, max: 20 }),
      kit.choice(model, "method", { label: "method", options: METHODS.map((name) => `${name}'s`) }),
      kit.el("div", { class: "dw-control" }, forward, back, restart),
    ),
    plot.svg,
    kit.legend([["dw-exact", "path of the ODE"], ["dw-2", "steps"], ["dw-1", "straight guess"], ["dw-4", "Heun's second guess"]]),
    facts,
  );
  kit.follow(model, ["x_T", "steps", "method", "taken"], draw);
});
