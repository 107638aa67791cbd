// The course of a reader's own pictures, without labels. They are strings of 64 letters, A for paper to Q for ink, like the
// digits in the network's file.
import { drawSamples, readImages } from "./lesson.js";
import { normals } from "./science.js";
import { school } from "./school.js";

const SAMPLES = 8;

/** @param {{ file: any, way: import("./science.js").Schedule }} read @param {{ batch: number }} options @returns {import("./school.js").Course} */
const own = ({ file, way }, { batch }) => {
  const size = file.held_out.length, start = Float64Array.from({ length: SAMPLES * size }, normals(0)), none = file.labels;
  return {
    about: { digits: file.images },
    batch,
    dropout: 0,
    samples: SAMPLES,
    data: ({ pictures = [] }) => ({ images: readImages(pictures.join("")), labels: pictures.map(() => none), none }),
    *look(ask, _, first, end) {
      const all = (/** @type {number} */ value) => Array(end - first).fill(value);
      const estimate = (/** @type {Float64Array} */ x, /** @type {number} */ t) => ask(x, all(t), all(none));
      return { samples: yield* drawSamples(estimate, way, start.slice(first * size, end * size)) };
    },
  };
};

/** @param {{ sum: number, text: string }} whole @param {any} [options] those of `school` */
export const setLesson = (whole, options) => school(whole, own, options);
