// Bayes' rule for one pixel: what x_0 says about x_{t-1} (prior), what x_t says (likelihood), and both (posterior).
import * as kit from "./shared/kit.js";
import { alphaBar, closed, density, product } from "./shared/science.js";

export default kit.widget(({ model, el: place }) => {
  const T = model.get("T");
  const beta = kit.numbers(model, "beta", Float32Array, T + 1);
  const bar = alphaBar(beta);
  const plot = kit.plot({ x: [-1, 1], y: [0, 1], xlabel: "value at t − 1", ylabel: "density, peak of posterior = 1", label: "" });
  const shares = Array.from({ length: 61 }, (_, i) => i / 60); // of the width of a bell
  const ticks = [...plot.svg.querySelectorAll("text")].slice(0, 3);
  const lines = ["dw-1 dw-dash", "dw-2 dw-dots", "dw-3", "dw-4 dw-dash"].map(plot.line);
  const keys = kit.legend([
    ["dw-1", "prior (dashed)"],
    ["dw-2", "likelihood (dotted)"],
    ["dw-3", "posterior"],
    ["dw-4", "wrong index (dashed)"],
  ]);
  const facts = kit.facts();

  const spelt = ([mean, variance]) => `mean ${kit.number(mean)}, variance ${kit.number(variance)}`;
  let axis, centre = 0, half = 1;

  const draw = () => {
    const t = model.get("t"), x0 = model.get("x_0");
    /** @typedef {[number, number]} Bell mean and variance */
    /** @type {(s: number) => Bell} */
    const given = (s) => [closed(bar[s]).signal * x0, 1 - bar[s]]; // q(x_s | x_0)
    const alpha = 1 - beta[t], xt = closed(bar[t]).noised(x0, model.get("z"));
    const prior = given(t - 1);
    /** @type {Bell} */
    const likelihood = [xt / Math.sqrt(alpha), beta[t] / alpha];
    const posterior = product(likelihood, prior), wrong = product(likelihood, given(t));
    const shown = [prior, likelihood, posterior];
    if (model.get("wrong_index")) shown.push(wrong);

    keys.lastChild.hidden = !shown[3];

    // The axis rests while x_0 and z are moved, so that the posterior is seen to move, until it comes near an end.
    const all = model.get("view"), [mean, variance] = posterior, asked = `${t} ${all}`;
    if (axis !== asked || Math.abs(mean - centre) > 0.7 * half) {
      axis = asked;
      centre = all ? 0 : mean;
      half = all ? closed(bar[t]).noised(1, 3) : 6 * Math.sqrt(variance);
    }
    ticks.forEach((tick, i) => {
      kit.tell(tick, kit.number(centre + (i - 1) * half, 3));
    });
    lines.forEach((line, i) => {
      if (!shown[i]) return line([], []);
      // Its points are close to each other where the bell is high, which may be a narrow part of the axis.
      const [m, v] = shown[i], [low, high] = [-6, 6].map((n) => Math.min(1, Math.max(-1, (m + n * Math.sqrt(v) - centre) / half)));
      const us = [-1, ...shares.map((share) => low + share * (high - low)), 1];
      line(us, us.map((u) => density(centre + u * half, m, v) / density(0, 0, posterior[1])));
    });
    const pairs = [
      ["xₜ:", kit.number(xt)],
      ["prior:", spelt(prior)],
      ["likelihood:", spelt(likelihood)],
      ["posterior:", `μ̃ₜ = ${kit.number(mean)}, β̃ₜ = ${kit.number(variance)}`],
    ];
    if (shown[3]) {
      const off = Math.abs(wrong[0] - mean) / Math.sqrt(variance);
      pairs.push(
        ["wrong index:", spelt(wrong)],
        ["its variance is too large by", `${kit.number(100 * (wrong[1] / variance - 1), 3)} %`],
        ["its mean is off by", `${kit.number(off, 3)} standard deviations`],
      );
    }
    facts.write(pairs);
    plot.say(
      `Densities of the value at time ${t - 1}. Prior around ${kit.number(prior[0], 3)}, likelihood around ` +
        `${kit.number(likelihood[0], 3)}, posterior between them, around ${kit.number(posterior[0], 3)}, narrower than both.`,
    );
  };

  kit.stage(
    place,
    "Prior, likelihood and posterior of one pixel",
    kit.row(
      kit.slider(model, "x_0", { label: "pixel x₀", min: -1, max: 1, step: 0.01 }),
      kit.slider(model, "z", { label: "noise z in xₜ", min: -3, max: 3, step: 0.1 }),
      kit.slider(model, "t", { label: "time t", min: 2, max: T }),
      kit.player(model, "t", { first: 2, last: T }),
      kit.choice(model, "view", { label: "axis", options: ["around the posterior", "all values"] }),
      kit.toggle(model, "wrong_index", { label: "show the wrong index too" }),
    ),
    plot.svg,
    keys,
    facts,
  );
  kit.follow(model, ["x_0", "z", "t", "view", "wrong_index"], draw);
});
