// The course of the digits: samples of all ten from one noise, and what the network estimates of one image at three times.
import { closed, ddim, normals, respace, walk } from "./science.js";
import { school } from "./school.js";

export const FEW = 25;
const BATCH = 32, TIMES = [100, 300, 600], DROPOUT = 0.1, GUIDANCE = 1;

// Images in letters: A is -1, and 16 letters later there is 1.
export const readImages = (/** @type {string} */ text) => Float32Array.from(text, (letter) => (letter.charCodeAt(0) - 65) / 8 - 1);

// The samples that a walk from `start` ends with. `estimate(x, t)` is a generator that returns z_hat.
/** @param {any} estimate @param {import("./science.js").Schedule} way @param {Float64Array} start */
export function* drawSamples(estimate, way, start) {
  let samples = start;
  for (const frame of walk(estimate, respace(way, FEW), start, () => 0, ddim)) {
    if (frame) samples = frame.x;
    yield null;
  }
  return samples;
}

/** @param {{ file: any, way: import("./science.js").Schedule }} read @returns {import("./school.js").Course} */
const digits = ({ file, way }) => {
  const N = file.labels, data = { images: readImages(file.images), labels: Array.from(file.answers, Number), none: N };
  const one = readImages(file.held_out), size = one.length, draw = normals(0);
  const start = Float64Array.from({ length: N * size }, draw), noise = Float64Array.from({ length: size }, draw);
  const noisy = TIMES.map((t) => Float64Array.from(one, (v, i) => closed(way.alphaBar[t], way.rest[t]).noised(v, noise[i])));
  function* guess(ask, time) {
    const z = yield* ask(noisy.flatMap((x) => [...x]), TIMES.map(time), TIMES.map(() => N));
    return TIMES.map((t, k) => noisy[k].map((v, i) => closed(way.alphaBar[t], way.rest[t]).image(v, z[k * size + i])));
  }
  return {
    about: { one, noisy, times: TIMES, batch: BATCH },
    batch: BATCH,
    dropout: DROPOUT,
    samples: N,
    data: () => data,
    *look(ask, { told }, first, end) {
      const time = (/** @type {number} */ t) => (told ? t : 1), asked = Array.from({ length: end - first }, (_, i) => first + i);
      const labels = [...asked, ...asked.map(() => N)];
      // eq-guidance, for all of these digits at once
      function* guided(/** @type {Float64Array} */ x, /** @type {number} */ t) {
        const z = yield* ask([...x, ...x], labels.map(() => time(t)), labels);
        return x.map((_, i) => z[i] + GUIDANCE * (z[i] - z[i + x.length]));
      }
      const samples = yield* drawSamples(guided, way, start.slice(first * size, end * size));
      return { samples, guesses: first ? undefined : yield* guess(ask, time) };
    },
  };
};

/** @param {{ sum: number, text: string }} whole @param {any} [options] those of `school` */
export const lesson = (whole, options) => school(whole, digits, options);
