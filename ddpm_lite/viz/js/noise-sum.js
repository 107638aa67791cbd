// Points mu + sigma z + tau z', whose z and z' stay while the parameters move (eq-reparameterisation, eq-sum-normal).
import * as kit from "./shared/kit.js";
import { density, histogram, moments } from "./shared/science.js";

export default kit.widget(({ model, el: place }) => {
  const n = kit.within(model, "points", 10, 5000), z = kit.numbers(model, "noise", Int16Array, 2 * n, 1 / 4096);
  const plot = kit.plot({ x: [-6, 6], y: [0, 1.2], xlabel: "x = μ + σ z + τ z′", ylabel: "density, peak of formula = 1", label: "" });
  const bars = plot.bars("dw-1"), curve = plot.line("dw-exact"), dot = plot.marker("dw-4");
  const facts = kit.facts();
  const us = Array.from({ length: 161 }, (_, i) => i / 16 - 5), bell = us.map((u) => density(u) / density(0)), x = new Float64Array(n);
  const spelt = (mean, deviation) => `mean ${kit.number(mean, 3)}, deviation ${kit.number(deviation, 3)}`;

  const draw = () => {
    const [mu, sigma, tau, same] = ["mu", "sigma", "tau", "same"].map((name) => model.get(name));
    for (let i = 0; i < n; i++) x[i] = mu + sigma * z[i] + tau * z[same ? i : n + i];
    const seen = spelt(...moments(x)), deviation = same ? sigma + tau : Math.hypot(sigma, tau);
    bars(...histogram(x, mu, deviation));
    curve(us.map((u) => mu + u * deviation), bell);
    dot(x[0], 0);
    facts.write([
      ["the points:", seen],
      [same ? "formula, σ + τ:" : "formula, √(σ² + τ²):", spelt(mu, deviation)],
      ["marked point: z, z′", `${kit.number(z[0], 3)}, ${kit.number(same ? z[0] : z[n], 3)}`],
      ["its x:", kit.number(x[0], 3)],
    ]);
    plot.say(`Histogram of ${n} points: ${seen}; the marked one is at ${kit.number(x[0], 3)}.`);
  };

  const part = (name, label, min) => kit.slider(model, name, { label, min, max: 2, step: 0.05 });
  kit.stage(
    place,
    "What do two noises make together?",
    kit.row(
      part("mu", "mean μ", -2),
      part("sigma", "deviation σ", 0.1),
      part("tau", "deviation τ", 0),
      kit.toggle(model, "same", { label: "the same noise twice, z′ = z" }),
    ),
    plot.svg,
    kit.legend([["dw-1", "points"], ["dw-exact", "formula"], ["dw-4", "marked point"]]),
    facts,
  );
  kit.follow(model, ["mu", "sigma", "tau", "same"], draw);
});
