// Points of a mixture of round blobs: forward by the closed form, back by Algorithm 2 with the exact z.
function render({ model, el: place }) {
  const T = model.get("T"), n = 2 * model.get("points"), K = model.get("K");
  const beta = kit.numbers(model, "beta", Float32Array, T + 1);
  const bar = kit.alphaBar(beta);
  // of each blob: x, y, deviation, weight
  const blobs = kit.numbers(model, "blobs", Float32Array, 4 * K);
  const x0 = kit.numbers(model, "x_0", Float32Array, n);
  const z = kit.numbers(model, "noise", Int16Array, n, 1 / 4096);

  // Number i of a stream of uniform numbers, by a hash: the last lines of MurmurHash3.
  const key = Math.imul(kit.within(model, "seed", 0, 1e6) + 1, 0x9e3779b9);
  const uniform = (i) => {
    let h = (i + key) | 0;
    h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
    return (((h ^ (h >>> 16)) >>> 0) + 0.5) / 2 ** 32;
  };

  // Leaves minus the score in u and v: E[z | x_t] over the weight of the noise (eq-oracle-mixture).
  // Returns the blob that (x, y) most likely comes from.
  const parts = [0, 1, 2].map(() => new Float64Array(K));
  let u, v;
  const pull = (x, y, t) => {
    const [log, dx, dy] = parts;
    let best = 0, sum = 0;
    for (let k = 0; k < K; k++) {
      const blob = 4 * k, variance = bar[t] * blobs[blob + 2] ** 2 + 1 - bar[t];
      dx[k] = (x - Math.sqrt(bar[t]) * blobs[blob]) / variance;
      dy[k] = (y - Math.sqrt(bar[t]) * blobs[blob + 1]) / variance;
      log[k] = Math.log(blobs[blob + 3] / variance) - ((dx[k] ** 2 + dy[k] ** 2) * variance) / 2;
      if (log[k] > log[best]) best = k;
    }
    const top = log[best];
    u = v = 0;
    for (let k = 0; k < K; k++) {
      const share = Math.exp(log[k] - top);
      sum += share;
      u += share * dx[k];
      v += share * dy[k];
    }
    u /= sum;
    v /= sum;
    return best;
  };

  // eq-forward-closed
  const jump = (t) => x0.map((value, i) => Math.sqrt(bar[t]) * value + Math.sqrt(1 - bar[t]) * z[i]);
  // All states of the way back (eq-ddpm-step), made when they are first asked for.
  let walk;
  const walked = () => {
    const states = new Float32Array(n * (T + 1)), x = jump(T);
    for (let t = T; t >= 0; t--) {
      states.set(x, n * t);
      const sigma = Math.sqrt((beta[t] * (1 - bar[t - 1])) / (1 - bar[t])), root = Math.sqrt(1 - beta[t]);
      for (let i = 0; t && i < n; i += 2) {
        pull(x[i], x[i + 1], t);
        const radius = sigma * Math.sqrt(-2 * Math.log(uniform(n * t + i)));
        const angle = 2 * Math.PI * uniform(n * t + i + 1);
        x[i] = (x[i] - beta[t] * u) / root + radius * Math.cos(angle);
        x[i + 1] = (x[i + 1] - beta[t] * v) / root + radius * Math.sin(angle);
      }
    }
    return states;
  };

  const plot = kit.plot({ x: [-3.5, 3.5], y: [-3.5, 3.5], xlabel: "first number", ylabel: "second number", label: "", height: 350 });
  const path = (kind) => plot.svg.appendChild(kit.el("path", { class: kind }));
  const dots = path("dw-line dw-dot dw-1"), needles = path("dw-marker dw-2");
  const ring = plot.marker("dw-4 dw-ring");
  const keys = kit.legend([["dw-1", "points"], ["dw-4", "one marked point"], ["dw-2", "score"]]);
  const facts = kit.facts();
  const spot = (x, y) => `${plot.px(x).toFixed(2)} ${plot.py(y).toFixed(2)}`;

  // Needles along the score, the longest as long as the grid is wide. Returns its true length.
  const field = (t) => {
    const grid = [];
    for (let i = 0; i < 121; i++) {
      const x = 0.6 * (i % 11) - 3, y = 0.6 * Math.floor(i / 11) - 3;
      pull(x, y, t);
      grid.push([x, y, u, v]);
    }
    const longest = Math.max(...grid.map(([, , a, b]) => Math.hypot(a, b))), scale = -0.58 / longest;
    const needle = ([x, y, a, b]) => {
      const [p, q] = [scale * a, scale * b];
      return `M${spot(x + p, y + q)}L${spot(x - q / 8, y + p / 8)}L${spot(x + q / 8, y - p / 8)}Z`;
    };
    needles.setAttribute("d", grid.map(needle).join(""));
    return longest;
  };

  const draw = () => {
    const t = model.get("t"), back = model.get("direction");
    if (back) walk ??= walked();
    const x = back ? walk.subarray(n * t, n * (t + 1)) : jump(t);
    const counts = Array(K).fill(0), sums = [0, 0, 0];
    let text = "";
    for (let i = 0; i < n; i += 2) {
      const a = x[i], b = x[i + 1];
      text += `M${spot(a, b)}h0`;
      counts[pull(a, b, t)]++;
      [a, b, a * a + b * b].forEach((value, j) => (sums[j] += (2 * value) / n));
    }
    dots.setAttribute("d", text);
    ring(x[0], x[1]);
    const deviation = Math.sqrt((sums[2] - sums[0] ** 2 - sums[1] ** 2) / 2);
    const pairs = [
      ["weights of x₀ and noise:", `${kit.number(Math.sqrt(bar[t]))}, ${kit.number(Math.sqrt(1 - bar[t]))}`],
      ["mean of the points:", `${kit.number(sums[0])}, ${kit.number(sums[1])}`],
      ["deviation:", kit.number(deviation, 5)],
      ["points by likeliest blob:", counts.join(", ")],
    ];
    keys.lastChild.hidden = !model.get("arrows");
    if (model.get("arrows")) pairs.push(["longest needle, a score of", kit.number(field(t), 5)]);
    else needles.setAttribute("d", "");
    facts.write(pairs);
    plot.say(`Points at time ${t} on the way ${back ? "back" : "forward"}, by likeliest blob: ${counts.join(", ")}.`);
  };

  const by = Math.max(1, Math.round(T / 200));
  const players = [0, T].map((first) => kit.player(model, "t", { first, last: T - first, by }));
  const hold = kit.el("div");
  kit.stage(
    place,
    "A cloud of points, forward and back",
    kit.row(
      kit.slider(model, "t", { label: "time t", min: 0, max: T }),
      kit.choice(model, "direction", { label: "way", options: ["forward: noise is added", "back: noise is taken off"] }),
      hold,
      kit.toggle(model, "arrows", { label: "needles along the score" }),
    ),
    plot.svg,
    keys,
    facts,
  );
  kit.follow(model, ["direction"], () => hold.replaceChildren(players[model.get("direction")]));
  kit.follow(model, ["t", "direction", "arrows"], draw);
}
export default { render };
