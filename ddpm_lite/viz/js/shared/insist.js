// Guidance where both answers are known: the classes are the components of a mixture in the plane.
import { ddim, mixture, respace, walk } from "./science.js";

/** @typedef {import("./science.js").Schedule} Schedule */

// All states of a walk by DDIM from the points `start`, guided towards class `label` with strength w (eq-guidance).
/**
 * @param {Schedule} full
 * @param {Float64Array} blobs x, y, standard deviation and weight of each class
 * @param {number} steps
 */
export const insist = (full, blobs, steps) => {
  const way = respace(full, steps), every = mixture(full.alphaBar, blobs);
  const each = Array.from({ length: blobs.length / 4 }, (_, k) => mixture(full.alphaBar, blobs.subarray(4 * k, 4 * k + 4)));
  return (/** @type {Float64Array} */ start, /** @type {number} */ label, /** @type {number} */ w) => {
    const ask = (/** @type {Float64Array} */ x, /** @type {number} */ t) => {
      const z = new Float64Array(x.length);
      for (let i = 0; i < x.length; i += 2) {
        const [u, v] = each[label].z(x[i], x[i + 1], t), [p, q] = every.z(x[i], x[i + 1], t);
        z[i] = u + w * (u - p);
        z[i + 1] = v + w * (v - q);
      }
      return z;
    };
    return Array.from(walk(ask, way, start, () => 0, ddim, { clip: false }), ({ x }) => x);
  };
};

// Mean, as a distance from the middle towards the class, and standard deviation of points with weights: those of class
// `label` are at [x, y], and the middle of all classes is at 0.
/**
 * @param {ArrayLike<number>} points x and y of each in turn
 * @param {number[]} towards the mean of the class
 * @param {(i: number) => number} [weight] of point i
 */
export const describe = (points, [p, q], weight = () => 1) => {
  let sum = 0, mx = 0, my = 0, squares = 0;
  for (let i = 0; i < points.length; i += 2) {
    const share = weight(i / 2), x = points[i], y = points[i + 1];
    sum += share;
    mx += x * share;
    my += y * share;
    squares += share * (x * x + y * y);
  }
  mx /= sum;
  my /= sum;
  return { mean: (mx * p + my * q) / Math.hypot(p, q), spread: Math.sqrt((squares / sum - mx * mx - my * my) / 2) };
};

// Mean and standard deviation of the sharpened density q(x_0 | c) q(c | x_0)^w (eq-sharpened-score), from sums over a grid,
// which are exact to many digits because the density is smooth and vanishes at the ends. The logarithms of q(x_0 | c) and
// q(x_0) on the grid are computed once.
/** @param {Float64Array} blobs */
export const sharpened = (blobs) => {
  /** @type {number[]} */
  const points = [], all = [];
  const own = Array.from({ length: blobs.length / 4 }, () => /** @type {number[]} */ ([]));
  for (let x = -5; x <= 5; x += 0.125) {
    for (let y = -5; y <= 5; y += 0.125) {
      let sum = 0;
      own.forEach((logs, k) => {
        const [a, b, deviation, share] = blobs.subarray(4 * k), variance = deviation ** 2;
        logs.push(Math.log(share / variance) - ((x - a) ** 2 + (y - b) ** 2) / (2 * variance));
        sum += Math.exp(logs[logs.length - 1]);
      });
      points.push(x, y);
      all.push(Math.log(sum));
    }
  }
  return (/** @type {number} */ label, /** @type {number} */ w) => {
    const logs = own[label];
    return describe(points, [blobs[4 * label], blobs[4 * label + 1]], (i) => Math.exp(logs[i] + w * (logs[i] - all[i])));
  };
};
