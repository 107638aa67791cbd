// Points of a mixture of isotropic Gaussians: forward by the closed form, back by Algorithm 2 with the exact z.
import * as kit from "./shared/kit.js";
import { closed, ddpm, fresh, mixture, schedule, stream, walk } from "./shared/science.js";

export default kit.widget(({ model, el: place }) => {
  const T = model.get("T"), n = 2 * model.get("points"), K = model.get("K");
  const way = schedule(kit.numbers(model, "beta", Float32Array, T + 1)), bar = way.alphaBar;
  // of each component: x, y, standard deviation, weight
  const blobs = kit.numbers(model, "blobs", Float32Array, 4 * K);
  const x0 = kit.numbers(model, "x_0", Float32Array, n);
  const z = kit.numbers(model, "noise", Int16Array, n, 1 / 4096);

  const uniform = stream(Math.imul(kit.within(model, "seed", 0, 1e6) + 1, 0x9e3779b9));
  const oracle = mixture(bar, blobs);

  const jump = (t) => {
    const { noised } = closed(bar[t]);
    return x0.map((value, i) => noised(value, z[i]));
  };
  // A point's mark says in which component it is at time 0, from where it starts or where it ends.
  const marks = ["h0", "m-2 0h4", "m0-2v4"], group = (x) => x.map((v, i) => oracle.pull(v, x[i + 1], 0)[2] % 3), origins = group(x0);
  // All states of sampling (alg-sampling), computed when they are first needed.
  let made, ends;
  const walked = () => {
    const states = new Float32Array(n * (T + 1)), z_hat = new Float64Array(n);
    const exact = (x, t) => {
      for (let i = 0; i < n; i += 2) z_hat.set(oracle.z(x[i], x[i + 1], t), i);
      return z_hat;
    };
    for (const { t, x } of walk(exact, way, jump(T), fresh(uniform, n), ddpm, { clip: false })) states.set(x, n * t);
    return states;
  };

  const plot = kit.plot({ x: [-3.5, 3.5], y: [-3.5, 3.5], xlabel: "first coordinate", ylabel: "second coordinate", label: "", height: 350 });
  const dots = plot.add("path", "dw-line dw-dot dw-1"), needles = plot.add("path", "dw-marker dw-2");
  const ring = plot.marker("dw-4 dw-ring");
  const keys = kit.legend([["dw-1", "points (mark: group)"], ["dw-4", "one point"], ["dw-2", "score"]]);
  const facts = kit.facts(), { spot } = plot;

  // Arrows along the score, the longest of them one grid spacing long. Returns its true length.
  const field = (t) => {
    const grid = Array.from({ length: 121 }, (_, i) => {
      const x = 0.6 * (i % 11) - 3, y = 0.6 * ((i - (i % 11)) / 11) - 3;
      return [x, y, ...oracle.pull(x, y, t)];
    });
    const longest = Math.max(...grid.map(([, , a, b]) => Math.hypot(a, b)));
    const needle = (/** @type {number[]} */ [x, y, a, b]) => {
      const p = (-0.58 / longest) * a, q = (-0.58 / longest) * b;
      return `M${spot(x + p, y + q)}L${spot(x - q / 8, y + p / 8)}L${spot(x + q / 8, y - p / 8)}Z`;
    };
    needles.setAttribute("d", grid.map(needle).join(""));
    return longest;
  };

  const draw = () => {
    const t = model.get("t"), back = model.get("direction"), arrows = model.get("arrows");
    if (back) ends ??= group((made = walked()).subarray(0, n));
    const x = back ? made.subarray(n * t, n * (t + 1)) : jump(t), groups = back ? ends : origins;
    const counts = new Float64Array(K);
    let text = "", right = 0, up = 0, squares = 0;
    for (let i = 0; i < n; i += 2) {
      const a = x[i], b = x[i + 1];
      text += `M${spot(a, b)}${marks[groups[i]]}`;
      counts[oracle.pull(a, b, t)[2]]++;
      right += (2 * a) / n;
      up += (2 * b) / n;
      squares += (a ** 2 + b ** 2) / n;
    }
    dots.setAttribute("d", text);
    ring(x[0], x[1]);
    const { signal, spread } = closed(bar[t]);
    const pairs = [
      ["weights of x₀ and noise:", `${kit.number(signal)}, ${kit.number(spread)}`],
      ["mean of the points:", `${kit.number(right, 3)}, ${kit.number(up, 3)}`],
      ["standard deviation:", kit.number(Math.sqrt(squares - (right ** 2 + up ** 2) / 2), 3)],
      ["points by component:", counts.join(", ")],
    ];
    keys.lastChild.hidden = !arrows;
    if (arrows) pairs.push(["longest arrow, a score of", kit.number(field(t), 3)]);
    else needles.setAttribute("d", "");
    facts.write(pairs);
    plot.say(`Points at time ${t}.`);
  };

  const players = [0, T].map((first) => kit.player(model, "t", { first, last: T - first, by: Math.ceil(T / 200) }));
  const hold = kit.el("div");
  const more = [
    kit.choice(model, "direction", { label: "direction", options: ["forward", "back"] }),
    kit.toggle(model, "arrows", { label: "arrows: the score" }),
  ];
  for (const control of more) control.hidden = kit.within(model, "simple", 0, 1);
  kit.stage(
    place,
    "A cloud of points",
    kit.row(
      kit.slider(model, "t", { label: "time t", min: 0, max: T }),
      hold,
      ...more,
    ),
    plot.svg,
    keys,
    facts,
  );
  const turn = () => hold.replaceChildren(players[model.get("direction")]);
  model.on("change:direction", turn);
  turn();
  kit.follow(model, ["t", "direction", "arrows"], draw);
});
