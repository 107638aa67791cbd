// The pairs whose lines pass through one place, the mean of their slopes, and the path of the particle there.
import * as kit from "../shared/kit.js";

const COUNT = 20, GRID = Array.from({ length: 601 }, (_, i) => -1.4 + (2.4 * i) / 600);

export default kit.widget(({ model, el: place }) => {
  const [means, stds, shares] = ["means", "stds", "shares"].map((name) => {
    const pair = model.get(name);
    if (!Array.isArray(pair) || pair.length !== 2 || !pair.every(Number.isFinite)) throw new Error(`${name}: expected two numbers`);
    return pair;
  });
  // What each blob has at a place: how likely it is there, and the mean of its images (regression within a blob, Bayes' rule).
  const blobs = (/** @type {number} */ m, /** @type {number} */ tau) => {
    const a = 1 - tau, found = means.map((mean, k) => {
      const wide = (a * stds[k]) ** 2 + tau * tau, off = m - a * mean;
      const likely = (shares[k] * Math.exp((-off * off) / wide / 2)) / Math.sqrt(wide);
      // The slope by regression and not by (m - image) / tau, which fails at tau = 0.
      return { likely, slope: ((tau - a * stds[k] ** 2) / wide) * off - mean };
    });
    const total = found[0].likely + found[1].likely;
    return { left: found[0].likely / total, U: found.reduce((sum, each) => sum + each.likely * each.slope, 0) / total };
  };
  const U = (/** @type {number} */ m, /** @type {number} */ tau) => blobs(m, tau).U;
  // From the place to `end` in 60 steps of Runge and Kutta of the fourth order, as [tau, m].
  const walk = (/** @type {number} */ m, /** @type {number} */ tau, /** @type {number} */ end) => {
    const path = [[tau, m]], h = (end - tau) / 60;
    for (let k = 0; k < 60; k++, tau += h) {
      const a = U(m, tau), b = U(m + (h * a) / 2, tau + h / 2), c = U(m + (h * b) / 2, tau + h / 2), d = U(m + h * c, tau + h);
      path.push([tau + h, (m += (h * (a + 2 * b + 2 * c + d)) / 6)]);
    }
    return path;
  };
  const density = (/** @type {number} */ x) => means.reduce((sum, mean, k) => sum + (shares[k] / stds[k]) * Math.exp(-(((x - mean) / stds[k]) ** 2) / 2), 0);
  const data = GRID.map(density), relative = (/** @type {number[]} */ values) => {
    const top = Math.max(...values);
    return values.map((value) => value / top);
  };
  // The images of equally likely pairs: the density of the images, summed from the left.
  const images = (/** @type {number[]} */ found) => {
    const total = found.reduce((sum, value) => sum + value, 0), wanted = [];
    let below = 0, before = 0;
    found.forEach((value, i) => {
      before = below;
      below += value / total;
      while (wanted.length < COUNT && (wanted.length + 0.5) / COUNT <= below) {
        const part = ((wanted.length + 0.5) / COUNT - before) / (below - before);
        wanted.push(GRID[i] - (i ? (1 - part) * (GRID[1] - GRID[0]) : 0));
      }
    });
    return wanted;
  };
  const lines = kit.plot({ x: [0, 1], y: [-1.6, 1.6], xlabel: "flow time τ", ylabel: "place m", label: "" });
  const pairs = Array.from({ length: COUNT }, () => lines.line("dw-1 dw-thin"));
  const path = lines.line("dw-3"), mean = lines.line("dw-2"), here = lines.marker("dw-2");
  const sight = kit.plot({ x: [GRID[0], GRID[600]], y: [0, 1.1], xlabel: "image", ylabel: "relative density", label: "" });
  const known = sight.line("dw-4 dw-dash"), found = sight.line("dw-1"), aim = sight.line("dw-2"), facts = kit.facts();
  known(GRID, relative(data));

  const draw = () => {
    const m = kit.within(model, "m", -1.5, 1.5, false), tau = kit.within(model, "tau", 0.05, 0.95, false);
    const { left, U: u } = blobs(m, tau);
    const given = data.map((value, i) => value * Math.exp(-(((m - (1 - tau) * GRID[i]) / tau) ** 2) / 2));
    const ends = images(given), slopes = ends.map((x) => (m - x) / tau), image = m - tau * u;
    const across = (/** @type {number} */ slope) => [m - tau * slope, m + (1 - tau) * slope];
    slopes.forEach((slope, i) => pairs[i]([0, 1], across(slope)));
    mean([0, 1], across(u));
    const whole = [...walk(m, tau, 0).reverse(), ...walk(m, tau, 1)];
    path(whole.map(([x]) => x), whole.map(([, y]) => y));
    here(tau, m);
    found(GRID, relative(given));
    aim([image, image], [0, 1.1]);
    const share = `${Math.round(100 * left)} %`, words = kit.number(u, 3);
    facts.write([
      ["mean slope U:", words],
      ["slopes of the lines:", `${kit.number(slopes[COUNT - 1], 3)} to ${kit.number(slopes[0], 3)}`],
      ["from the left blob:", share],
      ["end of the mean's line:", kit.number(image, 3)],
      ["end of the path:", kit.number(whole[0][1], 3)],
    ]);
    lines.say(`Twenty pairs through the place ${kit.number(m)} at the flow time ${kit.number(tau)}: ${share} come from the left blob. The mean slope is ${words}.`);
    sight.say(`Their images beside all data: the mean of the images is ${kit.number(image, 3)}.`);
  };

  kit.stage(
    place,
    "Which slope should a particle take?",
    kit.row(
      kit.slider(model, "tau", { label: "flow time", min: 0.05, max: 0.95, step: 0.01 }),
      kit.slider(model, "m", { label: "place", min: -1.5, max: 1.5, step: 0.05 }),
    ),
    kit.row(lines.svg, sight.svg),
    kit.legend([["dw-1", "pairs, and their images"], ["dw-2", "mean slope, and mean image"], ["dw-3", "path of the particle"], ["dw-4 dw-dash", "all images"]]),
    facts,
  );
  kit.follow(model, ["m", "tau"], draw);
});
