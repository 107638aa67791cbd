// The mean of a step back, computed from z and through x_0-hat; x_t is fixed.
import * as kit from "./shared/kit.js";
import { clipped, closed, ddpm, schedule } from "./shared/science.js";

export default kit.widget(({ model, el: place }) => {
  const T = model.get("T"), xt = kit.within(model, "x_t", -3, 3, false);
  const way = schedule(kit.numbers(model, "beta", Float32Array, T + 1)), { beta, alphaBar: bar, rest } = way;
  const image = (t, z) => closed(bar[t], rest[t]).image(xt, z);
  const noise = (t, x0) => (xt - Math.sqrt(bar[t]) * x0) / Math.sqrt(rest[t]); // eq-z-from-x0
  const direct = (t, z) => (xt - (beta[t] / Math.sqrt(rest[t])) * z) / Math.sqrt(1 - beta[t]); // eq-mean-from-noise
  const through = (t, x0) => {
    const [weightX, weightImage] = ddpm(way, t);
    return weightX * xt + weightImage * x0;
  };

  // One axis for all t, so that the slope can be seen to change.
  let reach = 0;
  for (let t = 1; t <= T; t++) for (const z of [-3, 3]) reach = Math.max(reach, Math.abs(direct(t, z) - xt));
  const means = kit.plot({ x: [-3, 3], y: [xt - reach, xt + reach], xlabel: "estimate of z", ylabel: "mean", label: "" });
  const images = kit.plot({ x: [-3, 3], y: [-3, 3], xlabel: "estimate of z", ylabel: "x̂₀", label: "" });
  const lines = [images.line("dw-2"), means.line("dw-1"), means.line("dw-2 dw-dash")];
  const at = [images.marker("dw-2"), means.marker("dw-1"), means.marker("dw-2 dw-ring")];
  means.svg.lastChild.setAttribute("r", 9);
  const facts = kit.facts();
  const grid = Array.from({ length: 121 }, (_, i) => i / 120);

  const draw = () => {
    const t = model.get("t"), z = model.get("z_hat"), clip = model.get("clip");
    const kept = (v) => (clip ? clipped(v) : v);
    const functions = [(v) => kept(image(t, v)), (v) => direct(t, v), (v) => through(t, kept(image(t, v)))];
    const values = functions.map((f) => f(z));
    // Where the line of x_0-hat leaves the plot, at 3 and at -3.
    const ends = [3, -3].map((v) => Math.min(3, Math.max(-3, noise(t, v))));
    functions.forEach((f, i) => {
      const [low, high] = i || clip ? [-3, 3] : ends;
      const zs = grid.map((g) => low + g * (high - low));
      lines[i](zs, zs.map(f));
      at[i](z, values[i]);
    });
    const [x0, mean, other] = values, off = Math.abs(mean - other);
    // The derivative at this z, which is 0 where the clipped image does not move.
    const steep = kept(image(t, z)) === image(t, z) ? image(t, 1) - image(t, 0) : 0;
    facts.write([
      ["mean from z:", kit.number(mean)],
      ["x̂₀:", kit.number(x0) + (Math.abs(x0) > 3 ? " (outside the plot)" : "")],
      ["mean through x̂₀:", kit.number(other)],
      ["the two", off < 1e-9 ? "are equal" : `differ by ${kit.number(off, 3)}`],
      ["slopes here: mean from z", kit.number(direct(t, 1) - direct(t, 0), 3)],
      ["x̂₀", kit.number(steep, 3)],
      ["mean through x̂₀", kit.number(steep * ddpm(way, t)[1], 3)],
    ]);
    images.say(`The estimate x̂₀ over the estimate of z at time ${t}: now ${kit.number(x0, 3)}.`);
    means.say(`The mean over the estimate of z: from z a dot at ${kit.number(mean)}, through x̂₀ a ring at ${kit.number(other)}.`);
  };

  kit.stage(
    place,
    "The mean of a step back, two ways",
    kit.row(
      kit.slider(model, "z_hat", { label: "estimate of z", min: -3, max: 3, step: 0.05 }),
      kit.slider(model, "t", { label: "time t", min: 1, max: T }),
      kit.toggle(model, "clip", { label: "clip x̂₀ to [−1, 1]" }),
    ),
    kit.row(images.svg, means.svg),
    kit.legend([
      ["dw-1", "mean from z (line, dot)"],
      ["dw-2", "x̂₀, and mean through x̂₀ (dashes, ring)"],
    ]),
    facts,
  );
  kit.follow(model, ["z_hat", "t", "clip"], draw);
});
