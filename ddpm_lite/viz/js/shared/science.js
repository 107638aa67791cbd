// The computations of the widgets, each of them once: random numbers, schedules, the closed form, the exact z of a
// mixture, sampling, and the matrix product. Names and equations are those of the Python package.

/**
 * @typedef {object} Schedule Tables with an entry for each time 0..T, as in ddpm_lite.schedule.
 * @property {number} T
 * @property {ArrayLike<number>} beta
 * @property {number[]} times the times that a network was trained with
 * @property {ArrayLike<number>} alphaBar
 * @property {ArrayLike<number>} rest 1 - alphaBar
 * @property {ArrayLike<number>} betaTilde
 */

// ---- Random numbers, as in ddpm_lite.viz.noise

// The finalizer of MurmurHash3: every bit of a whole number changes about half of the bits of the result.
/** @param {number} h */
export const mix = (h) => {
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
};

// A whole number 0..2^32 - 1 for a text, FNV-1a, as in export_page.py
/** @param {string} text */
export const checksum = (text) => {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  return value >>> 0;
};

// Number i of a sequence of uniform numbers in (0, 1); it needs none of those before.
/** @param {number} key which sequence */
export const stream = (key) => (/** @type {number} */ i) => (mix((i + key) | 0) + 0.5) / 2 ** 32;

// Uniform numbers i and i + 1 make two independent standard normal ones, by Box and Muller's method.
/** @param {(i: number) => number} uniform @param {number} i */
export const gaussians = (uniform, i) => {
  const radius = Math.sqrt(-2 * Math.log(uniform(i))), angle = 2 * Math.PI * uniform(i + 1);
  return [radius * Math.cos(angle), radius * Math.sin(angle)];
};

// The noise of a walk of n numbers: `fresh(i, t)` is what is added to number i on leaving time t.
/** @param {(i: number) => number} uniform @param {number} n even */
export const fresh = (uniform, n) => (/** @type {number} */ i, /** @type {number} */ t) =>
  gaussians(uniform, n * t + i - (i % 2))[i % 2];

// log x for x in (0, 1), from operations that every language rounds alike
/** @param {number} x */
const log = (x) => {
  let power = 0, total = 0;
  for (; x < 0.75; power++) x *= 2;
  const q = (x - 1) / (x + 1), square = q * q;
  for (let k = 21; k > 0; k -= 2) total = total * square + 1 / k;
  return 2 * q * total - power * 0.6931471805599453;
};

// A function that returns the next number from N(0, 1), bit for bit that of Python, by sfc32 and Marsaglia's polar method.
/** @param {number} seed 0..2^32 - 1 */
export const normals = (seed) => {
  let a = 0x9e3779b9 | 0, b = 0x243f6a88, c = seed | 0, d = 1;
  /** @type {number | null} */
  let kept = null;
  const uniform = () => {
    const word = (a + b + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + word) | 0;
    return ((word >>> 0) + 0.5) / 2147483648 - 1;
  };
  for (let i = 0; i < 12; i++) uniform();
  return () => {
    if (kept !== null) {
      const second = kept;
      kept = null;
      return second;
    }
    for (;;) {
      const v = uniform(), w = uniform(), s = v * v + w * w;
      if (s >= 1) continue;
      const radius = Math.sqrt((-2 * log(s)) / s);
      kept = w * radius;
      return v * radius;
    }
  };
};

// ---- Schedules, as in ddpm_lite.schedule, in float64

// beta_0..beta_T that rise along a line, as in ddpm_lite.schedule.linear_schedule
/** @param {number} T @param {[number, number]} ends beta_1 and beta_T */
export const linear = (T, [low, high]) => Float64Array.from({ length: T + 1 }, (_, t) => t && low + ((t - 1) / (T - 1)) * (high - low));

// alpha-bar_0..alpha-bar_T from beta_0..beta_T (eq-alpha-bar)
/** @param {ArrayLike<number>} beta */
export const alphaBar = (beta) => {
  let product = 1;
  return Float64Array.from(beta, (b) => (product *= 1 - b));
};

/** @param {ArrayLike<number>} beta @param {number[]} [times] @returns {Schedule} */
export const schedule = (beta, times = Array.from(beta, (_, t) => t)) => {
  let logs = 0;
  const rest = Float64Array.from(beta, (b) => Math.abs(Math.expm1((logs += Math.log1p(-b))))); // with all its digits
  const betaTilde = Float64Array.from(beta, (b, t) => (t ? (b * rest[t - 1]) / rest[t] : 0)); // eq-posterior-variance
  return { T: beta.length - 1, beta, times, alphaBar: alphaBar(beta), rest, betaTilde };
};

// Fewer, longer steps (eq-leap-beta); a half is rounded to the even number, as in torch.round.
/** @param {Schedule} full @param {number} steps @param {string} [spacing] */
export const respace = (full, steps, spacing = "trailing") => {
  const even = (/** @type {number} */ v) => (v % 1 === 0.5 ? 2 * Math.round(v / 2) : Math.round(v));
  const leading = (/** @type {number} */ k) => (k ? (k - 1) * Math.floor(full.T / steps) + 1 : 0);
  const trailing = (/** @type {number} */ k) => even((k * full.T) / steps);
  const chosen = Array.from({ length: steps + 1 }, (_, k) => (spacing === "leading" ? leading : trailing)(k));
  const beta = Float64Array.from(chosen, (t, k) => (k ? 1 - full.alphaBar[t] / full.alphaBar[chosen[k - 1]] : 0));
  return schedule(beta, chosen.map((t) => full.times[t]));
};

// ---- The closed form, as in ddpm_lite.process

// x_t from image and noise (eq-forward-closed), number by number, and the image back from x_t and noise (eq-x0-from-z).
/** @param {number} share alpha-bar_t @param {number} [rest] 1 - alpha-bar_t */
export const closed = (share, rest = 1 - share) => {
  const signal = Math.sqrt(share), spread = Math.sqrt(rest);
  return {
    signal,
    spread,
    noised: (/** @type {number} */ image, /** @type {number} */ z) => signal * image + spread * z,
    image: (/** @type {number} */ x, /** @type {number} */ z) => (x - spread * z) / signal,
  };
};

/** @param {number} value into [-1, 1] */
export const clipped = (value) => Math.min(1, Math.max(-1, value));

// The density of N(mean, variance) at a value
/** @param {number} value */
export const density = (value, mean = 0, variance = 1) =>
  Math.exp(-((value - mean) ** 2) / (2 * variance)) / Math.sqrt(2 * Math.PI * variance);

// Mean and standard deviation of numbers
/** @param {Float64Array} x @returns {[number, number]} */
export const moments = (x) => {
  let sum = 0, squares = 0;
  for (const v of x) sum += v;
  const mean = sum / x.length;
  for (const v of x) squares += (v - mean) ** 2;
  return [mean, Math.sqrt(squares / x.length)];
};

// Edges and heights of bars beside the curve of N(mean, spread^2), whose peak is 1. They are 0.26 deviations wide: narrow
// where the curve is, and with no noise of the widgets, a multiple of 1/4096, on an edge.
/** @param {Float64Array} x @param {number} mean @param {number} spread @returns {[number[], Float64Array]} */
export const histogram = (x, mean, spread) => {
  const counts = new Float64Array(39), width = 0.26 * spread;
  for (const v of x) counts[Math.floor((v - mean) / width + 19.5)]++;
  const edges = Array.from({ length: 40 }, (_, i) => mean + (i - 19.5) * width);
  return [edges, counts.map((count) => count / (0.26 * x.length * density(0)))];
};

// Mean and variance of the Gaussian that two densities make when they are multiplied: precisions add, and the mean is
// weighted by them (eq-match-square, eq-match-line).
/** @typedef {[number, number]} Bell mean and variance */
/** @param {Bell} one @param {Bell} other @returns {Bell} */
export const product = ([m, v], [n, w]) => [(m * w + n * v) / (v + w), (v * w) / (v + w)];

// ---- The exact z of a mixture of isotropic Gaussians in the plane, as in ddpm_lite.oracle

// Two functions of a point and its time t. `pull` gives [u, v, k]: minus the score of q(x_t) there, which is E[z | x_t]
// over sqrt(1 - alpha-bar_t) (eq-score-from-z), and the number of the most likely component. `z` gives E[z | x_t], the
// best possible z_hat (eq-oracle-mixture).
/**
 * @param {ArrayLike<number>} bar
 * @param {ArrayLike<number>} blobs x, y, standard deviation and weight of each component
 */
export const mixture = (bar, blobs) => {
  const K = blobs.length / 4, [logs, dx, dy, wide, first] = [0, 1, 2, 3, 4].map(() => new Float64Array(K));
  let now = -1, root = 0;
  const pull = (/** @type {number} */ x, /** @type {number} */ y, /** @type {number} */ t) => {
    // Many points are asked about at one time, and what depends on the time alone is kept.
    if (t !== now) {
      root = Math.sqrt(bar[(now = t)]);
      for (let k = 0; k < K; k++) {
        wide[k] = bar[t] * blobs[4 * k + 2] ** 2 + 1 - bar[t];
        first[k] = Math.log(blobs[4 * k + 3] / wide[k]);
      }
    }
    let best = 0, sum = 0, u = 0, v = 0;
    for (let k = 0; k < K; k++) {
      dx[k] = (x - root * blobs[4 * k]) / wide[k];
      dy[k] = (y - root * blobs[4 * k + 1]) / wide[k];
      logs[k] = first[k] - ((dx[k] ** 2 + dy[k] ** 2) * wide[k]) / 2;
      if (logs[k] > logs[best]) best = k;
    }
    for (let k = 0; k < K; k++) {
      const share = Math.exp(logs[k] - logs[best]);
      sum += share;
      u += share * dx[k];
      v += share * dy[k];
    }
    return [u / sum, v / sum, best];
  };
  const z = (/** @type {number} */ x, /** @type {number} */ y, /** @type {number} */ t) => {
    const [u, v] = pull(x, y, t), spread = Math.sqrt(1 - bar[t]);
    return [spread * u, spread * v];
  };
  return { pull, z };
};

// ---- The walk from noise to data, as in ddpm_lite.sampler

/**
 * @typedef {object} Options
 * @property {number} [eta] of DDIM
 * @property {string} [variance] of DDPM, "beta_tilde" or "beta"
 */

/**
 * @callback Step x_s = weightX x_t + weightImage x_0_hat + sigma noise with s = t - 1; a step returns these three numbers.
 * @param {Schedule} way @param {number} t @param {Options} [options] @returns {[number, number, number]}
 */

// eq-ddim-step, eq-ddim-sigma
/** @type {Step} */
export const ddim = ({ alphaBar: bar, rest }, t, { eta = 0 } = {}) => {
  const s = t - 1, sigma = eta * Math.sqrt((rest[s] / rest[t]) * (1 - bar[t] / bar[s]));
  const weightX = Math.sqrt(Math.max(rest[s] - sigma ** 2, 0) / rest[t]);
  return [weightX, Math.sqrt(bar[s]) - weightX * Math.sqrt(bar[t]), sigma];
};

// eq-posterior-mean, eq-ddpm-step
/** @type {Step} */
export const ddpm = ({ alphaBar: bar, rest, beta, betaTilde }, t, { variance = "beta_tilde" } = {}) => {
  const s = t - 1, share = variance === "beta" ? (s ? beta[t] : 0) : betaTilde[t];
  return [(Math.sqrt(1 - beta[t]) * rest[s]) / rest[t], (Math.sqrt(bar[s]) * beta[t]) / rest[t], Math.sqrt(share)];
};

// The steps by their names in the package, in the order of ddpm_lite.viz.widgets.drawing.SAMPLERS.
/** @type {Record<string, Step>} */
export const samplers = { ddim, ddpm };

// From x_T to x_0, one frame for each step (alg-sampling). A frame has x_t at time t, and the estimates z and image of the
// noise and of x_0; the last one, t = 0, has the image only. Later steps do not change a frame. Where `ask` is a generator,
// what it yields comes between the frames.
/**
 * @param {(x: Float64Array, t: number) => any} ask z_hat; the next call may overwrite it
 * @param {Schedule} way
 * @param {Float64Array} x x_T
 * @param {(i: number, t: number) => number} noise what is added to x[i] on leaving step t, in order of i
 * @param {Step} step a function and not a name, so that a widget carries only the steps that it takes
 * @param {Options & { clip?: boolean }} [options]
 */
export function* walk(ask, way, x, noise, step, { clip = true, ...options } = {}) {
  for (let t = way.T; t > 0; t--) {
    const asked = ask(x, way.times[t]), z = Float64Array.from(asked.next ? yield* asked : asked);
    const { image: implied } = closed(way.alphaBar[t], way.rest[t]), image = x.map((v, i) => implied(v, z[i]));
    yield { t: way.times[t], x, z, image };
    const [weightX, weightImage, sigma] = step(way, t, options);
    x = x.map((v, i) => {
      return weightX * v + weightImage * (clip ? clipped(image[i]) : image[i]) + (sigma && sigma * noise(i, t));
    });
  }
  yield { t: 0, x, z: null, image: x };
}

// ---- The product of matrices

/** @typedef {Float32Array | Float64Array} Numbers */

// c[m, p] += sum over k of a[m, k] b[k, p]. Four rows of a and two columns of b at a time, because then eight
// products read only six numbers. `a` is stored in groups of four rows: m, m + 1, m + 2, m + 3 at k = 0, then at k = 1...
// b[k, p] is at firstB + k bk + p bp, and c[m, p] at firstC + m cm + p cp. shared/engine.js has a faster one.
/**
 * @param {Numbers} a @param {Numbers} b @param {number} firstB @param {number} bk @param {number} bp
 * @param {Numbers} c @param {number} firstC @param {number} cm @param {number} cp
 * @param {number} M @param {number} K @param {number} P
 */
export const multiply = (a, b, firstB, bk, bp, c, firstC, cm, cp, M, K, P) => {
  for (let m = 0; m < M; m += 4) {
    for (let p = 0; p < P; p += 2) {
      const paired = p + 1 < P;
      let i = m * K, j = firstB + p * bp, l = paired ? j + bp : j;
      let e = 0, f = 0, g = 0, h = 0, r = 0, s = 0, t = 0, u = 0;
      for (const end = i + 4 * K; i < end; i += 4, j += bk, l += bk) {
        const x = b[j], y = b[l], w0 = a[i], w1 = a[i + 1], w2 = a[i + 2], w3 = a[i + 3];
        e += w0 * x;
        r += w0 * y;
        f += w1 * x;
        s += w1 * y;
        g += w2 * x;
        t += w2 * y;
        h += w3 * x;
        u += w3 * y;
      }
      const at = firstC + m * cm + p * cp, rows = M - m;
      c[at] += e;
      if (rows > 1) c[at + cm] += f;
      if (rows > 2) c[at + 2 * cm] += g;
      if (rows > 3) c[at + 3 * cm] += h;
      if (!paired) continue;
      c[at + cp] += r;
      if (rows > 1) c[at + cp + cm] += s;
      if (rows > 2) c[at + cp + 2 * cm] += t;
      if (rows > 3) c[at + cp + 3 * cm] += u;
    }
  }
};

// Stores a matrix of M rows and K columns in groups of four rows for `multiply`; its entry (m, k) is at m rm + k rk.
/** @param {number} M */
export const fours = (M) => 4 * Math.ceil(M / 4);
/** @param {Numbers} to @param {ArrayLike<number>} from @param {number} first @param {number} M @param {number} K @param {number} rm @param {number} rk */
export const pack = (to, from, first, M, K, rm, rk) => {
  for (let m = 0; m < M; m++) {
    for (let k = 0, i = (m - (m % 4)) * K + (m % 4), j = first + m * rm; k < K; k++, i += 4, j += rk) to[i] = from[j];
  }
};
