// Algorithm 1 (alg-training) in the page, with the network of grad.js: what is drawn for a step, Adam, the clipping of the
// gradient and the running average of the weights, as in ddpm_lite.trainer.
import { closed, gaussians, mix, stream } from "./science.js";
import { finish } from "./turns.js";

/**
 * @typedef {object} Batch
 * @property {Float32Array} x_0 images, one after the other
 * @property {ArrayLike<number>} t
 * @property {ArrayLike<number>} z the noise, like x_0
 * @property {ArrayLike<number>} [labels]
 */

// ---- What a step draws. It follows from the seed and the number of the step alone, so a step is the same whether or not the
// training was stopped before it. The numbers are the page's own: PyTorch's generator draws others from the same seed.

// A sequence of uniform numbers for a seed, a purpose and a number, such as that of the step.
export const keyed = (/** @type {number} */ seed, /** @type {number} */ purpose, /** @type {number} */ i) => stream(mix(mix(8 * seed + purpose + 1) + i));

// The images of a step, counted from 1: epochs, each a permutation of all N images, cut into batches.
/** @param {number} N @param {number} batch @param {number} seed @param {number} step */
export const batchIndices = (N, batch, seed, step) => {
  /** @type {Map<number, Int32Array>} */
  const orders = new Map();
  const permuted = (/** @type {number} */ epoch) => {
    const order = Int32Array.from({ length: N }, (_, i) => i), uniform = keyed(seed, 1, epoch);
    for (let i = N - 1; i > 0; i--) {
      const j = Math.floor((i + 1) * uniform(i));
      [order[i], order[j]] = [order[j], order[i]];
    }
    orders.set(epoch, order);
    return order;
  };
  return Int32Array.from({ length: batch }, (_, i) => {
    const position = (step - 1) * batch + i, epoch = Math.floor(position / N);
    return (orders.get(epoch) ?? permuted(epoch))[position % N];
  });
};

// The batch of a step: images, a time and noise for each, and labels, some of which are dropped, for guidance.
/**
 * @param {{ images: Float32Array, labels: ArrayLike<number>, none: number }} data `none` is the number that means "no label"
 * @param {number} T @param {{ seed: number, batch: number, dropout: number }} settings @param {number} step
 * @returns {Batch}
 */
export const drawBatch = ({ images, labels, none }, T, { seed, batch, dropout }, step) => {
  const N = labels.length, size = images.length / N, chosen = batchIndices(N, batch, seed, step), x_0 = new Float32Array(batch * size);
  chosen.forEach((which, i) => x_0.set(images.subarray(which * size, (which + 1) * size), i * size));
  const uniform = keyed(seed, 2, step), noise = keyed(seed, 3, step);
  return {
    x_0,
    t: Int32Array.from(chosen, (_, i) => 1 + Math.floor(T * uniform(2 * i))),
    z: Float32Array.from(x_0, (_, i) => gaussians(noise, i - (i % 2))[i % 2]),
    labels: Int32Array.from(chosen, (which, i) => (uniform(2 * i + 1) < dropout ? none : labels[which])),
  };
};

// ---- The gradient

// Adds the gradient of a batch's loss (eq-training-loss) by the weights to that of the network, and returns the loss. The
// images first..end - 1 are this network's share of the work; loss and gradient are those of the whole batch only when
// all shares are added. Without time, the network is told t = 1 for every image. `addingGradient` does it in parts.
/**
 * @param {any} net from `trainable` @param {import("./science.js").Schedule} way @param {Batch} batch
 * @param {{ first?: number, end?: number, timeless?: boolean }} [share]
 */
export function* addingGradient(net, way, { x_0, t, z, labels }, { first = 0, end = t.length, timeless = false } = {}) {
  const { size, B } = net, x_t = new Float32Array(size * B), slope = new Float32Array(size * B), told = new Int32Array(B), which = new Int32Array(B);
  let loss = 0;
  for (let start = first; start < end; start += B) {
    const here = Math.min(B, end - start);
    slope.fill(0);
    for (let i = 0; i < here; i++) {
      const { noised } = closed(way.alphaBar[t[start + i]], way.rest[t[start + i]]), from = (start + i) * size;
      for (let n = 0; n < size; n++) x_t[i * size + n] = noised(x_0[from + n], z[from + n]);
    }
    // Where fewer than B images are left, the last ones stay from before, and their slope of 0 says that they do not count.
    for (let i = 0; i < B; i++) {
      told[i] = timeless || i >= here ? 1 : t[start + i];
      which[i] = labels && i < here ? labels[start + i] : net.file.labels;
    }
    const z_hat = yield* net.asking(x_t, told, which);
    for (let i = 0; i < here * size; i++) {
      const error = z_hat[i] - z[start * size + i];
      loss += error ** 2 / z.length;
      slope[i] = (2 * error) / z.length;
    }
    yield* net.backpropagating(slope);
  }
  return loss;
}
/** @param {Parameters<typeof addingGradient>} all @returns {number} */
export const addGradient = (...all) => finish(addingGradient(...all));

// ---- The step of the weights

// The decay of the running average at a step (eq-ema-warmup).
/** @param {number} step @param {number} most */
export const decay = (step, most) => Math.min(most, (1 + step) / (10 + step));

// Adam with clipping, and the running average of the weights (eq-ema). `step(weights, gradient)` changes the weights, and sets
// the gradient to 0 for the next step. Its settings are those of TrainConfig; `rate` may be changed at any time.
/** @param {Float32Array} start the weights of step 0 */
export const optimiser = (start, { rate = 2e-4, warmup = 0, clip = 1, most = 0.9999 } = {}) => {
  const first = new Float32Array(start.length), second = new Float32Array(start.length), average = start.slice();
  const self = {
    rate,
    steps: 0,
    average,
    step: (/** @type {Float32Array} */ weights, /** @type {Float32Array} */ gradient) => {
      let square = 0;
      for (let i = 0; i < gradient.length; i++) square += gradient[i] ** 2;
      const norm = Math.sqrt(square), by = Math.min(1, clip / (norm + 1e-6));
      if (!Number.isFinite(norm)) throw new Error(`step ${self.steps + 1}: the gradient is not finite, so the weights stay; try a lower learning rate.`);
      const n = ++self.steps, kept = decay(n, most), root = Math.sqrt(1 - 0.999 ** n);
      const length = (self.rate * Math.min(1, n / Math.max(1, warmup))) / (1 - 0.9 ** n);
      for (let i = 0; i < weights.length; i++) {
        const g = gradient[i] * by;
        first[i] += 0.1 * (g - first[i]);
        second[i] += 0.001 * (g * g - second[i]);
        weights[i] -= (length * first[i]) / (Math.sqrt(second[i]) / root + 1e-8);
        average[i] += (1 - kept) * (weights[i] - average[i]);
        gradient[i] = 0;
      }
      return norm;
    },
  };
  return self;
};
