// A small U-Net that learns digits in the page from random weights: its loss, its samples, and what it estimates of one image.
import { hireTeam } from "../shared/hire.js";
import * as kit from "../shared/kit.js";
import text from "worker:../shared/lesson-worker.js";

const SIDE = 8, RATES = [5e-4, 2e-3, 4e-3, 2e-2], MEAN = 5;

// Images side by side, and in rows, with grey lines between them.
const sheet = (/** @type {number} */ rows, /** @type {number} */ columns, /** @type {number} */ size) => {
  const wide = columns * (SIDE + 1) - 1, values = new Float32Array((rows * (SIDE + 1) - 1) * wide);
  const { canvas, paint, say } = kit.picture(rows * (SIDE + 1) - 1, wide, "nothing yet", size);
  const put = (/** @type {ArrayLike<number>[]} */ images) => {
    images.forEach((image, k) => {
      const corner = Math.floor(k / columns) * (SIDE + 1) * wide + (k % columns) * (SIDE + 1);
      for (let i = 0; i < SIDE * SIDE; i++) values[corner + Math.floor(i / SIDE) * wide + (i % SIDE)] = image[i];
    });
    paint(values);
  };
  return { canvas, put, say };
};

export default kit.widget(async ({ model, el: place }) => {
  const STEPS = kit.within(model, "steps", 1, 10000), every = kit.within(model, "every", 1, 10000);
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  /** @type {number[]} */
  let losses = [];
  let job = 0, running = false, begun = false, spent = 0, since = 0;

  const samples = sheet(2, 5, 260), guesses = sheet(2, 4, 210), blank = new Float32Array(SIDE * SIDE).fill(-1);
  const curve = kit.plot({ x: [0, STEPS], y: [0, 1.2], xlabel: "step", ylabel: "loss", label: "", height: 190 }), line = curve.line("dw-1");
  // The facts change several times a second, so a screen reader reads the status instead, at the beginning and the end.
  const facts = kit.facts(true), status = kit.el("p", { role: "status" });
  const bar = kit.el("progress", { max: STEPS, value: 0, "aria-label": "steps done" });
  const say = (/** @type {string} */ words) => {
    status.textContent = words;
  };
  const seconds = () => (spent + (running ? performance.now() - since : 0)) / 1000;
  const loss = () => {
    const few = losses.slice(-20);
    return few.length ? kit.number(few.reduce((a, b) => a + b) / few.length, 3) : "none yet";
  };
  const draw = (/** @type {boolean} */ all) => {
    const done = losses.length, left = (seconds() * (STEPS - done)) / done;
    bar.value = done;
    facts.write([
      ["images seen:", (done * about.batch).toLocaleString("en")],
      ["loss, last 20 steps:", loss()],
      ["time:", `${seconds().toFixed(0)} s`],
      ["still to come:", done === STEPS ? "nothing" : done > 2 ? `about ${left.toFixed(0)} s` : "not known yet"],
    ]);
    if (calm.matches && !all) return;
    const ends = Array.from({ length: Math.ceil(done / MEAN) }, (_, i) => Math.min(MEAN * (i + 1), done));
    line(ends, ends.map((end, i) => losses.slice(MEAN * i, end).reduce((a, b) => a + b) / (end - MEAN * i)));
    curve.say(`The loss up to step ${done}: ${loss()}.`);
  };
  const looked = () => `A digit that is not in the training, and noisy at t = ${about.times.join(", ")}`;
  const run = (/** @type {boolean} */ now) => {
    const clock = performance.now();
    if (running) spent += clock - since;
    since = clock;
    running = now;
    kit.busy(button, now);
    button.textContent = now ? "Pause" : "Start";
  };

  // What the workers post.
  const heard = (/** @type {any} */ { job: whose = job, news, done, error }) => {
    if (whose !== job) return;
    let seen = false;
    for (const { step, loss: one, samples: x, guesses: images } of news) {
      if (one !== undefined) losses.push(one);
      if (!x) continue;
      seen = true;
      samples.put(Array.from({ length: 10 }, (_, i) => x.subarray(i * SIDE * SIDE, (i + 1) * SIDE * SIDE)));
      samples.say(`Samples for the digits 0 to 9 after ${step} steps`);
      guesses.put([about.one, ...about.noisy, blank, ...images]);
      guesses.say(`${looked()}, and below them what the network estimates after ${step} steps`);
    }
    if (done) run(false);
    draw(seen || done);
    if (error) say(error);
    else if (done) say(`Done: ${STEPS} steps, ${(STEPS * about.batch).toLocaleString("en")} images, in ${seconds().toFixed(0)} s. Loss ${loss()}.`);
  };

  const live = () => ({ rate: RATES[model.get("rate")], average: model.get("average") });
  // The reader's wish, and not in a tab that is in the background.
  const obey = () => tell({ go: running && !document.hidden });
  const reset = () => {
    begun = false;
    losses = [];
    spent = 0;
    job++;
    run(false);
    tell({ go: false });
    samples.put(Array(10).fill(blank));
    samples.say("No samples yet");
    guesses.put([about.one, ...about.noisy, ...Array(4).fill(blank)]);
    guesses.say(looked());
    draw(true);
    say("Ready: the weights are random.");
  };
  const toggled = () => {
    if (running) {
      run(false);
      obey();
      return say(`Paused after step ${losses.length}. Loss ${loss()}.`);
    }
    if (losses.length === STEPS) reset();
    if (!begun) tell({ job, settings: { seed: model.get("seed"), told: model.get("told"), steps: STEPS, every, ...live() } });
    begun = true;
    run(true);
    say(`Learning. Samples are drawn again every ${every} steps.`);
    obey();
  };
  const hidden = () => {
    if (!running) return;
    // The clock of the training stops with it.
    if (document.hidden) spent += performance.now() - since;
    since = performance.now();
    obey();
  };
  document.addEventListener("visibilitychange", hidden, { signal: model.signal });

  const button = kit.el("button", { type: "button", onclick: toggled }, "Start");
  const { tell, about } = await hireTeam(model, text, "ddpmTeach", heard);
  kit.stage(
    place,
    "A network that learns digits",
    kit.row(
      kit.el("div", { class: "dw-control" }, button, kit.el("button", { type: "button", onclick: reset }, "Reset"), bar),
      kit.slider(model, "seed", { label: "seed", min: 0, max: 99, text: String }),
      kit.choice(model, "rate", { label: "learning rate", options: RATES.map(String) }),
      kit.toggle(model, "told", { label: "tell the network the time" }),
      kit.toggle(model, "average", { label: "look at the average of the weights" }),
    ),
    status,
    kit.row(
      kit.figure(samples.canvas, "samples for 0 to 9, always from the same noise"),
      kit.figure(guesses.canvas, `top: a digit, and xₜ at t = ${about.times.join(", ")}; below: the estimates x̂₀`),
    ),
    kit.row(curve.svg, facts),
  );
  for (const trait of ["seed", "told"]) model.on(`change:${trait}`, reset);
  for (const trait of ["rate", "average"]) model.on(`change:${trait}`, () => begun && tell({ change: live() }));
  reset();
});
