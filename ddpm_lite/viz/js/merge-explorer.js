// Two noise steps, 0 to s and s to t, compared with one jump from 0 to t: histograms of the same number of points.
import * as kit from "./shared/kit.js";
import { alphaBar, closed, density, histogram, moments } from "./shared/science.js";

export default kit.widget(({ model, el: place }) => {
  const T = model.get("T"), n = model.get("points");
  const bar = alphaBar(kit.numbers(model, "beta", Float32Array, T + 1));
  const z = kit.numbers(model, "noise", Int16Array, 3 * n, 1 / 4096);
  const plot = kit.plot({ x: [-4, 4], y: [0, 1.2], xlabel: "value at time t", ylabel: "density, peak of formula = 1", label: "" });
  const kinds = ["dw-1", "dw-2"].map((kind) => plot.bars(kind));
  const curve = plot.line("dw-exact");
  const facts = kit.facts();

  const us = Array.from({ length: 161 }, (_, i) => i / 16 - 5), bell = us.map((u) => density(u) / density(0));
  const two = new Float64Array(n), one = new Float64Array(n);
  const spelt = ([mean, deviation]) => `mean ${kit.number(mean, 3)}, deviation ${kit.number(deviation, 3)}`;

  const draw = () => {
    const t = model.get("t"), s = model.get("s");
    if (s >= t) {
      model.set("s", t - 1);
      model.save_changes();
      return;
    }
    const start = model.get("x_0"), first = closed(bar[s]), second = closed(bar[t] / bar[s]), whole = closed(bar[t]);
    for (let i = 0; i < n; i++) {
      two[i] = second.noised(first.noised(start, z[i]), z[n + i]);
      one[i] = whole.noised(start, z[2 * n + i]);
    }
    const { spread } = whole, mean = whole.noised(start, 0);
    kinds[0](...histogram(two, mean, spread));
    kinds[1](...histogram(one, mean, spread));
    curve(us.map((u) => mean + u * spread), bell);
    facts.write([["Two steps:", spelt(moments(two))], ["One jump:", spelt(moments(one))], ["Formula:", spelt([mean, spread])]]);
    plot.say(`Histograms of ${n} points at time ${t}: two steps via ${s}, and one jump, around ${kit.number(mean, 3)}.`);
  };

  kit.stage(
    place,
    "Two noise steps and one jump",
    kit.row(
      kit.slider(model, "x_0", { label: "start x₀", min: -1, max: 1, step: 0.05 }),
      kit.slider(model, "s", { label: "stop at s", min: 0, max: T - 1 }),
      kit.slider(model, "t", { label: "end at t", min: 1, max: T }),
    ),
    plot.svg,
    kit.legend([["dw-1", "two steps"], ["dw-2", "one jump"], ["dw-exact", "formula"]]),
    facts,
  );
  kit.follow(model, ["x_0", "s", "t"], draw);
});
