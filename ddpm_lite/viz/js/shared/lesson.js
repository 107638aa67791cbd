// Trains a small U-Net on the page from random weights, and looks at it now and then: samples from one noise, and what it
// estimates of one image at three times. The file is that of ddpm_lite/viz/untrained.py.
import { open } from "./engine.js";
import { trainable } from "./grad.js";
import { closed, ddim, gaussians, normals, respace, walk } from "./science.js";
import { addGradient, drawBatch, keyed, optimiser } from "./train.js";
import { unpack } from "./unet.js";

/**
 * @typedef {object} Settings The last two may be changed at any time.
 * @property {number} seed
 * @property {boolean} told whether the network is told the time
 * @property {number} steps
 * @property {number} every after how many steps it is looked at
 * @property {number} rate
 * @property {boolean} average whether it is looked at with the average of its weights
 */

export const WARMUP = 20, FEW = 25;
const BATCH = 32, TIMES = [100, 300, 600], DROPOUT = 0.1, GUIDANCE = 1, WEIGHTS = 4;

// The weights before the first step, one after the other, as make_untrained of untrained.py draws them.
/** @param {{ first: [string, number][], weights: [string, number[]][] }} file @param {number} seed */
export const firstWeights = ({ first, weights }, seed) =>
  Float32Array.from(
    first.flatMap(([kind, size], number) => {
      const uniform = keyed(seed, WEIGHTS, number), length = weights[number][1].reduce((a, b) => a * b, 1);
      const draw = { constant: () => 1, uniform: (i) => 2 * uniform(i) - 1, normal: (i) => gaussians(uniform, 2 * i)[0] }[kind];
      return Array.from({ length }, (_, i) => size * /** @type {any} */ (draw)(i));
    }),
  );

// Images in letters: A is -1, and 16 letters later there is 1.
export const readImages = (/** @type {string} */ text) => Float32Array.from(text, (letter) => (letter.charCodeAt(0) - 65) / 8 - 1);

// A function for z_hat of any number of images, of which a few are done at a time.
export const asker = (/** @type {ReturnType<typeof trainable>} */ net) =>
  function* (/** @type {ArrayLike<number>} */ x, /** @type {number[]} */ times, /** @type {number[]} */ labels) {
    const { size, B } = net, found = new Float64Array(x.length), part = new Float32Array(B * size), from = Float64Array.from(x);
    for (let first = 0; first < times.length; first += B) {
      const here = from.subarray(first * size, (first + B) * size);
      part.set(here);
      const answer = net.ask(part, Array.from({ length: B }, (_, i) => times[first + i] ?? 1), labels.slice(first, first + B));
      found.set(answer.subarray(0, here.length), first * size);
      yield null;
    }
    return found;
  };

// A function that begins a training run. The run is a generator that stops after every few milliseconds' work and yields
// `{ step, loss }` after each step, `{ step, samples, guesses }` after each look, and nothing in between.
/** @param {{ sum: number, text: string }} whole @param {{ simd?: boolean }} [options] */
export const lesson = (whole, options) => {
  const memory = open(options), read = unpack(whole, memory), { file, way } = read, net = trainable(read, memory);
  const { size, B } = net, N = file.labels, data = { images: readImages(file.images), labels: Array.from(file.answers, Number), none: N };
  const one = readImages(file.held_out), few = respace(way, FEW), draw = normals(0);
  const start = Float64Array.from({ length: N * size }, draw), ask = asker(net), noise = Float64Array.from({ length: size }, draw);
  const noisy = TIMES.map((t) => Float64Array.from(one, (v, i) => closed(way.alphaBar[t], way.rest[t]).noised(v, noise[i])));

  const digits = Array.from({ length: N }, (_, i) => i), nothing = digits.map(() => N);
  function* look(/** @type {Settings} */ { told, average }, /** @type {Float32Array} */ mean, /** @type {number} */ step) {
    const kept = net.weights.slice(), time = (/** @type {number} */ t) => (told ? t : 1);
    const use = (/** @type {Float32Array} */ weights) => {
      net.weights.set(weights);
      net.renew();
    };
    if (average) use(mean);
    // eq-guidance, for all digits at once
    function* guided(/** @type {Float64Array} */ x, /** @type {number} */ t) {
      const both = new Float64Array(2 * x.length);
      both.set(x);
      both.set(x, x.length);
      const z = yield* ask(both, Array.from({ length: 2 * N }, () => time(t)), [...digits, ...nothing]);
      return x.map((_, i) => z[i] + GUIDANCE * (z[i] - z[i + x.length]));
    }
    /** @type {Float64Array} */
    let samples = start;
    for (const frame of walk(guided, few, start, () => 0, ddim)) {
      if (frame) samples = frame.x;
      yield null;
    }
    const guesses = [];
    for (const [k, t] of TIMES.entries()) {
      const { image } = closed(way.alphaBar[t], way.rest[t]), z = yield* ask(noisy[k], [time(t)], [N]);
      guesses.push(noisy[k].map((v, i) => image(v, z[i])));
    }
    use(kept);
    yield { step, samples, guesses };
  }
  return {
    about: { one, noisy, times: TIMES, batch: BATCH },
    /** @param {Settings} settings */
    *learn(settings) {
      const { seed, told, steps, every } = settings, limits = { seed, batch: BATCH, dropout: DROPOUT };
      net.weights.set(firstWeights(file, seed));
      net.gradient.fill(0);
      net.renew();
      const adam = optimiser(net.weights, { warmup: WARMUP });
      yield* look(settings, adam.average, 0);
      for (let step = 1; step <= steps; step++) {
        const batch = drawBatch(data, way.T, limits, step);
        let loss = 0;
        for (let first = 0; first < BATCH; first += B) {
          loss += addGradient(net, way, batch, { first, end: Math.min(BATCH, first + B), timeless: !told });
          yield null;
        }
        adam.rate = settings.rate;
        adam.step(net.weights, net.gradient);
        net.renew();
        yield { step, loss };
        if (step % every === 0 || step === steps) yield* look(settings, adam.average, step);
      }
    },
  };
};

// Returns a function for messages. For a file, it posts the times, the image and x_t at them, or an error. A job has
// settings, and begins a run; `go` says whether it goes on, and `change` has new settings. What a run yields is posted.
/** @param {(message: any) => void} post @param {number} slice milliseconds of work at a time @param {(file: any) => any} begin such as `lesson` */
export const teach = (post, slice, begin) => {
  let school, settings, work, job, going = false, waiting = false;
  const turn = () => {
    waiting = false;
    if (!going) return;
    const until = performance.now() + slice, news = [];
    let done = false, error;
    try {
      while (!done && performance.now() < until) {
        const next = work.next();
        done = next.done;
        if (next.value) news.push(next.value);
      }
    } catch (wrong) {
      done = true;
      error = /** @type {Error} */ (wrong).message;
    }
    going = !done;
    if (news.length || done) post({ job, news, done, error });
    wait();
  };
  const wait = () => {
    if (!going || waiting) return;
    waiting = true;
    setTimeout(turn, 0);
  };
  return (/** @type {{ file?: any, job?: number, settings?: Settings, go?: boolean, change?: Partial<Settings> }} */ message) => {
    const { file, go, change } = message;
    if (file) {
      try {
        school = begin(file);
        post(school.about);
      } catch (wrong) {
        post({ error: /** @type {Error} */ (wrong).message });
      }
    }
    if (message.settings) {
      ({ job, settings } = message);
      work = school.learn(settings);
      going = false;
    }
    if (change) Object.assign(settings, change);
    if (go !== undefined && work) {
      going = go;
      wait();
    }
  };
};
