// Runs a trained network, and samples from it, from a file of `python -m ddpm_lite export-page`. The order of the layers is in
// the file; the dozen PyTorch functions that it names are here. Tensors are float32 as in PyTorch. Matrices are multiplied by
// engine.js, in WebAssembly where the browser has its SIMD. Pages, workers and node run this same module.
import { open, packColumns, packRows, roomForColumns, roomForRows } from "./engine.js";
import { checksum, fours, normals, respace, samplers, schedule, walk } from "./science.js";
import { finish } from "./turns.js";

// ---- PyTorch's functions. Each maker gets its operands, the tensor of its result, the settings of the call and the memory,
// and returns the function that a forward pass calls. What can be prepared is prepared once, so that no pass allocates arrays.

// Numbers of a shape, in a room of the memory, or in an array of their own (`{ data }`) if they are no factor of a product.
export class Tensor {
  /** @param {number[]} shape @param {import("./engine.js").Room | { data: any }} room */
  constructor(shape, room) {
    this.shape = shape;
    this.room = /** @type {import("./engine.js").Room} */ (room);
  }
  /** @returns {any} */
  get data() {
    return this.room.data;
  }
}

export const count = (shape) => shape.reduce((a, b) => a * b, 1);
export const known = (condition, words) => {
  if (!condition) throw new Error(`${words}: the network uses a function that this page does not support.`);
};

// out[i] = x[from[i]], and 0 where from[i] is -1.
const gather = (x, out, from) => () => {
  const data = x.data, to = out.data;
  for (let i = 0; i < from.length; i++) to[i] = from[i] < 0 ? 0 : data[from[i]];
};

// Where the numbers of a result come from: `place` turns a result's indices into the operand's.
export const sources = (shape, of, place) => {
  const from = new Int32Array(count(shape));
  const at = shape.map(() => 0);
  for (let i = 0; i < from.length; i++) {
    let rest = i;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      at[axis] = rest % shape[axis];
      rest = (rest - at[axis]) / shape[axis];
    }
    const there = place(at);
    from[i] = there.every((v, axis) => v >= 0 && v < of[axis]) ? there.reduce((sum, v, axis) => sum * of[axis] + v, 0) : -1;
  }
  return from;
};

// Where the numbers of a result come from if each keeps its place: one list for all results of a size.
/** @type {Map<number, Int32Array>} */
const kept = new Map();
const inOrder = (/** @type {number} */ size) => {
  if (!kept.has(size)) kept.set(size, new Int32Array(size).map((_, i) => i));
  return kept.get(size);
};

// torch.add and its like: two tensors, or a tensor and a number, stretched to the result's shape where they are 1. Its calls
// are marked as pure, so that a bundle which only reads a network's file leaves the operations out.
const elementwise = (apply) => (operands, out) => {
  const [x, y] = operands, [i, j] = operands.map(({ shape }) => {
    if (count(shape) === count(out.shape)) return inOrder(count(shape));
    const short = out.shape.length - shape.length;
    known(short >= 0, "broadcasting");
    return sources(out.shape, shape, (at) => shape.map((size, axis) => (size === 1 ? 0 : at[axis + short])));
  });
  return () => apply(x.data, i, y.data, j, out.data);
};

export const operations = {
  // torch.nn.functional.conv2d: the filters, times columns of the pixels that they see
  conv2d: ([x, weight, bias], out, { stride, padding }, { take, multiply, filter, place, scratch }) => {
    const [O, C, kh, kw] = weight.shape, [, , H, W] = x.shape, [, , h, w] = out.shape, K = C * kh * kw, P = h * w;
    const filters = take(roomForRows(O, K));
    packRows(filters.data, weight.data, O, K);
    const start = () => {
      for (let o = 0; o < O; o++) out.data.fill(bias.data[o], o * P, o * P + P);
    };
    if (kh === 1 && kw === 1 && stride[0] === 1 && stride[1] === 1 && !padding[0] && !padding[1]) {
      return () => {
        start();
        multiply(filters, x.room, out.room, O, K, P);
      };
    }
    if (filter && stride[0] === 1 && stride[1] === 1) {
      // With zeros around the image, what the filter sees from the next pixel is one number further, so nothing is copied
      // for it. The result is as wide as that image: what is computed from its last pixels of a row is left out.
      const tall = H + 2 * padding[0], wide = W + 2 * padding[1], columns = 8 * Math.ceil((h * wide) / 8);
      const framed = C * tall * wide + kw + 8, space = scratch(fours(framed) + O * columns);
      const places = place(Array.from({ length: K }, (_, k) => Math.floor(k / (kh * kw)) * tall * wide + Math.floor((k % (kh * kw)) / kw) * wide + (k % kw)));
      return () => {
        const image = space(), sums = image.part(fours(framed)), from = x.data, to = out.data, cells = image.data, made = sums.data;
        cells.fill(0, 0, fours(framed) + O * columns);
        for (let c = 0, i = 0, row = padding[0] * wide + padding[1]; c < C; c++, row += 2 * padding[0] * wide) {
          for (let y = 0; y < H; y++, row += wide) for (let at = row; at < row + W; ) cells[at++] = from[i++];
        }
        filter(filters, image, sums, O, K, columns, places);
        for (let o = 0, i = 0; o < O; o++) {
          const shift = bias.data[o];
          for (let y = 0, row = o * columns; y < h; y++, row += wide) for (let at = row; at < row + w; ) to[i++] = made[at++] + shift;
        }
      };
    }
    // For one channel and eight pixels of the result at a time: which pixel each (a, b) of the filter sees from pixel p.
    const columns = scratch(roomForColumns(K, P)), EIGHT = 8, each = EIGHT * kh * kw;
    const seen = sources([Math.ceil(P / EIGHT), kh, kw, EIGHT], [H, W], ([panel, a, b, lane]) => {
      const p = EIGHT * panel + lane;
      return p < P ? [Math.floor(p / w) * stride[0] + a - padding[0], (p % w) * stride[1] + b - padding[1]] : [-1, -1];
    });
    return () => {
      const cells = columns().data, data = x.data;
      for (let first = 0, to = 0; first < seen.length; first += each) {
        for (let c = 0; c < C; c++) {
          const plane = c * H * W;
          for (let i = first; i < first + each; i++) cells[to++] = seen[i] < 0 ? 0 : data[plane + seen[i]];
        }
      }
      start();
      multiply(filters, columns(), out.room, O, K, P, EIGHT, EIGHT * K);
    };
  },
  // torch.nn.functional.linear: x W^T + bias, for every row of x
  linear: ([x, weight, bias], out, _, { take, multiply, scratch }) => {
    const [O, K] = weight.shape, P = count(x.shape) / K, across = take(roomForColumns(K, O)), rows = scratch(roomForRows(P, K));
    packColumns(across.data, weight.data, K, O, 1, K);
    return () => {
      packRows(rows().data, x.data, P, K);
      for (let p = 0; p < P; p++) out.data.set(bias.data, p * O);
      multiply(rows(), across, out.room, P, K, O, 8, 8 * K);
    };
  },
  // torch.nn.functional.group_norm: each group of channels to mean 0 and variance 1, then each channel's own scale
  group_norm: ([x, weight, bias], out, { groups, eps }) => {
    const C = x.shape[1], size = count(x.shape.slice(2)), each = (C / groups) * size;
    return () => {
      const from = x.data, to = out.data;
      for (let first = 0; first < C * size; first += each) {
        let mean = 0, variance = 0;
        for (let i = first; i < first + each; i++) mean += from[i];
        mean /= each;
        for (let i = first; i < first + each; i++) variance += (from[i] - mean) * (from[i] - mean);
        const scale = 1 / Math.sqrt(variance / each + eps);
        for (let i = first; i < first + each; ) {
          const c = i / size, by = weight.data[c] * scale, shift = bias.data[c] - mean * by;
          for (const end = i + size; i < end; i++) to[i] = from[i] * by + shift;
        }
      }
    };
  },
  // torch.nn.functional.scaled_dot_product_attention: softmax(Q K^T / sqrt(d)) V (eq-attention)
  scaled_dot_product_attention: ([q, k, v], out, _, { multiply, scratch }) => {
    const [queries, d] = q.shape.slice(-2), keys = k.shape.at(-2), width = v.shape.at(-1), heads = count(q.shape) / queries / d;
    const sizes = [roomForRows(queries, d), roomForColumns(d, keys), fours(queries * keys), roomForRows(queries, keys)];
    const space = scratch(sizes.reduce((a, b) => a + b)), root = 1 / Math.sqrt(d);
    return () => {
      let first = 0;
      const [rows, across, scores, shares] = sizes.map((size) => space().part((first += size) - size));
      for (let head = 0; head < heads; head++) {
        packRows(rows.data, q.data.subarray(head * queries * d), queries, d);
        packColumns(across.data, k.data.subarray(head * keys * d), d, keys, 1, d);
        const weights = scores.data, packed = shares.data, result = out.room.part(head * queries * width);
        weights.fill(0, 0, queries * keys);
        multiply(rows, across, scores, queries, d, keys, 8, 8 * d);
        for (let m = 0; m < queries; m++) {
          const from = m * keys, end = from + keys;
          let most = -Infinity, total = 0;
          for (let i = from; i < end; i++) if (weights[i] > most) most = weights[i];
          for (let i = from; i < end; i++) total += weights[i] = Math.exp((weights[i] - most) * root);
          for (let i = from, to = (m - (m % 4)) * keys + (m % 4); i < end; i++, to += 4) packed[to] = weights[i] / total;
        }
        result.data.fill(0, 0, queries * width);
        multiply(shares, v.room.part(head * keys * width), result, queries, keys, width);
      }
    };
  },
  // torch.nn.functional.silu: x times the logistic function of x
  silu: ([x], out, _, { silu }) => () => silu(x.room, out.room),
  // torch.nn.functional.embedding: the rows of a table
  embedding: ([x, table], out) => () => {
    const width = table.shape[1], row = x.data[0];
    if (!(row >= 0 && row < table.shape[0] && x.data.length === 1)) throw new Error(`label: expected 0 to ${table.shape[0] - 1}`);
    for (let i = 0; i < width; i++) out.data[i] = table.data[row * width + i];
  },
  // torch.nn.functional.interpolate, "nearest": every pixel several times
  interpolate: ([x], out, { scale }) =>
    gather(x, out, sources(out.shape, x.shape, ([n, c, i, j]) => [n, c, Math.floor(i / scale), Math.floor(j / scale)])),
  // torch.nn.functional.pad with zeros: left, right, top, bottom
  pad: ([x], out, { pad: [left, , top] }) =>
    gather(x, out, sources(out.shape, x.shape, ([n, c, i, j]) => [n, c, i - top, j - left])),
  // torch.Tensor.transpose
  transpose: ([x], out, { axes: [a, b] }) => {
    if (Math.abs(a - b) === 1 && (x.shape[a] === 1 || x.shape[b] === 1)) return operations.reshape([x], out);
    const swap = (at) => at.map((_, axis) => at[axis === a ? b : axis === b ? a : axis]);
    return gather(x, out, sources(out.shape, x.shape, swap));
  },
  // torch.cat along an axis with nothing but ones before it: one after the other
  cat: (parts, out, { axis }) => {
    known(count(out.shape.slice(0, axis)) === 1, "cat");
    return () => {
      let to = 0;
      for (const part of parts) {
        out.data.set(part.data, to);
        to += part.data.length;
      }
    };
  },
  // torch.reshape and other functions that only change the shape
  reshape: ([x], out) => {
    out.room = x.room;
    return null;
  },
  add: /* @__PURE__ */ elementwise((a, i, b, j, out) => {
    for (let n = 0; n < out.length; n++) out[n] = a[i[n]] + b[j[n]];
  }),
  sub: /* @__PURE__ */ elementwise((a, i, b, j, out) => {
    for (let n = 0; n < out.length; n++) out[n] = a[i[n]] - b[j[n]];
  }),
  mul: /* @__PURE__ */ elementwise((a, i, b, j, out) => {
    for (let n = 0; n < out.length; n++) out[n] = a[i[n]] * b[j[n]];
  }),
  sin: ([x], out) => () => out.data.set(Array.from(x.data, Math.sin)),
  cos: ([x], out) => () => out.data.set(Array.from(x.data, Math.cos)),
};

// ---- The file

const bytes = (base64) => {
  const text = atob(base64), made = new Uint8Array(text.length);
  for (let i = 0; i < made.length; i++) made[i] = text.charCodeAt(i);
  return made.buffer;
};

// IEEE float16: a sign, five bits of exponent, ten of fraction
const half = (bits) => {
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
  return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24);
};

// The multiple of each character, as in export_page.py: those of ASCII without five that mean something in a script.
const LEVEL = new Int8Array(128);
Array.from({ length: 94 }, (_, i) => 33 + i).filter((code) => !`"'\\<\``.includes(String.fromCharCode(code))).forEach((code, i) => (LEVEL[code] = i - 44));

// What is in a file that export_page.py wrote, and the tensors that its operations begin with, in their order. Inputs are
// in the memory, because a product may take them. It is read in parts, because large files take a slow machine long.
/** @param {{ sum: number, text: string }} whole @param {import("./engine.js").Memory} memory */
export function* unpacking({ sum, text }, memory) {
  if (checksum(text) !== sum) throw new Error("The network's file is damaged.");
  yield;
  const file = JSON.parse(text);
  yield;
  if (file.form !== 1 && file.form !== 2) throw new Error("The network's file has another format than this page reads.");
  const halves = new Uint16Array(bytes(file.float16)), table = new Float32Array(65536).fill(NaN), { levels } = file;
  let used = 0, at = 0;
  const next = () => {
    const bits = halves[used++];
    return table[bits] === table[bits] ? table[bits] : (table[bits] = half(bits));
  };
  const read = (/** @type {Float32Array} */ data, /** @type {number} */ first, /** @type {number} */ end, /** @type {boolean} */ stepped) => {
    for (let i = first, step = stepped ? next() : 0; i < end; i++) data[i] = stepped ? step * LEVEL[levels.charCodeAt(at++)] : next();
  };
  const weights = [];
  for (const [, shape] of file.weights) {
    // With levels, each row of a matrix has a step of its own, and a character for each multiple.
    const data = new Float32Array(count(shape)), stepped = levels !== undefined && shape.length > 1, row = data.length / (stepped ? shape[0] : 1);
    for (let first = 0; first < data.length; first += row) {
      read(data, first, first + row, stepped);
      yield;
    }
    weights.push(new Tensor(shape, { data }));
  }
  const inputs = file.inputs.map(([, shape]) => new Tensor(shape, memory.take(count(shape))));
  const constants = file.constants.map(([shape, data]) => new Tensor(shape, { data: new Float64Array(bytes(data)) }));
  return { file, inputs, weights, constants, way: schedule(new Float64Array(bytes(file.beta))) };
}
/** @param {Parameters<typeof unpacking>} all */
export const unpack = (...all) => finish(unpacking(...all));

// The network in such a file, made in parts, each of some milliseconds; `network` makes it at once. `ask(x_t, t, label)` is
// its z_hat, an array that the next call overwrites, and `asking` is the same in parts, one for each operation. The number
// after the last label means "no label". Without `simd` the products are plain JavaScript's.
/** @param {{ sum: number, text: string }} whole @param {{ simd?: boolean, memory?: import("./engine.js").Memory }} [options] */
export function* building(whole, { simd = true, memory = open({ simd }) } = {}) {
  const { file, inputs, weights, constants, way } = yield* unpacking(whole, memory), values = [...inputs, ...weights, ...constants];
  // Room that all operations use in turn, as large as the largest of them needs.
  let most = 0;
  /** @type {import("./engine.js").Room | undefined} */
  let shared;
  const scratch = (/** @type {number} */ size) => {
    most = Math.max(most, size);
    return () => (shared ??= memory.take(most));
  };
  const steps = [];
  for (const [name, operands, shape, settings] of file.operations) {
    yield;
    known(Object.hasOwn(operations, name), name);
    const out = new Tensor(shape, name === "reshape" ? { data: null } : memory.take(count(shape)));
    const step = operations[name](operands.map((i) => values[i]), out, settings, { ...memory, scratch });
    if (step) steps.push(step);
    values.push(out);
  }
  const [x, time, label] = inputs, output = values[file.output];
  /** @param {ArrayLike<number>} x_t @param {number} t @param {number} [which] @returns {Generator<undefined, Float32Array>} */
  function* asking(x_t, t, which = file.labels) {
    x.data.set(x_t);
    time.data[0] = t;
    if (label) label.data[0] = which;
    for (let i = 0; i < steps.length; i++) {
      steps[i]();
      yield;
    }
    return output.data;
  }
  return {
    file,
    simd: memory.simd,
    size: count(inputs[0].shape),
    schedule: way,
    asking,
    /** @param {ArrayLike<number>} x_t @param {number} t @param {number} [which] */
    ask: (x_t, t, which) => finish(asking(x_t, t, which)),
  };
}
/** @param {{ sum: number, text: string }} whole @param {{ simd?: boolean, memory?: import("./engine.js").Memory }} [options] */
export const network = (whole, options) => finish(building(whole, options));

// ---- Drawing

// Noise a share `turn` of the way from one noise to another, with the same variance everywhere (eq-mix-starts)
/** @param {Float64Array} z @param {Float64Array} other @param {number} turn 0..1 */
const between = (z, other, turn) => {
  const angle = (turn * Math.PI) / 2, stays = Math.cos(angle), comes = Math.sin(angle);
  return z.map((v, i) => stays * v + comes * other[i]);
};

// An image from a seed: the frames of `walk` in science.js, for a network's file and a label. With `parts`, nothing comes
// between two frames after each operation of the network, so that the page may do something else there. With `towards`, the
// image begins with noise between those of two seeds, a share `turn` of the way along the sphere (eq-mix-starts). With `aid`,
// somebody else evaluates the network without the label, at the same time; what is not there yet is yielded, as a promise.
/**
 * @param {any} net the result of `network`
 * @param {{ steps: number, seed: number, label?: number, scale?: number, spacing?: string, sampler?: string, eta?: number,
 *   variance?: string, clip?: boolean, parts?: boolean, towards?: number, turn?: number,
 *   aid?: (x: Float64Array, t: number) => Promise<ArrayLike<number>> }} options
 */
export function* drawing(net, { steps, seed, label, scale = 0, spacing, sampler = "ddim", parts = false, towards, turn = 0, aid, ...options }) {
  const way = steps === net.schedule.T ? net.schedule : respace(net.schedule, steps, spacing), draw = normals(seed);
  function* ask(/** @type {Float64Array} */ x, /** @type {number} */ t) {
    /** @type {any} */
    let none;
    const coming = scale && aid?.(x, t).then((found) => (none = found)), z = Float64Array.from(yield* net.asking(x, t, label));
    if (!scale) return z;
    if (coming) yield coming;
    none ??= yield* net.asking(x, t); // eq-guidance, by two evaluations
    return z.map((v, i) => v + scale * (v - none[i]));
  }
  const start = Float64Array.from({ length: net.size }, draw);
  const first = towards === undefined ? start : between(start, Float64Array.from(start, normals(towards)), turn);
  for (const frame of walk(ask, way, first, draw, samplers[sampler], options)) {
    if (frame || parts) yield frame;
  }
}
