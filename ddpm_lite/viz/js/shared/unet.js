// Runs a trained network, and samples from it, in plain JavaScript, from a file of `python -m ddpm_lite export-page`. The
// order of the layers is in the file; the dozen PyTorch functions that it names are here. Tensors are float32 as in
// PyTorch, and sums are float64. Pages, workers and node run this same module.
import { checksum, fours, multiply, normals, pack, respace, samplers, schedule, walk } from "./science.js";

// ---- PyTorch's functions. Each maker gets its operands, the array for its result and the settings of the call, and
// returns the function that a forward pass calls. What can be prepared is prepared once, so that no pass allocates arrays.

/** @typedef {{ shape: number[], data: any }} Tensor */

export const count = (shape) => shape.reduce((a, b) => a * b, 1);
export const known = (condition, words) => {
  if (!condition) throw new Error(`${words}: the network uses a function that this page does not support.`);
};

const packed = (weight, bias, M, K) => {
  const made = new Float32Array(fours(M) * K), shift = new Float32Array(fours(M));
  pack(made, weight.data, 0, M, K, K, 1);
  shift.set(bias.data);
  return [made, shift];
};

// out[i] = x[from[i]], and 0 where from[i] is -1.
const gather = (x, out, from) => () => {
  for (let i = 0; i < from.length; i++) out[i] = from[i] < 0 ? 0 : x[from[i]];
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

// torch.add and its like: two tensors, or a tensor and a number, stretched to the result's shape where they are 1.
const elementwise = (apply) => (operands, out) => {
  const [a, b] = operands.map(({ data, shape }) => {
    const short = out.shape.length - shape.length;
    known(short >= 0, "broadcasting");
    return [data, sources(out.shape, shape, (at) => shape.map((size, axis) => (size === 1 ? 0 : at[axis + short])))];
  });
  return apply(a, b, out.data);
};

export const operations = {
  // torch.nn.functional.conv2d: columns of the pixels that a filter sees, times the filters
  conv2d: ([x, weight, bias], out, { stride, padding }, scratch) => {
    const [O, C, kh, kw] = weight.shape, [, , H, W] = x.shape, [, , h, w] = out.shape;
    const K = C * kh * kw, P = h * w, [filters, shift] = packed(weight, bias, O, K), columns = scratch(K * P);
    const plain = kh === 1 && kw === 1 && stride[0] === 1 && stride[1] === 1 && !padding[0] && !padding[1];
    // for one channel: which pixel the filter's (a, b) sees from the result's pixel (i, j)
    const seen = sources([kh, kw, h, w], [H, W], ([a, b, i, j]) => [i * stride[0] + a - padding[0], j * stride[1] + b - padding[1]]);
    return () => {
      const data = x.data, cells = columns();
      if (!plain) {
        for (let c = 0, to = 0; c < C; c++) {
          const first = c * H * W;
          for (let i = 0; i < seen.length; i++) cells[to++] = seen[i] < 0 ? 0 : data[first + seen[i]];
        }
      }
      multiply(filters, shift, plain ? data : cells, 0, P, 1, out.data, 0, P, 1, O, K, P);
    };
  },
  // torch.nn.functional.linear: x W^T + bias, for every row of x
  linear: ([x, weight, bias], out) => {
    const [O, K] = weight.shape, P = count(x.shape) / K, [rows, shift] = packed(weight, bias, O, K);
    return () => multiply(rows, shift, x.data, 0, 1, K, out.data, 0, 1, O, O, K, P);
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
  scaled_dot_product_attention: ([q, k, v], out) => {
    const [queries, d] = q.shape.slice(-2), keys = k.shape.at(-2), width = v.shape.at(-1), heads = count(q.shape) / queries / d;
    const nothing = new Float32Array(fours(Math.max(keys, width))), weights = new Float32Array(queries * keys);
    const K = new Float32Array(fours(keys) * d), V = new Float32Array(fours(width) * keys), root = 1 / Math.sqrt(d);
    return () => {
      for (let head = 0; head < heads; head++) {
        pack(K, k.data, head * keys * d, keys, d, d, 1);
        pack(V, v.data, head * keys * width, width, keys, 1, width);
        multiply(K, nothing, q.data, head * queries * d, 1, d, weights, 0, 1, keys, keys, d, queries);
        for (let first = 0; first < weights.length; first += keys) {
          let most = -Infinity, total = 0;
          for (let i = first; i < first + keys; i++) if (weights[i] > most) most = weights[i];
          for (let i = first; i < first + keys; i++) total += weights[i] = Math.exp((weights[i] - most) * root);
          for (let i = first; i < first + keys; i++) weights[i] /= total;
        }
        multiply(V, nothing, weights, 0, 1, keys, out.data, head * queries * width, 1, width, width, keys, queries);
      }
    };
  },
  // torch.nn.functional.silu: x times the logistic function of x
  silu: ([x], out) => () => {
    const from = x.data, to = out.data;
    for (let i = 0; i < to.length; i++) to[i] = from[i] / (1 + Math.exp(-from[i]));
  },
  // torch.nn.functional.embedding: the rows of a table
  embedding: ([x, table], out) => () => {
    const width = table.shape[1], row = x.data[0];
    if (!(row >= 0 && row < table.shape[0] && x.data.length === 1)) throw new Error(`label: expected 0 to ${table.shape[0] - 1}`);
    for (let i = 0; i < width; i++) out.data[i] = table.data[row * width + i];
  },
  // torch.nn.functional.interpolate, "nearest": every pixel several times
  interpolate: ([x], out, { scale }) =>
    gather(x.data, out.data, sources(out.shape, x.shape, ([n, c, i, j]) => [n, c, Math.floor(i / scale), Math.floor(j / scale)])),
  // torch.nn.functional.pad with zeros: left, right, top, bottom
  pad: ([x], out, { pad: [left, , top] }) =>
    gather(x.data, out.data, sources(out.shape, x.shape, ([n, c, i, j]) => [n, c, i - top, j - left])),
  // torch.Tensor.transpose
  transpose: ([x], out, { axes: [a, b] }) => {
    if (Math.abs(a - b) === 1 && (x.shape[a] === 1 || x.shape[b] === 1)) return operations.reshape([x], out);
    const swap = (at) => at.map((_, axis) => at[axis === a ? b : axis === b ? a : axis]);
    return gather(x.data, out.data, sources(out.shape, x.shape, swap));
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
    out.data = x.data;
    return null;
  },
  add: elementwise(([a, i], [b, j], out) => () => {
    for (let n = 0; n < out.length; n++) out[n] = a[i[n]] + b[j[n]];
  }),
  sub: elementwise(([a, i], [b, j], out) => () => {
    for (let n = 0; n < out.length; n++) out[n] = a[i[n]] - b[j[n]];
  }),
  mul: elementwise(([a, i], [b, j], out) => () => {
    for (let n = 0; n < out.length; n++) out[n] = a[i[n]] * b[j[n]];
  }),
  sin: ([x], out) => () => x.data.forEach((v, i) => (out.data[i] = Math.sin(v))),
  cos: ([x], out) => () => x.data.forEach((v, i) => (out.data[i] = Math.cos(v))),
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

// What is in a file that export_page.py wrote, and the numbers that its operations begin with, in their order.
export const unpack = ({ sum, text }) => {
  if (checksum(text) !== sum) throw new Error("The network's file is damaged.");
  const file = JSON.parse(text);
  if (file.form !== 1) throw new Error("The network's file has another format than this page reads.");
  const halves = new Uint16Array(bytes(file.float16)), table = new Float32Array(65536).fill(NaN);
  let used = 0;
  const weights = file.weights.map(([, shape]) => {
    const data = new Float32Array(count(shape));
    for (let i = 0; i < data.length; i++, used++) {
      const bits = halves[used];
      data[i] = table[bits] === table[bits] ? table[bits] : (table[bits] = half(bits));
    }
    return { shape, data };
  });
  const inputs = file.inputs.map(([, shape]) => ({ shape, data: new Float32Array(count(shape)) }));
  const constants = file.constants.map(([shape, data]) => ({ shape, data: new Float64Array(bytes(data)) }));
  return { file, inputs, weights, constants, way: schedule(new Float64Array(bytes(file.beta))) };
};

// The network in such a file. `ask(x_t, t, label)` is its z_hat, an array that the next call overwrites; the number after
// the last label means "no label".
export const network = (whole) => {
  const { file, inputs, weights, constants, way } = unpack(whole), values = [...inputs, ...weights, ...constants];
  let most = 0;
  /** @type {Float32Array | null} */
  let shared = null;
  const scratch = (size) => {
    most = Math.max(most, size);
    return () => (shared ??= new Float32Array(most));
  };
  const steps = [];
  for (const [name, operands, shape, settings] of file.operations) {
    known(Object.hasOwn(operations, name), name);
    const out = { shape, data: name === "reshape" ? null : new Float32Array(count(shape)) };
    const step = operations[name](operands.map((i) => values[i]), out, settings, scratch);
    if (step) steps.push(step);
    values.push(out);
  }
  const [x, time, label] = inputs, { data } = values[file.output];
  return {
    file,
    size: inputs[0].data.length,
    schedule: way,
    ask: (x_t, t, which = file.labels) => {
      x.data.set(x_t);
      time.data[0] = t;
      if (label) label.data[0] = which;
      for (let i = 0; i < steps.length; i++) steps[i]();
      return data;
    },
  };
};

// ---- Drawing

// An image from a seed: the frames of `walk` in science.js, for a network's file and a label.
/**
 * @param {any} net the result of `network`
 * @param {{ steps: number, seed: number, label?: number, scale?: number, spacing?: string, sampler?: string, eta?: number,
 *   variance?: string, clip?: boolean }} options
 */
export const drawing = (net, { steps, seed, label, scale = 0, spacing, sampler = "ddim", ...options }) => {
  const way = steps === net.schedule.T ? net.schedule : respace(net.schedule, steps, spacing), draw = normals(seed);
  const ask = (/** @type {Float64Array} */ x, /** @type {number} */ t) => {
    if (!scale) return net.ask(x, t, label);
    const z = Float64Array.from(net.ask(x, t, label)); // eq-guidance, by two evaluations
    net.ask(x, t).forEach((/** @type {number} */ none, /** @type {number} */ i) => (z[i] += scale * (z[i] - none)));
    return z;
  };
  return walk(ask, way, Float64Array.from({ length: net.size }, draw), draw, samplers[sampler], options);
};
