// A particle of two blobs: the curve of the flow, and a few straight steps along the average slope.
import * as kit from "../shared/kit.js";

export default kit.widget(({ model, el: place }) => {
  const first = kit.within(model, "first", 0, 1, false);
  const [means, stds, shares] = ["means", "stds", "shares"].map((name) => {
    const pair = model.get(name);
    if (!Array.isArray(pair) || pair.length !== 2 || !pair.every(Number.isFinite)) throw new Error(`${name}: expected two numbers`);
    return pair;
  });
  // The mean of z - x_0 over all pairs whose line passes through m (eq-marginal-slope): regression within a blob, Bayes' rule.
  const slope = (m, tau) => {
    let sum = 0, total = 0;
    means.forEach((mean, k) => {
      const a = 1 - tau, wide = (a * stds[k]) ** 2 + tau * tau, off = m - a * mean;
      const weight = (shares[k] * Math.exp((-off * off) / wide / 2)) / Math.sqrt(wide);
      total += weight;
      sum += weight * (((tau - a * stds[k] ** 2) / wide) * off - mean);
    });
    return sum / total;
  };
  // Steps down to 0 along `slope`, as [tau, m], and the end; each is drawn in parts, as it is straight only in the first plot.
  const walk = (n, parts, along = (m, tau, _) => slope(m, tau)) => {
    let m = model.get("start");
    const path = [[first, m]], leap = first / n;
    for (let k = n; k > 0; k--) {
      const u = along(m, leap * k, leap);
      for (let j = 1; j <= parts; j++) path.push([leap * (k - j / parts), m - (leap * u * j) / parts]);
      m -= leap * u;
    }
    return { path, m };
  };
  // The flow itself by a hundred steps of Runge and Kutta of the fourth order, which miss its end by less than is shown.
  const curved = (m, tau, leap) => {
    const half = leap / 2, a = slope(m, tau), b = slope(m - half * a, tau - half);
    const c = slope(m - half * b, tau - half), d = slope(m - leap * c, tau - leap);
    return (a + 2 * b + 2 * c + d) / 6;
  };
  /** @type {ReturnType<typeof walk> | undefined} */
  let flow; // the same for any number of steps
  // The same place on the circle of x_t, over its angle.
  const turned = (/** @type {number[]} */ [tau, m]) => [Math.atan2(tau, 1 - tau), m / Math.hypot(tau, 1 - tau)];
  const y = [-2.5, 2.5];
  const plots = [
    kit.plot({ x: [0, 1], y, xlabel: "flow time τ", ylabel: "straight mix m", label: "" }),
    kit.plot({ x: [0, 1.6], y, xlabel: "angle λ", ylabel: "xₜ", label: "" }),
  ];
  const lines = plots.map((plot) => ["dw-1", "dw-2"].map((kind) => plot.line(kind)));
  const ends = plots.map((plot) => plot.marker("dw-2")), facts = kit.facts();

  const draw = () => {
    const start = kit.within(model, "start", -2, 2, false), known = flow?.path[0][1] === start;
    flow = known && flow ? flow : walk(100, 1, curved);
    const n = kit.within(model, "steps", 1, 40), walks = [flow, walk(n, Math.ceil(80 / n))];
    walks.forEach(({ path }, j) => {
      if (known && !j) return;
      [path, path.map(turned)].forEach((seen, i) => lines[i][j](seen.map(([x]) => x), seen.map(([, v]) => v)));
    });
    const [end, there] = walks.map(({ m }) => m);
    for (const put of ends) put(0, there); // both clocks and both scales begin with the data
    facts.write([
      ["end of the flow:", kit.number(end, 3)],
      [`end of ${n} ${n > 1 ? "steps" : "step"}:`, kit.number(there, 3)],
      ["apart:", kit.number(Math.abs(end - there), 2)],
    ]);
    const words = `the flow ends at ${kit.number(end, 3)}, ${n} straight steps at ${kit.number(there, 3)}`;
    plots[0].say(`Over the flow time, ${words}.`);
    plots[1].say(`The same over the angle, where the steps are arcs: ${words}.`);
  };

  kit.stage(
    place,
    "How many straight steps does a curve need?",
    kit.row(
      kit.slider(model, "start", { label: "start", min: -2, max: 2, step: 0.05 }),
      kit.slider(model, "steps", { label: "steps", min: 1, max: 40 }),
    ),
    kit.row(...plots.map((plot) => plot.svg)),
    kit.legend([["dw-1", "the flow"], ["dw-2", "straight steps"]]),
    facts,
  );
  kit.follow(model, ["start", "steps"], draw);
});
