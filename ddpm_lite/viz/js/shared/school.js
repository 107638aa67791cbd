// Trains a small U-Net on the page from random weights, and looks at it now and then. What it learns, and what is looked at,
// is a course: that of the digits in lesson.js, and that of a reader's own pictures in own-set.js. The network's file is
// that of ddpm_lite/viz/untrained.py.
import { open } from "./engine.js";
import { training } from "./grad.js";
import { gaussians } from "./science.js";
import { cut, help, reach } from "./team.js";
import { addingGradient, drawBatch, keyed, optimiser } from "./train.js";
import { finish, takeTurn } from "./turns.js";
import { unpacking } from "./unet.js";

/**
 * @typedef {object} Settings `rate` and `average` may be changed at any time.
 * @property {number} seed
 * @property {number} steps
 * @property {number} every after how many steps it is looked at
 * @property {number} rate
 * @property {boolean} [told] whether the network is told the time
 * @property {boolean} [average] whether it is looked at with the average of its weights
 * @property {string[]} [pictures] those of the reader
 */

/**
 * @typedef {object} Course
 * @property {object} about what the page should know of it
 * @property {number} batch images in each step
 * @property {number} dropout how many labels are dropped, of 1
 * @property {(settings: Settings) => { images: Float32Array, labels: ArrayLike<number>, none: number }} data
 * @property {number} samples how many are drawn in a look
 * @property {(ask: ReturnType<typeof asker>, settings: Settings, first: number, end: number) =>
 *   Generator<any, { samples: Float64Array, guesses?: Float64Array[] }>} look
 *   draws the samples first..end - 1; with the first of them come the guesses
 */

const WARMUP = 20, WEIGHTS = 4, COLUMNS = 8;

// The weights before the first step, one after the other, as make_untrained of untrained.py draws them.
/** @param {{ first: [string, number][], weights: [string, number[]][] }} file @param {number} seed */
function* drawingWeights({ first, weights }, seed) {
  const drawn = [];
  for (const [number, [kind, size]] of first.entries()) {
    const uniform = keyed(seed, WEIGHTS, number), length = weights[number][1].reduce((a, b) => a * b, 1);
    const draw = { constant: () => 1, uniform: (i) => 2 * uniform(i) - 1, normal: (i) => gaussians(uniform, 2 * i)[0] }[kind];
    drawn.push(Array.from({ length }, (_, i) => size * /** @type {any} */ (draw)(i)));
    yield null;
  }
  return Float32Array.from(drawn.flat());
}
/** @param {Parameters<typeof drawingWeights>} all */
export const firstWeights = (...all) => finish(drawingWeights(...all));

// A function for z_hat of any number of images, of which a few are done at a time.
export const asker = (/** @type {ReturnType<typeof import("./grad.js").trainable>} */ net) =>
  function* (/** @type {ArrayLike<number>} */ x, /** @type {number[]} */ times, /** @type {number[]} */ labels) {
    const { size, B } = net, found = new Float64Array(x.length), part = new Float32Array(B * size), from = Float64Array.from(x);
    for (let first = 0; first < times.length; first += B) {
      const here = from.subarray(first * size, (first + B) * size);
      part.set(here);
      const answer = yield* net.asking(part, Array.from({ length: B }, (_, i) => times[first + i] ?? 1), labels.slice(first, first + B));
      found.set(answer.subarray(0, here.length), first * size);
    }
    return found;
  };

// What a worker of a team has, which has `of` members: the network, and what it does of a batch and of a look. It is made in
// parts, each of some milliseconds, for a page that trains by itself. With `ports` to the other members it leads them, and
// `learn` begins a training run. The run is a generator that stops after every few milliseconds' work and yields
// `{ step, loss }` after each step, `{ step, samples, guesses }` after each look, a promise where it waits for the others, and
// nothing in between.
/**
 * @param {{ sum: number, text: string }} whole @param {(read: { file: any, way: import("./science.js").Schedule }, options: any) => Course} begin
 * @param {{ ports?: MessagePort[], of?: number, simd?: boolean }} [options] and what the course wants to know
 */
export function* school(whole, begin, options = {}) {
  const { ports = [], of = 1, simd } = options, memory = open({ simd });
  yield;
  const read = yield* unpacking(whole, memory), { file, way } = read;
  yield;
  const course = begin(read, options), { about, batch, samples } = course;
  yield;
  const net = yield* training(read, memory, Math.min(COLUMNS, Math.ceil(batch / of))), ask = asker(net);
  const helpers = ports.map((port) => reach(port, net.weights.length)), shares = cut(batch, of), parts = cut(samples, of);
  const tasks = {
    // A share of the gradient, which stays in the network, and of the loss.
    *learn({ drawn, first, end, timeless }) {
      return { loss: yield* addingGradient(net, way, drawn, { first, end, timeless }) };
    },
    *look({ settings, first, end }) {
      return yield* course.look(ask, settings, first, end);
    },
  };
  // Gives everyone a share of a task, and returns the answers in the order of the team, the lead's first.
  function* together(/** @type {"learn" | "look"} */ task, /** @type {object} */ request, /** @type {[number, number][]} */ cuts) {
    const [own, ...theirs] = cuts.map(([first, end]) => ({ ...request, first, end }));
    const asked = helpers.map((helper, i) => helper({ task, ...theirs[i] }, net.weights));
    /** @type {any[]} */
    const answers = [yield* tasks[task](/** @type {any} */ (own))];
    if (asked.length) yield Promise.all(asked).then((all) => answers.push(...all));
    for (const { error } of answers) if (error) throw new Error(error);
    return answers;
  }
  function* look(/** @type {Settings} */ settings, /** @type {Float32Array} */ mean, /** @type {number} */ step) {
    const kept = net.weights.slice();
    const use = (/** @type {Float32Array} */ weights) => {
      net.weights.set(weights);
      net.renew();
    };
    if (settings.average ?? true) use(mean);
    const answers = yield* together("look", { settings }, parts);
    use(kept);
    yield { step, samples: Float64Array.from(answers.flatMap((part) => [...part.samples])), guesses: answers[0].guesses };
  }
  return {
    about, net, tasks,
    /** @param {Settings} settings */
    *learn(settings) {
      const { seed, steps, every } = settings, data = course.data(settings), timeless = !(settings.told ?? true);
      net.weights.set(yield* drawingWeights(file, seed));
      net.gradient.fill(0);
      net.renew();
      yield null;
      const adam = optimiser(net.weights, { warmup: WARMUP });
      yield* look(settings, adam.average, 0);
      for (let step = 1; step <= steps; step++) {
        const drawn = drawBatch(data, way.T, { seed, batch, dropout: course.dropout }, step);
        const answers = yield* together("learn", { drawn, timeless }, shares), sum = net.gradient;
        for (const { numbers } of answers.slice(1)) for (let i = 0; i < sum.length; i++) sum[i] += numbers[i];
        adam.rate = settings.rate;
        adam.step(net.weights, sum);
        yield null;
        net.renew();
        yield { step, loss: answers.reduce((all, { loss }) => all + loss, 0) };
        if (step % every === 0 || step === steps) yield* look(settings, adam.average, step);
      }
    },
  };
}

// Returns a function for messages. For a file, it posts what the page should know, or an error; with `lead`, a port, it then
// helps whoever is at its other end. A job has settings, and begins a run; `go` says whether it goes on, and `change` has
// new settings. What a run yields is posted.
/** @param {(message: any) => void} post @param {number} slice milliseconds of work at a time @param {(file: any, team: any) => Generator<any, any>} enter such as `lesson` */
export const teach = (post, slice, enter) => {
  let pupil, settings, work, job, news = [], going = false, waiting = false, until = 0;
  const turn = () => {
    waiting = false;
    if (!going) return;
    let done, held, error;
    // A turn goes on after others have answered, so that news are posted once in a slice.
    if (performance.now() >= until) until = performance.now() + slice;
    try {
      ({ done = false, value: held } = takeTurn(work, until, (value) => news.push(value)));
    } catch (wrong) {
      done = true;
      error = /** @type {Error} */ (wrong).message;
    }
    going = !done;
    if (done || (news.length && performance.now() >= until)) {
      post({ job, news, done, error });
      news = [];
    }
    if (held && !done) {
      waiting = true;
      held.then(turn);
    } else wait();
  };
  const wait = () => {
    if (!going || waiting) return;
    waiting = true;
    setTimeout(turn, 0);
  };
  return (/** @type {{ file?: any, lead?: MessagePort, ports?: MessagePort[], of?: number, job?: number, settings?: Settings, go?: boolean, change?: Partial<Settings> }} */ message) => {
    const { file, lead, go, change } = message;
    if (file) {
      const parts = enter(file, message);
      const prepare = () => {
        try {
          const { done, value } = takeTurn(parts, performance.now() + slice);
          if (!done) return setTimeout(prepare, 0);
          pupil = value;
          if (lead) help(lead, pupil.net, pupil.tasks);
          post(pupil.about);
        } catch (wrong) {
          post({ error: /** @type {Error} */ (wrong).message });
        }
      };
      prepare();
    }
    if (message.settings) {
      ({ job, settings } = message);
      work = pupil.learn(settings);
      going = false;
      news = [];
    }
    if (change) Object.assign(settings, change);
    if (go !== undefined && work) {
      going = go;
      wait();
    }
  };
};
