// A small network z_theta(x_t, t) for points in the plane, and Algorithm 1 with backpropagation and Adam by hand.
import { closed, gaussians, mix, mixture, multiply, pack, stream } from "./science.js";

const BATCH = 128;
const HIDDEN = [64, 64];
// The features of a point and of the time: sines and cosines with these frequencies, in radians per unit.
const WAVES = [0.5, 1, 2, 4];
const CLOCK = [1, 2, 4, 8].map((k) => (k * Math.PI) / 2);
const RATE = 0.01;

// A sequence of uniform numbers for each seed and purpose.
export const keyed = (seed, purpose) => stream(mix(8 * seed + purpose + 1));

// Space for a matrix in groups of four rows; no side of a matrix is longer than a batch.
const ROWS = new Float64Array(BATCH * BATCH);

// out = a b for matrices, n x d times d x m. An entry of a is at i ai + k ak, one of b at k bk + j bj; with
// the two strides exchanged, a matrix is transposed.
const product = (out, a, b, [n, d, m], [ai, ak], [bk, bj]) => {
  pack(ROWS, a, 0, n, d, ai, ak);
  out.fill(0, 0, n * m);
  multiply(ROWS, b, 0, bk, bj, out, 0, m, 1, n, d, m);
};

// Linear layers with SiLU between them, for a batch at a time. All weights are in one array: each layer's matrix,
// inputs x outputs, and then its biases. `weights` may be those of the last step or their running average.
const mlp = (sizes, seed) => {
  let count = 0;
  const layers = sizes.slice(1).map((outputs, l) => {
    const inputs = sizes[l], matrix = count, bias = matrix + inputs * outputs;
    count = bias + outputs;
    const room = () => new Float64Array(BATCH * outputs);
    return { inputs, outputs, matrix, bias, end: count, sum: room(), open: room(), out: room(), back: room() };
  });
  const last = layers.length - 1, uniform = keyed(seed, 0);
  const weights = new Float64Array(count), gradient = new Float64Array(count), input = new Float64Array(BATCH * sizes[0]);
  // The last layer starts at 0, so a new network returns 0.
  for (const { inputs, matrix, bias } of layers.slice(0, last)) {
    for (let i = matrix; i < bias; i++) weights[i] = gaussians(uniform, 2 * i)[0] / Math.sqrt(inputs);
  }

  const forward = (theta) => {
    let a = input;
    layers.forEach(({ inputs, outputs, matrix, bias, sum, open, out }, l) => {
      product(sum, a, theta.subarray(matrix), [BATCH, inputs, outputs], [inputs, 1], [outputs, 1]);
      for (let i = 0; i < sum.length; i++) {
        const h = (sum[i] += theta[bias + (i % outputs)]);
        open[i] = 1 / (1 + Math.exp(-h));
        out[i] = l < last ? h * open[i] : h;
      }
      a = out;
    });
    return a;
  };

  // From the gradient with respect to the output, in `back` of the last layer, to that with respect to all weights:
  // the chain rule, layer by layer from the end. out = a W + b gives dW = a^T dout, db = sum of dout, da = dout W^T.
  const backward = () => {
    for (let l = last; l >= 0; l--) {
      const { inputs, outputs, matrix, bias, end, back } = layers[l], before = layers[l - 1];
      product(gradient.subarray(matrix), before?.out ?? input, back, [inputs, BATCH, outputs], [1, inputs], [outputs, 1]);
      gradient.fill(0, bias, end);
      for (let i = 0; i < back.length; i++) gradient[bias + (i % outputs)] += back[i];
      if (!l) return;
      product(before.back, back, weights.subarray(matrix), [BATCH, outputs, inputs], [outputs, 1], [1, outputs]);
      // SiLU is h s with s = sigmoid(h), so its slope is s + h s (1 - s).
      for (let i = 0; i < before.back.length; i++) {
        const s = before.open[i];
        before.back[i] *= s * (1 + before.sum[i] * (1 - s));
      }
    }
  };
  return { weights, gradient, input, forward, backward, back: layers[last].back };
};

// The data are equally likely isotropic Gaussians: `centres` (x, y, x, y, ...) and their common standard deviation.
export const blobs = (centres, deviation, bar) => {
  const K = centres.length / 2;
  const { z: exact } = mixture(bar, Array.from({ length: K }, (_, k) => [centres[2 * k], centres[2 * k + 1], deviation, 1 / K]).flat());
  // A data point, from uniform numbers i, i + 1 and i + 2.
  const draw = (uniform, i) => {
    const k = 2 * Math.floor(K * uniform(i)), [u, v] = gaussians(uniform, i + 1);
    return [centres[k] + deviation * u, centres[k + 1] + deviation * v];
  };
  return { exact, draw };
};

// Algorithm 1 for such data, one step for each call of `learn`, and the trained network.
export const learner = ({ bar, data, seed, steps }) => {
  const T = bar.length - 1, net = mlp([4 * WAVES.length + 2 * CLOCK.length, ...HIDDEN, 2], seed), uniform = keyed(seed, 1);
  const { weights, gradient, input, back } = net, average = weights.slice();
  const first = new Float64Array(weights.length), second = new Float64Array(weights.length);
  const x = new Float64Array(2 * BATCH), z = new Float64Array(2 * BATCH), times = new Int32Array(BATCH);
  let step = 0;

  // Write the features of x and `times` to the network's input.
  const show = () => {
    let i = 0;
    for (let row = 0; row < BATCH; row++) {
      for (const wave of WAVES) {
        for (const place of [x[2 * row], x[2 * row + 1]]) {
          input[i++] = Math.sin(wave * place);
          input[i++] = Math.cos(wave * place);
        }
      }
      for (const tick of CLOCK) {
        input[i++] = Math.sin((tick * times[row]) / T);
        input[i++] = Math.cos((tick * times[row]) / T);
      }
    }
  };

  // eq-training-loss of x, times and z, and its gradient: that of the output is 2 (z_hat - z) over the count of numbers.
  const grade = () => {
    show();
    const z_hat = net.forward(weights);
    let loss = 0;
    for (let i = 0; i < z.length; i++) {
      const error = z_hat[i] - z[i];
      loss += error ** 2 / z.length;
      back[i] = (2 * error) / z.length;
    }
    net.backward();
    return loss;
  };

  const learn = () => {
    for (let row = 0, i = 6 * BATCH * step; row < BATCH; row++, i += 6) {
      const t = (times[row] = 1 + Math.floor(T * uniform(i)));
      const x_0 = data.draw(uniform, i + 1), noise = gaussians(uniform, i + 4), { noised } = closed(bar[t]);
      z.set(noise, 2 * row);
      x.set(x_0.map((v, axis) => noised(v, noise[axis])), 2 * row);
    }
    const loss = grade();
    step++;
    // Adam; its rate warms up over 50 steps and falls to 0 at the end. The average is that of eq-ema-warmup.
    const rate = RATE * Math.min(1, step / 50) * (1 - (step - 1) / steps), kept = (1 + step) / (10 + step);
    for (let i = 0; i < weights.length; i++) {
      first[i] += 0.1 * (gradient[i] - first[i]);
      second[i] += 0.001 * (gradient[i] ** 2 - second[i]);
      weights[i] -= (rate * first[i]) / (1 - 0.9 ** step) / (Math.sqrt(second[i] / (1 - 0.999 ** step)) + 1e-8);
      average[i] += (1 - kept) * (weights[i] - average[i]);
    }
    return loss;
  };

  // z_hat of the averaged network for points (x, y, x, y, ...) at time t.
  const ask = (points, t) => {
    const answer = new Float64Array(points.length);
    times.fill(t);
    for (let at = 0; at < points.length; at += x.length) {
      x.set(points.subarray(at, at + x.length));
      show();
      answer.set(net.forward(average).subarray(0, points.length - at), at);
    }
    return answer;
  };
  return { learn, grade, ask, x, times, z, weights, gradient, average };
};

// Mean distance between the points of a and those of b.
export const apart = (a, b) => {
  let sum = 0;
  for (let i = 0; i < a.length; i += 2) {
    for (let j = 0; j < b.length; j += 2) sum += Math.sqrt((a[i] - b[j]) ** 2 + (a[i + 1] - b[j + 1]) ** 2);
  }
  return (4 * sum) / (a.length * b.length);
};
// The energy distance of two sets of points: 0 if they are the same, and above 0 for two draws of the same data.
export const energy = (a, b) => 2 * apart(a, b) - apart(a, a) - apart(b, b);
