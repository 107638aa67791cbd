// q(x_s | x_t) for data of two humps, beside the Gaussian with its mean and variance (eq-reverse-average).
import * as kit from "./shared/kit.js";
import { alphaBar, closed, density, product } from "./shared/science.js";

export default kit.widget(({ model, el: place }) => {
  const bar = alphaBar(kit.numbers(model, "beta", Float32Array, 1001));
  const [lengths, centres] = ["lengths", "centres"].map((name) => model.get(name)), std = kit.within(model, "std", 0, 9, false);
  const units = Array.from({ length: 321 }, (_, i) => i / 40 - 4), bell = units.map((u) => density(u));
  const plot = kit.plot({ x: [-4, 4], y: [0, 0.8], xlabel: "value at s, in standard deviations from the mean", ylabel: "density", label: "" });
  const exact = plot.line("dw-exact");
  plot.line("dw-2 dw-dash")(units, bell);
  const facts = kit.facts();
  const length = () => lengths[kit.within(model, "chosen", 0, lengths.length - 1)];

  const draw = () => {
    const t = model.get("t"), xt = model.get("x_t"), s = Math.max(0, t - 1000 / length()), alpha = bar[t] / bar[s];
    /** @type {(i: number, centre: number) => [number, number]} */
    const hump = (i, centre) => [closed(bar[i]).signal * centre, bar[i] * std ** 2 + 1 - bar[i]]; // of q(x_i)
    // Bayes' rule for each hump, which is weighed by how well it explains x_t.
    const parts = centres.map((c) => [density(xt, ...hump(t, c)), ...product([xt / Math.sqrt(alpha), 1 / alpha - 1], hump(s, c))]);
    const whole = parts.reduce((sum, [w]) => sum + w, 0);
    const expect = (f) => parts.reduce((sum, [w, m, v]) => sum + (w / whole) * f(m, v), 0);
    const mean = expect((m) => m), variance = expect((m, v) => v + (m - mean) ** 2), deviation = Math.sqrt(variance);
    const fourth = expect((m, v) => (m - mean) ** 4 + 6 * (m - mean) ** 2 * v + 3 * v * v);
    const ys = units.map((u) => deviation * expect((m, v) => density(mean + u * deviation, m, v)));
    exact(units, ys);
    const missed = `${kit.number(ys.reduce((sum, y, i) => sum + Math.abs(y - bell[i]), 0) / 0.8, 3)} %`;
    const kurtosis = kit.number(fourth / variance ** 2);
    facts.write([
      ["one step:", `${t} back to ${s}`],
      ["mean:", kit.number(mean)],
      ["variance:", kit.number(variance)],
      ["of it, if x₀ were known:", kit.number(((1 - bar[s]) * (1 - alpha)) / (1 - bar[t]))],
      ["kurtosis (Gaussian: 3):", kurtosis],
      ["missed by the Gaussian:", missed],
    ]);
    plot.say(`The exact step back from ${t} to ${s} and the Gaussian of its mean and variance: kurtosis ${kurtosis}, ${missed} missed.`);
  };

  kit.stage(
    place,
    "How many steps make two humps one Gaussian?",
    kit.row(
      kit.slider(model, "chosen", { label: "steps T", min: 0, max: lengths.length - 1, text: () => String(length()) }),
      kit.slider(model, "t", { label: "time t", min: 1, max: 1000 }),
      kit.slider(model, "x_t", { label: "pixel xₜ", min: -2, max: 2, step: 0.05 }),
    ),
    plot.svg,
    kit.legend([["dw-exact", "exact step back"], ["dw-2", "its Gaussian (dashed)"]]),
    facts,
  );
  kit.follow(model, ["chosen", "t", "x_t"], draw);
});
