// A small network z_theta(x_t, t) for points in the plane, and Algorithm 1 with backpropagation and Adam by hand.

const BATCH = 128;
const HIDDEN = [64, 64];
// What the network sees of a point and of the time: sines and cosines, these many radians a unit.
const WAVES = [0.5, 1, 2, 4];
const CLOCK = [1, 2, 4, 8].map((k) => (k * Math.PI) / 2);
const RATE = 0.01;

// Streams of uniform numbers in (0, 1), one for each seed and purpose: number i of a stream needs none of those before.
// The hash is the last lines of MurmurHash3.
const mix = (h) => {
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
};
const stream = (seed, purpose) => {
  const key = mix(8 * seed + purpose + 1);
  return (i) => (mix((i + key) | 0) + 0.5) / 2 ** 32;
};
// Uniform numbers i and i + 1 make two Gaussian ones.
const gaussians = (uniform, i) => {
  const radius = Math.sqrt(-2 * Math.log(uniform(i))), angle = 2 * Math.PI * uniform(i + 1);
  return [radius * Math.cos(angle), radius * Math.sin(angle)];
};

// out = a b for matrices, n x d times d x m. An entry of a lies at i ai + k ak, one of b at k bk + j bj: with the two
// changed over, the same loop takes a transpose. Four rows and two columns at a time are four times faster than one.
const multiply = (out, a, b, [n, d, m], [ai, ak], [bk, bj]) => {
  for (let i = 0; i < n; i += 4) {
    for (let j = 0; j < m; j += 2) {
      let r0 = 0, r1 = 0, r2 = 0, r3 = 0, s0 = 0, s1 = 0, s2 = 0, s3 = 0;
      for (let k = 0, p = i * ai, q = j * bj; k < d; k++, p += ak, q += bk) {
        const u = b[q], v = b[q + bj], a0 = a[p], a1 = a[p + ai], a2 = a[p + 2 * ai], a3 = a[p + 3 * ai];
        r0 += a0 * u;
        r1 += a1 * u;
        r2 += a2 * u;
        r3 += a3 * u;
        s0 += a0 * v;
        s1 += a1 * v;
        s2 += a2 * v;
        s3 += a3 * v;
      }
      const at = i * m + j;
      out[at] = r0;
      out[at + 1] = s0;
      out[at + m] = r1;
      out[at + m + 1] = s1;
      out[at + 2 * m] = r2;
      out[at + 2 * m + 1] = s2;
      out[at + 3 * m] = r3;
      out[at + 3 * m + 1] = s3;
    }
  }
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
  const last = layers.length - 1, uniform = stream(seed, 0);
  const weights = new Float64Array(count), gradient = new Float64Array(count), input = new Float64Array(BATCH * sizes[0]);
  // The last layer starts at 0: the first answer is "no noise".
  for (const { inputs, matrix, bias } of layers.slice(0, last)) {
    for (let i = matrix; i < bias; i++) weights[i] = gaussians(uniform, 2 * i)[0] / Math.sqrt(inputs);
  }

  const forward = (theta) => {
    let a = input;
    layers.forEach(({ inputs, outputs, matrix, bias, sum, open, out }, l) => {
      multiply(sum, a, theta.subarray(matrix), [BATCH, inputs, outputs], [inputs, 1], [outputs, 1]);
      for (let i = 0; i < sum.length; i++) {
        const h = (sum[i] += theta[bias + (i % outputs)]);
        open[i] = 1 / (1 + Math.exp(-h));
        out[i] = l < last ? h * open[i] : h;
      }
      a = out;
    });
    return a;
  };

  // From the gradient with respect to the answer, in `back` of the last layer, to that with respect to all weights:
  // the chain rule, layer by layer from the end. out = a W + b gives dW = a^T dout, db = sum of dout, da = dout W^T.
  const backward = () => {
    for (let l = last; l >= 0; l--) {
      const { inputs, outputs, matrix, bias, end, back } = layers[l], before = layers[l - 1];
      multiply(gradient.subarray(matrix), before?.out ?? input, back, [inputs, BATCH, outputs], [1, inputs], [outputs, 1]);
      gradient.fill(0, bias, end);
      for (let i = 0; i < back.length; i++) gradient[bias + (i % outputs)] += back[i];
      if (!l) return;
      multiply(before.back, back, weights.subarray(matrix), [BATCH, outputs, inputs], [outputs, 1], [1, outputs]);
      // SiLU is h s with s = sigmoid(h), so its slope is s + h s (1 - s).
      for (let i = 0; i < before.back.length; i++) {
        const s = before.open[i];
        before.back[i] *= s * (1 + before.sum[i] * (1 - s));
      }
    }
  };
  return { weights, gradient, input, forward, backward, back: layers[last].back };
};

// The data are equally likely round blobs: `centres` (x, y, x, y, ...) and the deviation of each of their coordinates.
const blobs = (centres, deviation, bar) => {
  const K = centres.length / 2, logs = new Float64Array(K), variance = (t) => bar[t] * deviation ** 2 + 1 - bar[t];
  // E[z | x_t] (eq-oracle-mixture)
  const exact = (x, y, t) => {
    const root = Math.sqrt(bar[t]);
    let top = -Infinity, sum = 0, u = 0, v = 0;
    for (let k = 0; k < K; k++) {
      logs[k] = -((x - root * centres[2 * k]) ** 2 + (y - root * centres[2 * k + 1]) ** 2) / (2 * variance(t));
      if (logs[k] > top) top = logs[k];
    }
    for (let k = 0; k < K; k++) {
      const share = Math.exp(logs[k] - top);
      sum += share;
      u += share * centres[2 * k];
      v += share * centres[2 * k + 1];
    }
    const pull = Math.sqrt(1 - bar[t]) / variance(t);
    return [pull * (x - (root * u) / sum), pull * (y - (root * v) / sum)];
  };
  // A data point, from uniform numbers i, i + 1 and i + 2.
  const draw = (uniform, i) => {
    const k = 2 * Math.floor(K * uniform(i)), [u, v] = gaussians(uniform, i + 1);
    return [centres[k] + deviation * u, centres[k + 1] + deviation * v];
  };
  return { exact, draw };
};

// Algorithm 1 for such data, one step a call of `learn`, and what the network says.
const learner = ({ bar, data, seed, steps }) => {
  const T = bar.length - 1, net = mlp([4 * WAVES.length + 2 * CLOCK.length, ...HIDDEN, 2], seed), uniform = stream(seed, 1);
  const { weights, gradient, input, back } = net, average = weights.slice();
  const first = new Float64Array(weights.length), second = new Float64Array(weights.length);
  const x = new Float64Array(2 * BATCH), z = new Float64Array(2 * BATCH), times = new Int32Array(BATCH);
  let step = 0;

  // What the network sees of x at `times`.
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

  // eq-training-loss of x, times and z, and its gradient: the answer's is 2 (z_hat - z) over the count of numbers.
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
      const x_0 = data.draw(uniform, i + 1), noise = gaussians(uniform, i + 4);
      for (const axis of [0, 1]) {
        z[2 * row + axis] = noise[axis];
        x[2 * row + axis] = Math.sqrt(bar[t]) * x_0[axis] + Math.sqrt(1 - bar[t]) * noise[axis];
      }
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

// From noise to points in `count` equal steps of time, with z_hat = ask(x, t): a state at every yield, points at the
// end. DDIM's steps, or, with fresh noise from the stream, those of Algorithm 2 with the posterior's variance.
function* walk(ask, bar, count, n, uniform, fresh) {
  const T = bar.length - 1, x = new Float64Array(2 * n);
  const noise = (i) => gaussians(uniform, i - (i % 2))[i % 2];
  for (let i = 0; i < x.length; i++) x[i] = noise(i);
  for (let k = count; k > 0; k--) {
    const t = Math.round((T * k) / count), s = Math.round((T * (k - 1)) / count), z_hat = ask(x, t);
    const sigma = fresh ? Math.sqrt(((1 - bar[s]) / (1 - bar[t])) * (1 - bar[t] / bar[s])) : 0;
    const root = Math.sqrt(bar[s] / bar[t]), weight = Math.sqrt(1 - bar[s] - sigma ** 2) - root * Math.sqrt(1 - bar[t]);
    for (let i = 0; i < x.length; i++) x[i] = root * x[i] + weight * z_hat[i] + (sigma && sigma * noise(x.length * k + i));
    yield x;
  }
  return x;
}

// Mean distance between the points of a and those of b.
const apart = (a, b) => {
  let sum = 0;
  for (let i = 0; i < a.length; i += 2) {
    for (let j = 0; j < b.length; j += 2) sum += Math.sqrt((a[i] - b[j]) ** 2 + (a[i + 1] - b[j + 1]) ** 2);
  }
  return (4 * sum) / (a.length * b.length);
};
// The energy distance of two sets of points: 0 if they are the same, and above 0 for two draws of the same data.
const energy = (a, b) => 2 * apart(a, b) - apart(a, a) - apart(b, b);
