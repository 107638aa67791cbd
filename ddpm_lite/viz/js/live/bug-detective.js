// Something is wrong with this sampler: eight cases, four instruments, and a judgement (eq-three-weights).
import * as kit from "../shared/kit.js";
import { rest, SLICE, takeTurn } from "../shared/turns.js";
import { closed, ddpm, density, mixture, normals, schedule, walk } from "../shared/science.js";

const COUNT = 3000, SOLVED = "Solved:";
const INSTRUMENTS = ["the samples", "mean and deviation", "the weights of its steps", "a log of its calls"];

// What may be wrong: its name, what it changes, and why it shows where it shows. `step` gets the right weights.
/** @type {{ name: string, why: string, step?: (right: number[], way: any, t: number) => number[], shift?: number, start?: number, moved?: boolean }[]} */
const SLIPS = [
  { name: "nothing is wrong", why: "The weights, the times and the noise are right, and mean and deviation agree with those of a right chain within the error of chance. The deviation is a little smaller than that of the data, because the fresh noise has the smaller variance." },
  {
    name: "noise in the last step",
    step: ([a, b, sigma], way, t) => [a, b, t > 1 ? sigma : Math.sqrt(way.beta[1])],
    why: "The last step adds noise, of deviation 0.023 in these samples. There it is hidden by the width of the humps, but at the end of the log it must be 0.",
  },
  {
    name: "alpha-bar of t for that of t − 1",
    step: (_, way, t) => {
      const noise = way.rest[t];
      return [Math.sqrt(1 - way.beta[t]), (Math.sqrt(way.alphaBar[t]) * way.beta[t]) / noise, t > 1 ? Math.sqrt(way.beta[t]) : 0];
    },
    why: "The weight of the image is wrong at small t, above all in the last step, where it should become 1.",
  },
  { name: "the network is told t + 1", shift: 1, why: "The weights are right, because the step uses the right t; but call 1 has an x of time 200 and is told 201, and the last call is told 2, not 1." },
  { name: "the network is told t − 1", shift: -1, why: "The weights are right, because the step uses the right t; but call 1 has an x of time 200 and is told 199, and the last call is told 0. The best network has no time 0, so here it answers as at time 1." },
  {
    name: "variance taken for deviation",
    step: ([a, b, sigma]) => [a, b, sigma ** 2],
    why: "The image keeps its weight, but too little noise is added: the fresh noise has the variance as its deviation, so old and fresh noise together fall short.",
  },
  { name: "no fresh noise", step: ([a, b]) => [a, b, 0], why: "The image keeps its weight, but only the old noise is left: the fresh noise is 0." },
  { name: "it starts from half the noise", start: 0.5, why: "Steps and times are right, but the x of call 1 should have the deviation 1." },
  { name: "the network learnt data in [0, 1]", moved: true, why: "Start, times and weights are right, so the sampler is; but the samples lie where the network has learnt that the data are, between 0 and 1." },
];
const CASES = [5, 3, 1, 8, 0, 7, 2, 4];

export default kit.widget(({ model, el: place }) => {
  const way = schedule(kit.numbers(model, "beta", Float32Array, 201)), T = way.T;
  const blobs = kit.numbers(model, "blobs", Float32Array, 8), moved = blobs.map((v, i) => [(v + 1) / 2, v, v / 2, v][i % 4]);
  const plot = kit.plot({ x: [-1.5, 1.5], y: [0, 1.8], xlabel: "value of the pixel", ylabel: "density", label: "Samples of the case, beside the density of the data; being drawn." });
  const bars = plot.bars("dw-1"), exact = plot.line("dw-2"), facts = kit.facts(), verdict = kit.el("p", { role: "status" });
  const keys = kit.legend([["dw-1", "samples"], ["dw-2", "data"]]);
  const edges = Array.from({ length: 61 }, (_, i) => -1.5 + i / 20), grid = Array.from({ length: 151 }, (_, i) => -1.5 + i / 50);
  const solved = new Set();
  /** @typedef {{ x: Float64Array, log: [number, number, number][], words: string[], added: number }} Drawn log: call, time that is told, deviation of x */
  /** @type {Map<number, Drawn>} */
  const drawn = new Map();
  const pixel = (x) => blobs[3] * density(x, blobs[0], blobs[2] ** 2) + blobs[7] * density(x, blobs[4], blobs[6] ** 2);
  const weights = (slip, t) => (slip.step ?? ((right) => right))(ddpm(way, t), way, t);
  const told = (slip, t) => t + (slip.shift ?? 0);

  // The samples of a case, drawn once, with the exact network of the data that it learnt, and a log of its calls. The case
  // after the last is a right chain with random numbers of its own.
  function* sampling(which) {
    const slip = SLIPS[CASES[which] ?? 0], { z } = mixture(way.alphaBar, slip.moved ? moved : blobs), next = normals(which);
    const start = Float64Array.from({ length: COUNT }, () => (slip.start ?? 1) * next());
    /** @type {Drawn["log"]} */
    const log = [];
    let mean = start; // of the last step, before its noise
    const ask = (x, t) => {
      const z_hat = x.map((v) => z(v, 0, Math.min(T, Math.max(1, told(slip, t))))[0]);
      log.push([T - t + 1, told(slip, t), moments(x)[1]]);
      const [a, b] = weights(slip, t), { signal, spread } = closed(way.alphaBar[t], way.rest[t]);
      if (t === 1) mean = x.map((v, i) => a * v + (b * (v - spread * z_hat[i])) / signal);
      return z_hat;
    };
    /** @type {Float64Array} */
    let x = start;
    const step = (_, t) => /** @type {[number, number, number]} */ (weights(slip, t));
    for (const frame of walk(ask, way, start, next, step, { clip: false })) {
      x = frame.x;
      yield;
    }
    drawn.set(which, { x, log, words: both(x), added: moments(x.map((v, i) => v - mean[i]))[1] });
  }
  const samples = (which) => /** @type {Drawn} */ (drawn.get(which));
  // In idle time a right chain and the cases are drawn ahead, so that choosing one need not wait for it.
  const prepare = (ahead = [CASES.length, ...CASES.keys()], work = sampling(ahead[0])) => window.requestIdleCallback?.((deadline) => {
    if (model.signal.aborted) return;
    const done = drawn.has(ahead[0]) || takeTurn(work, performance.now() + deadline.timeRemaining() - 2).done;
    if (!done) prepare(ahead, work);
    else if (ahead.length > 1) prepare(ahead.slice(1));
  });
  // What is asked for before that is drawn in turns, between which the page answers.
  const underway = new Set();
  const hurry = async (which) => {
    if (underway.has(which)) return;
    underway.add(which);
    for (const work = sampling(which); !drawn.has(which) && !takeTurn(work, performance.now() + SLICE).done; ) await rest();
    if (!model.signal.aborted) draw();
  };

  // Mean and deviation, and the standard error of each (for the deviation from the fourth moment).
  const moments = (x) => {
    const power = (centre, k) => x.reduce((sum, v) => sum + (v - centre) ** k, 0) / x.length;
    const mean = power(0, 1), variance = power(mean, 2), deviation = Math.sqrt(variance);
    return [mean, deviation, deviation / Math.sqrt(x.length), Math.sqrt((power(mean, 4) - variance ** 2) / (4 * variance * x.length))];
  };
  const both = (x) => {
    const [mean, deviation, ...chance] = moments(x);
    return [mean, deviation].map((value, i) => `${value.toFixed(3).replace("-", "\u2212")} ± ${chance[i].toFixed(3)}`);
  };
  const data = () => {
    const mean = blobs[3] * blobs[0] + blobs[7] * blobs[4];
    const square = blobs[3] * (blobs[0] ** 2 + blobs[2] ** 2) + blobs[7] * (blobs[4] ** 2 + blobs[6] ** 2);
    return [mean, Math.sqrt(square - mean ** 2)];
  };

  const measure = {
    0: () => [],
    1: (_slip, { words }) => {
      const [mean, deviation] = words, [right, wide] = samples(CASES.length).words;
      return [["Mean of the samples:", mean], ["mean of a right chain:", right], ["Deviation of the samples:", deviation], ["deviation of a right chain:", wide], ["Mean and deviation of the data:", data().map((v) => kit.number(v, 3)).join(", ")]];
    },
    2: (slip) =>
      [100, 2, 1].flatMap((t) => {
        const [a, b, sigma] = weights(slip, t), { signal, spread } = closed(way.alphaBar[t], way.rest[t]), s = closed(way.alphaBar[t - 1], way.rest[t - 1]);
        const noise = Math.hypot(a * spread, sigma), fresh = ddpm(way, t)[2];
        /** @type {[string, number, number][]} */
        const rows = [["weight of the image", a * signal + b, s.signal], ["deviation of the noise", noise, s.spread], ["deviation of the fresh noise", sigma, fresh]];
        return rows.slice(0, t > 1 ? 3 : 1).map(([name, found, right]) => [`t = ${t}, ${name}:`, `${kit.number(found, 3)}, expected ${kit.number(right, 3)}`]);
      }),
    3: (_slip, { log, added }) => [
      ...[0, 1, T - 2, T - 1].map((i) => [`Call ${log[i][0]} of ${T}:`, `told ${log[i][1]}, where x has the deviation ${log[i][2].toFixed(2)}`]),
      ["Added after the last call, beside x and its estimate:", `deviation ${added.toFixed(3)}`],
    ],
  };

  let shown = -1;
  const draw = () => {
    const which = model.get("case"), tool = model.get("instrument"), slip = SLIPS[CASES[which]];
    const another = which !== shown && shown >= 0;
    shown = which;
    if (another && model.get("answer")) {
      model.set("answer", 0);
      model.save_changes?.();
      return;
    }
    const missing = [which, tool === 1 ? CASES.length : which].find((one) => !drawn.has(one));
    if (missing !== undefined) {
      kit.tell(verdict, "Drawing samples …");
      return void hurry(missing);
    }
    const found = samples(which);
    plot.svg.style.display = keys.style.display = tool ? "none" : "";
    if (!tool) {
      const counts = new Array(60).fill(0);
      found.x.forEach((v) => {
        const i = Math.floor((v + 1.5) * 20);
        if (i >= 0 && i < 60) counts[i] += 20 / COUNT;
      });
      bars(edges, counts);
      exact(grid, grid.map(pixel));
      plot.say(`The samples of case ${which + 1} as bars, beside the density of the data.`);
    }
    facts.write(measure[tool](slip, found));
    const answer = model.get("answer") - 1;
    if (answer === CASES[which]) solved.add(which);
    const count = `${SOLVED} ${solved.size} of ${CASES.length}.`;
    if (answer < 0) kit.tell(verdict, `Case ${which + 1}: measure, then choose what is wrong. ${count}`);
    else kit.tell(verdict, answer === CASES[which] ? `Right. ${slip.why} ${count}` : `Not this: another instrument would show it, or does not agree. ${count}`);
  };

  kit.stage(
    place,
    "Something is wrong with this sampler",
    kit.row(
      kit.choice(model, "case", { label: "case", options: CASES.map((_, i) => String(i + 1)) }),
      kit.choice(model, "instrument", { label: "measure", options: INSTRUMENTS }),
      kit.choice(model, "answer", { label: "what is wrong?", options: ["not chosen yet", ...SLIPS.map(({ name }) => name)] }),
    ),
    plot.svg,
    keys,
    facts,
    verdict,
  );
  kit.follow(model, ["case", "instrument", "answer"], draw);
  prepare();
});
