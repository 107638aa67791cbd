// Trains the small U-Net of the page on a set of pictures of the reader's own, without labels, and draws samples on the way.
// The pictures are strings of 64 letters, A for paper to Q for ink, like the digits in the network's file.
import { open } from "./engine.js";
import { trainable } from "./grad.js";
import { asker, FEW, firstWeights, readImages, WARMUP } from "./lesson.js";
import { ddim, normals, respace, walk } from "./science.js";
import { addGradient, drawBatch, optimiser } from "./train.js";
import { unpack } from "./unet.js";

const SAMPLES = 8; // as many as the network takes at once

// As `lesson` of lesson.js. A run yields `{ step, loss }` after each step and `{ step, samples }` after each look.
/** @param {{ sum: number, text: string }} whole @param {{ simd?: boolean }} [options] */
export const setLesson = (whole, options) => {
  const memory = open(options), read = unpack(whole, memory), { file, way } = read, net = trainable(read, memory);
  const { size, B } = net, few = respace(way, FEW), none = file.labels, ask = asker(net);
  const start = Float64Array.from({ length: SAMPLES * size }, normals(0)), nothing = Array(SAMPLES).fill(none);

  function* look(/** @type {Float32Array} */ mean, /** @type {number} */ step) {
    const kept = net.weights.slice();
    const use = (/** @type {Float32Array} */ weights) => {
      net.weights.set(weights);
      net.renew();
    };
    use(mean);
    const estimate = (/** @type {Float64Array} */ x, /** @type {number} */ t) => ask(x, Array(SAMPLES).fill(t), nothing);
    let samples = start;
    for (const frame of walk(estimate, few, start, () => 0, ddim)) {
      if (frame) samples = frame.x;
      yield null;
    }
    use(kept);
    yield { step, samples };
  }
  return {
    about: { digits: file.images },
    /** @param {{ pictures: string[], seed: number, steps: number, every: number, batch: number, rate: number }} settings */
    *learn({ pictures, seed, steps, every, batch, rate }) {
      const data = { images: readImages(pictures.join("")), labels: pictures.map(() => none), none };
      net.weights.set(firstWeights(file, seed));
      net.gradient.fill(0);
      net.renew();
      const adam = optimiser(net.weights, { warmup: WARMUP, rate });
      for (let step = 1; step <= steps; step++) {
        const drawn = drawBatch(data, way.T, { seed, batch, dropout: 0 }, step);
        let loss = 0;
        for (let first = 0; first < batch; first += B) {
          loss += addGradient(net, way, drawn, { first, end: Math.min(batch, first + B) });
          yield null;
        }
        adam.step(net.weights, net.gradient);
        net.renew();
        yield { step, loss };
        if (step % every === 0 || step === steps) yield* look(adam.average, step);
      }
    },
  };
};
