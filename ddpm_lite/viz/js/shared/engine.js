// Numbers that a network works on, and the product of matrices: in WebAssembly with SIMD (kernel.js), or in plain JavaScript
// where a browser refuses it. Both give the same to within float32's rounding.
import { assemble, source } from "./kernel.js";
import { fours, multiply, pack } from "./science.js";

/**
 * @typedef {object} Room A place for float32 numbers. Its array is read anew whenever it is needed, because a memory that
 * grows has a new one.
 * @property {number} at number of the first one in the memory
 * @property {number} size
 * @property {Float32Array} data
 * @property {(first: number) => Room} part what begins at `first`
 */

/**
 * @typedef {object} Memory
 * @property {boolean} simd whether the product is WebAssembly's
 * @property {(size: number) => Room} take room for so many numbers, all 0
 * @property {(a: Room, b: Room, c: Room, M: number, K: number, P: number, across?: number, panel?: number, down?: number) => void} multiply
 *   c[m, p] += sum over k of a[m, k] b[k, p]. `a` is as `pack` of science.js stores it; b[k, p] is the number
 *   floor(p / 8) panel + k across + p mod 8, row by row unless told otherwise, and c[m, p] the number m down + p.
 * @property {((a: Room, b: Room, c: Room, M: number, K: number, P: number, places: Room) => void) | null} filter the same
 *   where b[k, p] is the number places[k] + p of b, or null without SIMD. `place` makes the places.
 * @property {(places: number[]) => Room} place
 * @property {(x: Room, to: Room) => void} silu x / (1 + exp(-x)), for as many numbers as `x` has
 */

const PAGE = 65536, EIGHT = 8;
/** @type {WebAssembly.Module | null | undefined} */
let compiled;

// The compiled product, or null if this browser has no WebAssembly, no SIMD, or may not compile.
const compile = () => {
  for (const fused of [true, false]) {
    try {
      const bytes = assemble(source(fused));
      if (WebAssembly.validate(bytes)) return new WebAssembly.Module(bytes);
    } catch {
      // A page may be forbidden to compile; JavaScript does it then.
    }
  }
  return null;
};

/** @returns {Memory} */
const plain = () => {
  /** @param {Float32Array} data @param {number} at @returns {Room} */
  const room = (data, at) => ({ at, size: data.length, data, part: (first) => room(data.subarray(first), at + first) });
  return {
    simd: false,
    take: (size) => room(new Float32Array(size), 0),
    multiply: (a, b, c, M, K, P, across = P, panel = EIGHT, down = P) => {
      for (let p = 0; p < P; p += EIGHT) {
        multiply(a.data, b.data, (p / EIGHT) * panel, across, 1, c.data, p, down, 1, M, K, Math.min(EIGHT, P - p));
      }
    },
    filter: null,
    place: () => room(new Float32Array(0), 0),
    silu: (x, to) => {
      const from = x.data, into = to.data;
      for (let i = 0; i < from.length; i++) into[i] = from[i] / (1 + Math.exp(-from[i]));
    },
  };
};

/** @param {{ simd?: boolean }} [options] @returns {Memory} */
export const open = ({ simd = true } = {}) => {
  if (compiled === undefined) compiled = compile();
  if (!simd || !compiled) return plain();
  const { memory, multiply: run, filter, silu } = /** @type {any} */ (new WebAssembly.Instance(compiled).exports);
  let whole = new Float32Array(memory.buffer), used = 32; // the kernel keeps a tile in the first 128 bytes
  /** @param {number} at @param {number} size @returns {Room} */
  const room = (at, size) => {
    let view = new Float32Array(memory.buffer, 4 * at, size);
    return {
      at,
      size,
      get data() {
        if (view.buffer !== memory.buffer) view = new Float32Array(memory.buffer, 4 * at, size);
        return view;
      },
      part: (first) => room(at + first, size - first),
    };
  };
  /** @param {number} size */
  const take = (size) => {
    const at = used;
    // The kernel reads whole tiles, so up to 7 numbers follow the last ones.
    used += fours(size);
    const more = used + EIGHT - whole.length;
    if (more > 0) {
      memory.grow(Math.ceil((4 * more) / PAGE) + 16);
      whole = new Float32Array(memory.buffer);
    }
    return room(at, size);
  };
  return {
    simd: true,
    take,
    filter: (a, b, c, M, K, P, places) => filter(4 * a.at, 4 * b.at, 4 * c.at, M, K, P, 4 * places.at, 4 * EIGHT, 4 * P),
    place: (places) => {
      const made = take(places.length);
      new Int32Array(memory.buffer, 4 * made.at, places.length).set(places.map((number) => 4 * number));
      return made;
    },
    silu: (x, to) => silu(4 * x.at, 4 * to.at, 4 * (x.at + x.size)),
    multiply: (a, b, c, M, K, P, across = P, panel = EIGHT, down = P) => run(4 * a.at, 4 * b.at, 4 * c.at, M, K, P, 4 * across, 4 * panel, 4 * down),
  };
};

// ---- What `multiply` takes: matrices in groups of four rows or of eight columns

// Room for a matrix of M rows and K columns in groups of four rows, and for one of K rows and P columns in groups of eight
// columns, and what fills them. Entry (m, k) of the first comes from m rm + k rk, and (k, p) of the second from k rk + p rp.
/** @param {number} M @param {number} K */
export const roomForRows = (M, K) => fours(M) * K;
/** @param {number} K @param {number} P */
export const roomForColumns = (K, P) => EIGHT * Math.ceil(P / EIGHT) * K;
/** @param {Float32Array} to @param {Float32Array} from @param {number} M @param {number} K @param {number} [rm] @param {number} [rk] */
export const packRows = (to, from, M, K, rm = K, rk = 1) => pack(to, from, 0, M, K, rm, rk);
/** @param {Float32Array} to @param {Float32Array} from @param {number} K @param {number} P @param {number} [rk] @param {number} [rp] */
export const packColumns = (to, from, K, P, rk = P, rp = 1) => {
  for (let p = 0; p < P; p++) {
    for (let k = 0, i = Math.floor(p / EIGHT) * EIGHT * K + (p % EIGHT), j = p * rp; k < K; k++, i += EIGHT, j += rk) to[i] = from[j];
  }
};
