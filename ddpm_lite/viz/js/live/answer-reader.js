// How an answer F about a variable x is read: the image and the noise that it means, and how far its errors go.
import * as kit from "../shared/kit.js";

const LOW = -2, HIGH = 2.18, T = 1000;
const POWERS = Array.from({ length: 121 }, (_, i) => LOW + ((HIGH - LOW) * i) / 120);
const VARIABLES = ["xₜ", "x₀ + ν z", "a flow's, (1 − τ) x₀ + τ z"], ANSWERS = ["z", "x₀", "v", "the score of x", "u = z − x₀"];

export default kit.widget(({ model, el: place }) => {
  // The noise level of each t of the linear schedule.
  const levels = [0];
  kit.numbers(model, "betas", Float32Array, T + 1).reduce((bar, beta, t) => {
    if (t) levels.push(Math.sqrt(1 / (bar *= 1 - beta) - 1));
    return bar;
  }, 1);
  // The weights of image and noise, in the variable and in the answer.
  const weigh = (/** @type {number} */ nu) => {
    const signal = 1 / Math.sqrt(1 + nu * nu), noise = nu * signal, tau = nu / (1 + nu);
    const [a, b] = [[signal, noise], [1, nu], [1 - tau, tau]][kit.within(model, "variable", 0, 2)];
    const [p, q] = [[0, 1], [1, 0], [-noise, signal], [0, -1 / b], [-1, 1]][kit.within(model, "answer", 0, 4)];
    return { a, b, p, q, scale: a * q - b * p, tau, bar: signal * signal };
  };
  const plot = kit.plot({ x: [LOW, HIGH], y: [1e-3, 1e3], logy: true, xlabel: "noise level ν, as a power of ten", ylabel: "error, times", label: "" });
  const lines = ["dw-1", "dw-2"].map((kind) => plot.line(kind)), marks = ["dw-1", "dw-2"].map((kind) => plot.marker(kind));
  const facts = kit.facts();
  const sum = (/** @type {number} */ x, /** @type {number} */ F) => {
    const parts = [[x, "x"], [F, "F"]].filter(([value]) => value !== 0);
    return parts.map(([value, name], i) => {
      const minus = Number(value) < 0, sign = i ? (minus ? " − " : " + ") : minus ? "−" : "";
      return `${sign}${kit.number(Math.abs(Number(value)), 4)} ${name}`;
    }).join("");
  };

  const draw = () => {
    const level = kit.within(model, "level", LOW, HIGH, false), nu = 10 ** level;
    const { a, b, p, q, scale, tau, bar } = weigh(nu);
    const errors = (/** @type {ReturnType<typeof weigh>} */ at) => [Math.abs(at.b / at.scale), Math.abs(at.a / at.scale)];
    const found = POWERS.map((power) => errors(weigh(10 ** power)));
    lines.forEach((line, i) => line(POWERS, found.map((each) => each[i])));
    const here = errors({ a, b, p, q, scale, tau, bar });
    marks.forEach((mark, i) => mark(level, here[i]));
    let t = 1;
    levels.forEach((each, k) => {
      if (k && Math.abs(Math.log(each / nu)) < Math.abs(Math.log(levels[t] / nu))) t = k;
    });
    const short = (/** @type {number} */ value) => kit.number(value, 4);
    facts.write([
      ["image:", sum(q / scale, -b / scale)],
      ["noise:", sum(-p / scale, a / scale)],
      ["a, b:", `${short(a)}, ${short(b)}`],
      ["p, q:", `${short(p)}, ${short(q)}`],
      ["flow time τ:", short(tau)],
      ["ᾱ:", short(bar)],
      ["nearest t, linear:", String(t)],
      ["in diffusers:", String(t - 1)],
    ]);
    const words = here.map((value) => kit.number(value, 3));
    plot.say(`At the noise level ${kit.number(nu, 3)}, an error of 1 in the answer changes the image by ${words[0]} and the noise by ${words[1]}.`);
  };

  kit.stage(
    place,
    "Which image and which noise does an answer mean?",
    kit.row(
      kit.choice(model, "variable", { label: "variable x", options: VARIABLES }),
      kit.choice(model, "answer", { label: "answer F", options: ANSWERS }),
      kit.slider(model, "level", {
        label: "noise level",
        min: LOW,
        max: HIGH,
        step: 0.02,
        text: (/** @type {number} */ value) => kit.number(10 ** value, 3),
      }),
    ),
    kit.row(plot.svg),
    kit.legend([["dw-1", "error in the image"], ["dw-2", "error in the noise"]]),
    facts,
  );
  kit.follow(model, ["variable", "answer", "level"], draw);
});
