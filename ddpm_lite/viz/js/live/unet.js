// A trained network and the walk from noise to an image, in plain JavaScript: what `python -m ddpm_lite export-page`
// writes, played back. The order of the layers is in the file; here are the dozen PyTorch functions that it names, and
// the steps of ddpm_lite.sampler. Tensors are float32 as in PyTorch, sums are float64. A page, a worker and node run
// this same function; it stands alone, so that its text can be handed to a worker.
function engine() {
  "use strict";

  // ---- PyTorch's functions. Each maker gets its operands, the place for its result and the settings of the call, and
  // returns what a forward pass runs. Everything that can be prepared is prepared once, and no pass makes an array.

  const count = (shape) => shape.reduce((a, b) => a * b, 1);
  const known = (condition, words) => {
    if (!condition) throw new Error(`${words}: the network asks for what this page cannot do.`);
  };

  // c[m, p] = bias[m] + sum over k of a[m, k] b[k, p]. Four rows of a and two columns of b at a time, because then
  // eight products share six numbers read. `a` lies in fours of rows: m, m + 1, m + 2, m + 3 at k = 0, then at k = 1...
  // b[k, p] lies at firstB + k bk + p bp, and c[m, p] at firstC + m cm + p cp.
  const multiply = (a, bias, b, firstB, bk, bp, c, firstC, cm, cp, M, K, P) => {
    for (let m = 0; m < M; m += 4) {
      for (let p = 0; p < P; p += 2) {
        const paired = p + 1 < P;
        let i = m * K, j = firstB + p * bp, l = paired ? j + bp : j;
        let e = bias[m], f = bias[m + 1], g = bias[m + 2], h = bias[m + 3], r = e, s = f, t = g, u = h;
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
        c[at] = e;
        if (rows > 1) c[at + cm] = f;
        if (rows > 2) c[at + 2 * cm] = g;
        if (rows > 3) c[at + 3 * cm] = h;
        if (!paired) continue;
        c[at + cp] = r;
        if (rows > 1) c[at + cp + cm] = s;
        if (rows > 2) c[at + cp + 2 * cm] = t;
        if (rows > 3) c[at + cp + 3 * cm] = u;
      }
    }
  };

  // A matrix with M rows and K columns in fours of rows for `multiply`; its entry (m, k) lies at m rm + k rk.
  const fours = (M) => 4 * Math.ceil(M / 4);
  const pack = (to, from, first, M, K, rm, rk) => {
    for (let m = 0; m < M; m++) {
      for (let k = 0, i = (m - (m % 4)) * K + (m % 4), j = first + m * rm; k < K; k++, i += 4, j += rk) to[i] = from[j];
    }
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
  const sources = (shape, of, place) => {
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

  const operations = {
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
      const swap = (at) => at.map((v, axis) => at[axis === a ? b : axis === b ? a : axis]);
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
    // torch.reshape and all that only says otherwise what is where: the same numbers
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

  // FNV-1a, 32 bits, as in export_page.py
  const checksum = (text) => {
    let value = 0x811c9dc5;
    for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
    return value >>> 0;
  };

  // IEEE float16: a sign, five bits of exponent, ten of fraction
  const half = (bits) => {
    const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
    return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24);
  };

  // The network in a file that export_page.py wrote. `ask(x_t, t, label)` is its z_hat, an array that the next call
  // overwrites; "no label" is the number after the last label.
  const network = ({ sum, text }) => {
    if (checksum(text) !== sum) throw new Error("The network's file is damaged.");
    const file = JSON.parse(text);
    if (file.form !== 1) throw new Error("The network's file is of another form than this page reads.");
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
    const values = [...inputs, ...weights, ...constants];
    let most = 0, shared = null;
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
      schedule: schedule(new Float64Array(bytes(file.beta))),
      ask: (x_t, t, which = file.labels) => {
        x.data.set(x_t);
        time.data[0] = t;
        if (label) label.data[0] = which;
        for (let i = 0; i < steps.length; i++) steps[i]();
        return data;
      },
    };
  };

  // ---- ddpm_lite.schedule, in float64

  const schedule = (beta, times = Array.from(beta, (_, t) => t)) => {
    let product = 1, logs = 0;
    const alphaBar = beta.map((b) => (product *= 1 - b)); // eq-alpha-bar
    const rest = beta.map((b) => Math.abs(Math.expm1((logs += Math.log1p(-b))))); // 1 - alpha-bar, with all its digits
    const betaTilde = beta.map((b, t) => (t ? (b * rest[t - 1]) / rest[t] : 0)); // eq-posterior-variance
    return { T: beta.length - 1, beta, times, alphaBar, rest, betaTilde };
  };

  // Fewer, longer steps, as `respace` makes them; a half is rounded to the even number, as in torch.round.
  const respace = (full, steps, spacing = "trailing") => {
    const even = (v) => (v % 1 === 0.5 ? 2 * Math.round(v / 2) : Math.round(v));
    const place = spacing === "leading" ? (k) => (k ? (k - 1) * Math.floor(full.T / steps) + 1 : 0) : (k) => even((k * full.T) / steps);
    const chosen = Array.from({ length: steps + 1 }, (_, k) => place(k));
    const beta = Float64Array.from(chosen, (t, k) => (k ? 1 - full.alphaBar[t] / full.alphaBar[chosen[k - 1]] : 0)); // eq-leap-beta
    return schedule(beta, chosen.map((t) => full.times[t]));
  };

  // ---- ddpm_lite.viz.export_page.normals: the same numbers to the last bit

  // log x for x in (0, 1), from operations that every language rounds alike
  const log = (x) => {
    let power = 0, total = 0;
    for (; x < 0.75; power++) x *= 2;
    const q = (x - 1) / (x + 1), square = q * q;
    for (let k = 21; k > 0; k -= 2) total = total * square + 1 / k;
    return 2 * q * total - power * 0.6931471805599453;
  };

  // A function that gives the next number from N(0, 1): sfc32, and Marsaglia's polar method
  const normals = (seed) => {
    let a = 0x9e3779b9 | 0, b = 0x243f6a88, c = seed | 0, d = 1, kept = null;
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

  // ---- ddpm_lite.sampler

  // Algorithm 2 or its leaps, one frame a step, from x_T on (alg-sampling). A frame holds x_t at time t, and z_hat and
  // x_0_hat, what the network says there; the last one, t = 0, holds the image alone.
  function* walk(net, { steps, seed, label, scale = 0, sampler = "ddim", eta = 0, variance = "beta_tilde", clip = true, spacing }) {
    const way = steps === net.schedule.T ? net.schedule : respace(net.schedule, steps, spacing);
    const { times, alphaBar, rest, beta, betaTilde } = way, draw = normals(seed), x = Float64Array.from({ length: net.size }, draw);
    for (let t = way.T; t > 0; t--) {
      const s = t - 1, z = Float64Array.from(net.ask(x, times[t], label));
      // eq-guidance, by two evaluations
      if (scale) net.ask(x, times[t]).forEach((none, i) => (z[i] += scale * (z[i] - none)));
      const noise = Float64Array.from(z, draw), signal = Math.sqrt(alphaBar[t]), spread = Math.sqrt(rest[t]);
      const image = z.map((v, i) => (x[i] - spread * v) / signal); // eq-x0-from-z
      yield { t: times[t], x: x.slice(), z, image };
      let weightX, weightImage, sigma;
      if (sampler === "ddpm") {
        weightX = (Math.sqrt(1 - beta[t]) * rest[s]) / rest[t]; // eq-posterior-mean
        weightImage = (Math.sqrt(alphaBar[s]) * beta[t]) / rest[t];
        sigma = Math.sqrt(variance === "beta" ? (s ? beta[t] : 0) : betaTilde[t]); // eq-ddpm-step
      } else {
        sigma = eta * Math.sqrt((rest[s] / rest[t]) * (1 - alphaBar[t] / alphaBar[s])); // eq-ddim-sigma
        weightX = Math.sqrt(Math.max(rest[s] - sigma ** 2, 0) / rest[t]); // eq-ddim-step
        weightImage = Math.sqrt(alphaBar[s]) - weightX * signal;
      }
      for (let i = 0; i < x.length; i++) {
        const kept = clip ? Math.min(1, Math.max(-1, image[i])) : image[i];
        x[i] = weightX * x[i] + weightImage * kept + sigma * noise[i];
      }
    }
    yield { t: 0, x: x.slice(), z: null, image: x.slice() };
  }

  return { operations, network, schedule, respace, normals, walk, checksum };
}
