// Backpropagation through the network of a file of `python -m ddpm_lite export-page`: for each function that the file
// names, what it computes and how the gradient of the loss goes back through it.
//
// Several images go through the network together. The file's shapes are those of one image; here every number of a result
// becomes a row of B numbers, one for each image, and a matrix product takes all B of them. Inputs are rows too; weights
// and constants are the same for all images, and are not.
//
// The gradient of a value is that of the loss by each of its numbers. Where a value goes into several functions, a small
// change of it changes the loss by each of them, so every function *adds* to the gradients of its operands.
import { packRows } from "./engine.js";
import { fours } from "./science.js";
import { finish } from "./turns.js";
import { count, known, sources } from "./unet.js";

/** @typedef {Float32Array} Numbers */
/** @typedef {import("./engine.js").Room} Room */

// A result, an input, a weight or a constant. `slope` is the room of the gradient by it, null where no weight has an influence.
class Value {
  /** @param {number[]} shape that of one image @param {Room | { data: any }} room @param {Room | null} slope @param {boolean} rows */
  constructor(shape, room, slope, rows) {
    this.shape = shape;
    this.room = /** @type {Room} */ (room);
    this.slope = slope;
    this.rows = rows;
  }
  /** @returns {any} */
  get data() {
    return this.room.data;
  }
  /** @returns {any} */
  get grad() {
    return this.slope?.data;
  }
}

/**
 * @typedef {object} Bench what a maker of functions gets beside its operands
 * @property {number} B
 * @property {import("./engine.js").Memory} memory
 * @property {(which: number, length: number) => () => Room} scratch a room that others use too
 * @property {(made: () => void) => void} renewed what is to be done when the weights have changed
 */
/** @typedef {[(() => void) | null, (() => void) | null]} Pair forward and backward */

// ---- Matrices in rows of images

// The entry (m, (n, b)) of a matrix with M rows is at m rm + n rn + b: stored in groups of four rows for `multiply`.
/** @param {Numbers} to @param {Numbers} from @param {number} M @param {number} N @param {number} B @param {number} rm @param {number} rn */
const packImages = (to, from, M, N, B, rm, rn) => {
  const K = N * B;
  for (let m = 0; m < M; m++) {
    for (let n = 0, i = (m - (m % 4)) * K + (m % 4); n < N; n++) {
      for (let j = m * rm + n * rn, end = j + B; j < end; j++, i += 4) to[i] = from[j];
    }
  }
};

// y = W x + bias at each of N places, where x has K numbers and y has O: linear layers, and convolutions, where a place is a
// pixel of the result and x is what the filter sees there. `seen[n K + k]` is the number of x that is its k-th at place n,
// -1 for the zeros around an image; without `seen` it is n xn + k xk. y's m-th number at place n is n yn + m ym.
/**
 * @param {Value[]} operands @param {Value} out @param {Bench} bench
 * @param {{ O: number, K: number, N: number, seen?: Int32Array, xn: number, xk: number, yn: number, ym: number }} where
 * @returns {Pair}
 */
const affine = ([x, weight, bias], out, { B, memory, scratch, renewed }, { O, K, N, seen, xn, xk, yn, ym }) => {
  const { take, multiply } = memory, filters = take(fours(O) * K), back = take(fours(K) * O);
  // The product takes eight columns at a time. Where places lie side by side, several of them fill these, if B is less; and
  // where nothing is copied, all of them are one product.
  const beside = yn === 1 && (seen || xn === 1), most = !beside ? 1 : seen ? Math.max(1, Math.floor(8 / B)) : N;
  const groups = Array.from({ length: Math.ceil(N / most) }, (_, i) => ({ n: i * most, wide: Math.min(most, N - i * most) * B }));
  const cells = scratch(0, K * most * B), turned = scratch(1, N * B * K), given = scratch(2, fours(O) * N * B);
  const parts = (/** @type {Room | null} */ room, step) => (room ? groups.map(({ n }) => room.part(n * step * B)) : []);
  const xs = parts(seen ? null : x.room, xn), ys = parts(out.room, yn), dxs = parts(seen ? null : x.slope, xn), dys = parts(out.slope, yn);
  renewed(() => {
    packRows(filters.data, weight.data, O, K);
    packRows(back.data, weight.data, K, O, 1, K);
  });
  const forward = () => {
    const from = x.data, to = out.data, shift = bias.data, cell = cells().data;
    groups.forEach(({ n, wide }, g) => {
      for (let m = 0; m < O; m++) to.fill(shift[m], (n * yn + m * ym) * B, (n * yn + m * ym) * B + wide);
      if (!seen) {
        multiply(filters, xs[g], ys[g], O, K, wide, xk * B, 8, ym * B);
        return;
      }
      for (let k = 0, i = 0; k < K; k++) {
        for (let look = n * K + k, end = i + wide; i < end; look += K) {
          const at = seen[look] * B;
          if (at < 0) for (let b = 0; b < B; b++) cell[i++] = 0;
          else for (let b = 0; b < B; b++) cell[i++] = from[at + b];
        }
      }
      multiply(filters, cells(), ys[g], O, K, wide, wide, 8, ym * B);
    });
  };
  const backward = () => {
    const from = x.data, dy = out.grad, db = bias.grad, turn = turned().data;
    // y_m = sum over k of W_mk x_k + bias_m, so dL/dW_mk = dL/dy_m x_k and dL/dbias_m = dL/dy_m, summed over all places and
    // images, since all of them use the same weights.
    for (let n = 0; n < N; n++) {
      for (let k = 0; k < K; k++) {
        const at = (seen ? seen[n * K + k] : n * xn + k * xk) * B;
        for (let b = 0, i = n * B * K + k; b < B; b++, i += K) turn[i] = at < 0 ? 0 : from[at + b];
      }
    }
    packImages(given().data, dy, O, N, B, ym * B, yn * B);
    multiply(given(), turned(), /** @type {Room} */ (weight.slope), O, N * B, K);
    for (let m = 0; m < O; m++) {
      for (let n = 0; n < N; n++) for (let i = (n * yn + m * ym) * B, end = i + B; i < end; i++) db[m] += dy[i];
    }
    // dL/dx_k = sum over m of W_mk dL/dy_m, and a pixel that several filters see gets the sum of theirs.
    if (!x.slope) return;
    const dx = x.grad, cell = cells().data;
    groups.forEach(({ n, wide }, g) => {
      if (!seen) {
        multiply(back, dys[g], dxs[g], K, O, wide, ym * B, 8, xk * B);
        return;
      }
      cell.fill(0, 0, K * wide);
      multiply(back, dys[g], cells(), K, O, wide, ym * B, 8, wide);
      for (let k = 0, i = 0; k < K; k++) {
        for (let look = n * K + k, end = i + wide; i < end; look += K, i += B) {
          const at = seen[look] * B;
          if (at >= 0) for (let b = 0; b < B; b++) dx[at + b] += cell[i + b];
        }
      }
    });
  };
  return [forward, backward];
};

// Rows of x in another order, or several times: `from[i]` is the row of x that becomes row i, -1 for zeros. A row's
// gradient goes back to where the row came from; one that was used several times gets their sum.
/** @param {Value} x @param {Value} out @param {Bench} bench @param {Int32Array} from @returns {Pair} */
const gather = (x, out, { B }, from) => [
  () => {
    const data = x.data, to = out.data;
    for (let i = 0, n = 0; i < from.length; i++) {
      const at = from[i] * B;
      for (let b = 0; b < B; b++) to[n++] = at < 0 ? 0 : data[at + b];
    }
  },
  () => {
    const dx = x.grad, dy = out.grad;
    for (let i = 0, n = 0; i < from.length; i++, n += B) {
      const at = from[i] * B;
      if (at >= 0) for (let b = 0; b < B; b++) dx[at + b] += dy[n + b];
    }
  },
];

// torch.add and its like, of two values that are stretched to the result's shape where they are 1. `slopes` gives the
// derivatives of the result by a and by b. A number that was stretched gets the sum of the gradients of all its copies.
/**
 * @param {(a: number, b: number) => number} apply @param {(a: number, b: number) => number} byA @param {(a: number, b: number) => number} byB
 * @returns {(operands: Value[], out: Value, settings: any, bench: Bench) => Pair}
 */
const elementwise = (apply, byA, byB) => ([x, y], out, _, { B }) => {
  const [i, j] = [x, y].map(({ shape }) => {
    const short = out.shape.length - shape.length;
    known(short >= 0, "broadcasting");
    return sources(out.shape, shape, (at) => shape.map((size, axis) => (size === 1 ? 0 : at[axis + short])));
  });
  const p = x.rows ? B : 1, q = y.rows ? B : 1, s = Number(x.rows), t = Number(y.rows);
  return [
    () => {
      const to = out.data, u = x.data, v = y.data;
      for (let n = 0, at = 0; n < i.length; n++) {
        for (let b = 0; b < B; b++) to[at++] = apply(u[i[n] * p + s * b], v[j[n] * q + t * b]);
      }
    },
    () => {
      const dy = out.grad, dx = x.grad, dz = y.grad, u = x.data, v = y.data;
      for (let n = 0, at = 0; n < i.length; n++) {
        for (let b = 0; b < B; b++, at++) {
          const k = i[n] * p + s * b, l = j[n] * q + t * b;
          if (dx) dx[k] += dy[at] * byA(u[k], v[l]);
          if (dz) dz[l] += dy[at] * byB(u[k], v[l]);
        }
      }
    },
  ];
};

// A function of one number, and its derivative.
/** @param {(x: number) => number} apply @param {(x: number) => number} slope @returns {(operands: Value[], out: Value) => Pair} */
const single = (apply, slope) => ([x], out) => [
  () => {
    const from = x.data, to = out.data;
    for (let i = 0; i < to.length; i++) to[i] = apply(from[i]);
  },
  () => {
    const from = x.data, dx = x.grad, dy = out.grad;
    for (let i = 0; i < dy.length; i++) dx[i] += dy[i] * slope(from[i]);
  },
];

// ---- PyTorch's functions

/** @type {Record<string, (operands: Value[], out: Value, settings: any, bench: Bench) => Pair>} */
export const backpropagated = {
  conv2d: (operands, out, { stride, padding }, bench) => {
    const [O, C, kh, kw] = operands[1].shape, [, , H, W] = operands[0].shape, [, , h, w] = out.shape, N = h * w;
    const plainly = kh === 1 && kw === 1 && N === H * W && !padding[0] && !padding[1];
    const place = ([i, j, c, a, b]) => [c, i * stride[0] + a - padding[0], j * stride[1] + b - padding[1]];
    const seen = plainly ? undefined : sources([h, w, C, kh, kw], [C, H, W], place);
    return affine(operands, out, bench, { O, K: C * kh * kw, N, seen, xn: 1, xk: N, yn: 1, ym: N });
  },
  linear: (operands, out, _, bench) => {
    const [O, K] = operands[1].shape, N = count(operands[0].shape) / K;
    return affine(operands, out, bench, { O, K, N, xn: K, xk: 1, yn: O, ym: 1 });
  },
  // y = w n + shift with n = (x - mean) / deviation over a group. dL/dw sums dL/dy n, and dL/dshift sums dL/dy. With
  // g = w dL/dy, dL/dx = (g - mean(g) - n mean(g n)) / deviation: the part of g that would only move or stretch the whole group is
  // taken away, because the normalisation undoes such a change.
  group_norm: ([x, weight, bias], out, { groups, eps }, { B }) => {
    const C = x.shape[1], size = count(x.shape.slice(2)), per = C / groups, rows = per * size;
    const normal = new Float32Array(C * size * B), scale = new Float32Array(groups * B), [p, q] = [0, 1].map(() => new Float64Array(B));
    const forward = () => {
      const from = x.data, to = out.data, w = weight.data, shift = bias.data;
      for (let g = 0; g < groups; g++) {
        const first = g * rows * B, end = first + rows * B;
        p.fill(0);
        q.fill(0);
        for (let i = first; i < end; ) for (let b = 0; b < B; b++) p[b] += from[i++];
        for (let b = 0; b < B; b++) p[b] /= rows;
        for (let i = first; i < end; ) for (let b = 0; b < B; b++) q[b] += (from[i++] - p[b]) ** 2;
        for (let b = 0; b < B; b++) q[b] = scale[g * B + b] = 1 / Math.sqrt(q[b] / rows + eps);
        for (let i = first, c = g * per; i < end; c++) {
          for (const last = i + size * B; i < last; ) {
            for (let b = 0; b < B; b++, i++) {
              normal[i] = (from[i] - p[b]) * q[b];
              to[i] = normal[i] * w[c] + shift[c];
            }
          }
        }
      }
    };
    const backward = () => {
      const dy = out.grad, dx = x.grad, w = weight.data;
      const dw = weight.grad, db = bias.grad;
      for (let g = 0; g < groups; g++) {
        const first = g * rows * B;
        p.fill(0);
        q.fill(0);
        for (let c = g * per, i = first; c < (g + 1) * per; c++) {
          let by = 0, moved = 0;
          for (const last = i + size * B; i < last; ) {
            for (let b = 0; b < B; b++, i++) {
              const d = dy[i], n = normal[i];
              moved += d;
              by += d * n;
              p[b] += w[c] * d;
              q[b] += w[c] * d * n;
            }
          }
          dw[c] += by;
          db[c] += moved;
        }
        if (!dx) continue;
        for (let c = g * per, i = first; c < (g + 1) * per; c++) {
          for (const last = i + size * B; i < last; ) {
            for (let b = 0; b < B; b++, i++) dx[i] += scale[g * B + b] * (w[c] * dy[i] - p[b] / rows - (normal[i] * q[b]) / rows);
          }
        }
      }
    };
    return [forward, backward];
  },
  // out = A V with A = softmax(Q K^T / sqrt(d)) (eq-attention), for each image and head by itself. Then dL/dV = A^T dL/dout and
  // dL/dA = dL/dout V^T. Through the softmax, dL/dlogit = A (dL/dA - the row's sum of A dL/dA): raising all logits of a row
  // together changes nothing. The logits are a product again, so dL/dQ = dL/dlogits K / sqrt(d), and the like for K.
  // A is stored transposed, by key and query.
  scaled_dot_product_attention: ([q, k, v], out, _settings, { B, memory, scratch }) => {
    const [queries, d] = q.shape.slice(-2), [keys] = k.shape.slice(-2), width = v.shape[v.shape.length - 1];
    const heads = count(q.shape) / queries / d, root = 1 / Math.sqrt(d), each = keys * queries;
    const shares = memory.take(heads * B * fours(each)), all = Array.from({ length: heads * B }, (_, i) => shares.part(i * fours(each)));
    const most = Math.max(queries, keys), wide = Math.max(d, width), a = scratch(0, fours(Math.max(most, wide)) * Math.max(most, wide));
    const x = scratch(1, most * wide), y = scratch(2, most * wide), back = scratch(3, each), sums = new Float32Array(queries);
    // One head of one image as a matrix of n rows and m columns, and back.
    const take = (/** @type {Numbers} */ to, /** @type {Numbers} */ from, n, m, head, b, turn) => {
      for (let i = 0, at = head * n * m * B + b; i < n; i++) for (let j = 0; j < m; j++, at += B) to[turn ? j * n + i : i * m + j] = from[at];
    };
    const give = (/** @type {Numbers | null} */ to, /** @type {Numbers} */ from, n, m, head, b, turn) => {
      if (to) for (let i = 0, at = head * n * m * B + b; i < n; i++) for (let j = 0; j < m; j++, at += B) to[at] += from[turn ? j * n + i : i * m + j];
    };
    // c (M x P) = a (M x K) b (K x P), where entry (m, k) of a is at m rm + k rk
    const product = (/** @type {Numbers} */ from, rm, rk, /** @type {Room} */ b, /** @type {Room} */ c, M, K, P) => {
      packRows(a().data, from, M, K, rm, rk);
      c.data.fill(0, 0, M * P);
      memory.multiply(a(), b, c, M, K, P);
    };
    const forward = () => {
      const one = x().data, other = y().data;
      out.data.fill(0);
      for (let head = 0; head < heads; head++) {
        for (let b = 0; b < B; b++) {
          const share = all[head * B + b], A = share.data;
          take(one, k.data, keys, d, head, b, false);
          take(other, q.data, queries, d, head, b, true);
          product(one, d, 1, y(), share, keys, d, queries);
          for (let n = 0; n < queries; n++) {
            let largest = -Infinity, total = 0;
            for (let i = n; i < each; i += queries) if (A[i] > largest) largest = A[i];
            for (let i = n; i < each; i += queries) total += A[i] = Math.exp((A[i] - largest) * root);
            for (let i = n; i < each; i += queries) A[i] /= total;
          }
          take(one, v.data, keys, width, head, b, false);
          product(one, 1, width, share, y(), width, keys, queries);
          give(out.data, other, queries, width, head, b, true);
        }
      }
    };
    const backward = () => {
      const dy = out.grad, one = x().data, other = y().data, slopes = back().data;
      for (let head = 0; head < heads; head++) {
        for (let b = 0; b < B; b++) {
          const A = all[head * B + b].data;
          take(one, dy, queries, width, head, b, false);
          product(A, queries, 1, x(), y(), keys, queries, width);
          give(v.grad, other, keys, width, head, b, false);
          take(one, v.data, keys, width, head, b, false);
          take(other, dy, queries, width, head, b, true);
          product(one, width, 1, y(), back(), keys, width, queries);
          sums.fill(0);
          for (let i = 0; i < each; ) for (let n = 0; n < queries; n++, i++) sums[n] += A[i] * slopes[i];
          for (let i = 0; i < each; ) for (let n = 0; n < queries; n++, i++) slopes[i] = root * A[i] * (slopes[i] - sums[n]);
          take(one, q.data, queries, d, head, b, false);
          product(slopes, queries, 1, x(), y(), keys, queries, d);
          give(k.grad, other, keys, d, head, b, false);
          take(one, k.data, keys, d, head, b, false);
          product(one, 1, d, back(), y(), d, keys, queries);
          give(q.grad, other, queries, d, head, b, true);
        }
      }
    };
    return [forward, backward];
  },
  // x s with s = 1 / (1 + e^-x), whose slope is s (1 - s); so by the product rule the slope is s + x s (1 - s).
  silu: ([x], out) => {
    const open = new Float32Array(out.data.length);
    return [
      () => {
        const from = x.data, to = out.data;
        for (let i = 0; i < to.length; i++) {
          open[i] = 1 / (1 + Math.exp(-from[i]));
          to[i] = from[i] * open[i];
        }
      },
      () => {
        const from = x.data, dx = x.grad, dy = out.grad;
        for (let i = 0; i < dy.length; i++) dx[i] += dy[i] * open[i] * (1 + from[i] * (1 - open[i]));
      },
    ];
  },
  // A label chooses a row of the table, so its gradient goes to that row; the other rows had no influence.
  embedding: ([x, table], out, _, { B }) => {
    const [labels, width] = table.shape;
    return [
      () => {
        for (let b = 0; b < B; b++) {
          const row = x.data[b];
          if (!(row >= 0 && row < labels && row % 1 === 0)) throw new Error(`label: expected 0 to ${labels - 1}`);
          for (let i = 0; i < width; i++) out.data[i * B + b] = table.data[row * width + i];
        }
      },
      () => {
        const dy = out.grad, to = table.grad;
        for (let b = 0; b < B; b++) for (let i = 0, at = x.data[b] * width; i < width; i++) to[at + i] += dy[i * B + b];
      },
    ];
  },
  interpolate: ([x], out, { scale }, bench) =>
    gather(x, out, bench, sources(out.shape, x.shape, ([n, c, i, j]) => [n, c, Math.floor(i / scale), Math.floor(j / scale)])),
  pad: ([x], out, { pad: [left, , top] }, bench) =>
    gather(x, out, bench, sources(out.shape, x.shape, ([n, c, i, j]) => [n, c, i - top, j - left])),
  transpose: ([x], out, { axes: [a, b] }, bench) =>
    gather(x, out, bench, sources(out.shape, x.shape, (at) => at.map((_, axis) => at[axis === a ? b : axis === b ? a : axis]))),
  // One after the other, and each part's gradient is its part of the whole.
  cat: (parts, out, { axis }) => {
    known(count(out.shape.slice(0, axis)) === 1, "cat");
    const ends = parts.map(({ data }) => data.length).map((_, i, all) => all.slice(0, i).reduce((a, b) => a + b, 0));
    return [
      () => parts.forEach(({ data }, part) => out.data.set(data, ends[part])),
      () => {
        parts.forEach(({ grad }, part) => {
          const dy = out.grad, first = ends[part];
          if (grad) for (let i = 0; i < grad.length; i++) grad[i] += dy[first + i];
        });
      },
    ];
  },
  // The same numbers in another shape have the same gradients.
  reshape: ([x], out) => {
    out.room = x.room;
    out.slope = x.slope;
    return [null, null];
  },
  add: elementwise((a, b) => a + b, () => 1, () => 1),
  sub: elementwise((a, b) => a - b, () => 1, () => -1),
  mul: elementwise((a, b) => a * b, (_, b) => b, (a) => a),
  sin: single(Math.sin, Math.cos),
  cos: single(Math.cos, (x) => -Math.sin(x)),
};

// ---- The network

// A network that can learn, from what `unpacking` of unet.js reads, made in parts as in `building`; `trainable` makes it at
// once. `weights` and `gradient` are all weights and the gradient by them, one after the other in the file's order. After a
// change of the weights, call `renew`. `ask(x_t, t, labels)` is z_hat of B images, and `backpropagate(slope)` adds the gradient,
// given that by each number of z_hat; images lie one after the other. `asking` and `backpropagating` are the same in parts, one for
// each operation.
/**
 * @param {any} unpacked what `unpacking` returns
 * @param {import("./engine.js").Memory} memory
 * @param {number} [B] images at a time; the fast product takes eight columns at a time
 */
export function* training({ file, inputs, weights, constants }, memory, B = 8) {
  const { take } = memory, sizes = weights.map(({ shape }) => count(shape)), total = sizes.reduce((a, b) => a + b, 0);
  const theta = take(total), gradient = take(total);
  let used = 0;
  const cut = weights.map(({ shape, data }, i) => {
    theta.data.set(data, used);
    const value = new Value(shape, theta.part(used), gradient.part(used), false);
    used += sizes[i];
    return value;
  });
  const values = [
    ...inputs.map(({ shape }) => new Value(shape, take(count(shape) * B), null, true)),
    ...cut,
    ...constants.map(({ shape, data }) => new Value(shape, { data }, null, false)),
  ];
  /** @type {number[]} */
  const most = [];
  /** @type {Room[]} */
  const shared = [];
  /** @type {(() => void)[]} */
  const renewals = [];
  const bench = {
    B, memory,
    scratch: (which, length) => {
      most[which] = Math.max(most[which] ?? 0, length);
      return () => shared[which];
    },
    renewed: (made) => renewals.push(made),
  };
  /** @type {(() => void)[]} */
  const ahead = [];
  /** @type {(() => void)[]} */
  const back = [];
  /** @type {Room[]} */
  const slopes = [];
  for (const [name, operands, shape, settings] of file.operations) {
    yield;
    known(Object.hasOwn(backpropagated, name), name);
    const parts = operands.map((i) => values[i]), fresh = name !== "reshape", matters = fresh && parts.some(({ slope }) => slope);
    const room = () => take(count(shape) * B), out = new Value(shape, fresh ? room() : parts[0].room, matters ? room() : null, true);
    const [forward, backward] = backpropagated[name](parts, out, settings, bench);
    if (forward) ahead.push(forward);
    if (backward && matters) back.unshift(backward);
    if (matters && out.slope) slopes.push(out.slope);
    values.push(out);
  }
  most.forEach((length, which) => (shared[which] = take(length)));
  const [x, time, label] = values.slice(0, inputs.length), answer = values[file.output], size = count(x.shape), wide = count(answer.shape), images = new Float32Array(wide * B);
  // The file's shapes are those of one image, and rows hold all of them.
  const toRows = (/** @type {Numbers} */ to, /** @type {ArrayLike<number>} */ from, /** @type {number} */ each) => {
    for (let b = 0, i = 0; b < B; b++) for (let n = 0; n < each; n++, i++) to[n * B + b] = from[i];
  };
  const renew = () => renewals.forEach((made) => made());
  renew();
  function* asking(/** @type {ArrayLike<number>} */ x_t, /** @type {ArrayLike<number>} */ t, /** @type {ArrayLike<number>} */ labels = []) {
    toRows(x.data, x_t, size);
    for (let b = 0; b < B; b++) {
      time.data[b] = t[b];
      if (label) label.data[b] = labels[b] ?? file.labels;
    }
    for (const step of ahead) {
      step();
      yield;
    }
    const from = answer.data;
    for (let b = 0, i = 0; b < B; b++) for (let n = 0; n < wide; n++, i++) images[i] = from[n * B + b];
    return images;
  }
  function* backpropagating(/** @type {ArrayLike<number>} */ slope) {
    for (const room of slopes) room.data.fill(0);
    toRows(answer.grad, slope, wide);
    for (const step of back) {
      step();
      yield;
    }
  }
  return {
    file, B, size, renew, asking, backpropagating,
    get weights() {
      return theta.data;
    },
    get gradient() {
      return gradient.data;
    },
    ask: (/** @type {ArrayLike<number>} */ x_t, /** @type {ArrayLike<number>} */ t, /** @type {ArrayLike<number>} */ labels) => finish(asking(x_t, t, labels)),
    backpropagate: (/** @type {ArrayLike<number>} */ slope) => finish(backpropagating(slope)),
  };
}

/** @param {any} unpacked @param {import("./engine.js").Memory} memory @param {number} [B] */
export const trainable = (unpacked, memory, B) => finish(training(unpacked, memory, B));
