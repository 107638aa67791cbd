// The product of matrices and an activation in WebAssembly with SIMD: their source in its text format, and the assembler that
// makes the bytes in the reader's browser. So no binary file is shipped, and what runs can be read here.

// ---- The source. All addresses and strides are in bytes; a tile is 4 rows by 8 columns of c, kept in eight registers r h.

/** @param {(r: number, h: number) => string} each @param {string} [end] */
const tile = (each, end = "") => [0, 1, 2, 3].map((r) => each(r, 0) + each(r, 1) + end).join("\n");

// c[m, p] += sum over k of a[m, k] b[k, p]. `a` is stored in groups of four rows, [M / 4][K][4]; b[k, p] is at
// floor(p / 8) panel + k across + 4 (p mod 8) bytes, so b may be row by row or in panels of eight columns. The last tile of a
// row or a column computes more than is wanted: it is put into the first 128 bytes of the memory, and added from there.
// A product that is `listed` has in `across` the address of a list of numbers of bytes, of which the k-th replaces k across.
/** @param {string} called @param {boolean} listed whether it has a list @param {boolean} fused */
const product = (called, listed, fused) => `
  (func (export "${called}")
    (param $a i32) (param $b i32) (param $c i32) (param $M i32) (param $K i32) (param $P i32)
    (param $across i32) (param $panel i32) (param $down i32)
    (local $m i32) (local $p i32) (local $i i32) (local $j i32) (local $end i32) (local $at i32) (local $r i32) (local $q i32)
    (local $left v128) (local $right v128) (local $one v128)
    ${tile((r, h) => `(local $t${r}${h} v128)`)}
    (local.set $p (i32.const 0))
    (loop $columns
      (local.set $i (local.get $a))
      (local.set $m (i32.const 0))
      (loop $rows
        ${listed ? "(local.set $q (local.get $across))" : "(local.set $j (local.get $b))"}
        (local.set $end (i32.add (local.get $i) (i32.shl (local.get $K) (i32.const 4))))
        ${tile((r, h) => `(local.set $t${r}${h} (f32x4.splat (f32.const 0)))`)}
        (loop $sum
          ${listed ? "(local.set $j (i32.add (local.get $b) (i32.load (local.get $q))))" : ""}
          (local.set $left (v128.load (local.get $j)))
          (local.set $right (v128.load offset=16 (local.get $j)))
          ${[0, 1, 2, 3].map((r) => `
          (local.set $one (v128.load32_splat offset=${4 * r} (local.get $i)))
          ${["left", "right"].map((side, h) => fused
            ? `(local.set $t${r}${h} (f32x4.relaxed_madd (local.get $one) (local.get $${side}) (local.get $t${r}${h})))`
            : `(local.set $t${r}${h} (f32x4.add (local.get $t${r}${h}) (f32x4.mul (local.get $one) (local.get $${side}))))`).join("\n")}`).join("")}
          ${listed ? "(local.set $q (i32.add (local.get $q) (i32.const 4)))" : "(local.set $j (i32.add (local.get $j) (local.get $across)))"}
          (br_if $sum (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 16))) (local.get $end))))
        (local.set $at (i32.add (i32.add (local.get $c) (i32.mul (local.get $m) (local.get $down))) (i32.shl (local.get $p) (i32.const 2))))
        (if (i32.and (i32.le_s (i32.add (local.get $m) (i32.const 4)) (local.get $M)) (i32.le_s (i32.add (local.get $p) (i32.const 8)) (local.get $P)))
          (then
            ${tile((r, h) => `
            (v128.store offset=${16 * h} (local.get $at) (f32x4.add (v128.load offset=${16 * h} (local.get $at)) (local.get $t${r}${h})))`, `
            (local.set $at (i32.add (local.get $at) (local.get $down)))`)})
          (else
            ${tile((r, h) => `(v128.store offset=${32 * r + 16 * h} (i32.const 0) (local.get $t${r}${h}))`)}
            (local.set $r (i32.const 0))
            (loop $edge
              (local.set $q (i32.const 0))
              (loop $cell
                (local.set $j (i32.add (local.get $at) (i32.shl (local.get $q) (i32.const 2))))
                (f32.store (local.get $j) (f32.add (f32.load (local.get $j))
                  (f32.load (i32.shl (i32.add (i32.shl (local.get $r) (i32.const 3)) (local.get $q)) (i32.const 2)))))
                (local.set $q (i32.add (local.get $q) (i32.const 1)))
                (br_if $cell (i32.and (i32.lt_s (local.get $q) (i32.const 8)) (i32.lt_s (i32.add (local.get $p) (local.get $q)) (local.get $P)))))
              (local.set $at (i32.add (local.get $at) (local.get $down)))
              (local.set $r (i32.add (local.get $r) (i32.const 1)))
              (br_if $edge (i32.and (i32.lt_s (local.get $r) (i32.const 4)) (i32.lt_s (i32.add (local.get $m) (local.get $r)) (local.get $M)))))))
        (br_if $rows (i32.lt_s (local.tee $m (i32.add (local.get $m) (i32.const 4))) (local.get $M))))
      (local.set $b (i32.add (local.get $b) (local.get $panel)))
      (br_if $columns (i32.lt_s (local.tee $p (i32.add (local.get $p) (i32.const 8))) (local.get $P)))))`;

// x / (1 + exp(-x)) for the numbers from $from to $end, four at a time. -x = k log 2 + r with a whole k and a small r, so that
// exp(-x) is 2^k, a float with the exponent bits 127 + k, times a polynomial in r.
/** @param {number} value */
const four = (value) => `(f32x4.splat (f32.const ${value}))`;
/** @param {number[]} ratios those of x^0, x^1... in a polynomial of $r @returns {string} */
const polynomial = ([first, ...rest]) =>
  rest.length ? `(f32x4.add ${four(first)} (f32x4.mul (local.get $r) ${polynomial(rest)}))` : four(first);
const silu = `
  (func (export "silu") (param $from i32) (param $to i32) (param $end i32) (local $x v128) (local $k v128) (local $r v128)
    (loop $all
      (local.set $x (v128.load (local.get $from)))
      (local.set $r (f32x4.max ${four(-87)} (f32x4.min ${four(87)} (f32x4.neg (local.get $x)))))
      (local.set $k (f32x4.nearest (f32x4.mul (local.get $r) ${four(Math.LOG2E)})))
      (local.set $r (f32x4.sub (local.get $r) (f32x4.mul (local.get $k) ${four(Math.LN2)})))
      (v128.store (local.get $to) (f32x4.div (local.get $x) (f32x4.add ${four(1)} (f32x4.mul
        (i32x4.shl (i32x4.add (i32x4.splat (i32.const 127)) (i32x4.trunc_sat_f32x4_s (local.get $k))) (i32.const 23))
        ${polynomial([1, 1, 1 / 2, 1 / 6, 1 / 24, 1 / 120, 1 / 720])}))))
      (local.set $to (i32.add (local.get $to) (i32.const 16)))
      (br_if $all (i32.lt_u (local.tee $from (i32.add (local.get $from) (i32.const 16))) (local.get $end)))))`;

/** @param {boolean} fused whether a product and a sum are rounded once, which some browsers offer and which is faster */
export const source = (fused) => `(module
  (memory (export "memory") 1)${product("multiply", false, fused)}${product("filter", true, fused)}${silu})`;

// ---- The assembler, for the part of the format that the source uses

/** @typedef {string | Part[]} Part a word, or what is in brackets */

/** @param {string} text @returns {Part[]} */
const parse = (text) => {
  /** @type {Part[][]} */
  const open = [[]];
  for (const [word] of text.matchAll(/[()]|[^\s()]+/g)) {
    if (word === "(") open.push([]);
    else if (word === ")") {
      const done = open.pop() ?? [];
      open[open.length - 1].push(done);
    } else open[open.length - 1].push(word);
  }
  return /** @type {Part[]} */ (open[0][0]);
};

// A number in groups of seven bits; with a sign, if the last group's highest bit is one.
/** @param {number} value @returns {number[]} */
const unsigned = (value) => (value < 128 ? [value] : [(value & 127) | 128, ...unsigned(value >>> 7)]);
/** @param {number} value @returns {number[]} */
const signed = (value) => (value >= -64 && value < 64 ? [value & 127] : [(value & 127) | 128, ...signed(value >> 7)]);
/** @param {number[]} body what its length is written before */
const sized = (body) => [...unsigned(body.length), ...body];
/** @param {string} text */
const name = (text) => sized(Array.from(text.replaceAll('"', ""), (c) => c.charCodeAt(0)));

const TYPES = { i32: 0x7f, f32: 0x7d, v128: 0x7b };
// Instructions that take all they need from their operands; SIMD's have a prefix.
/** @type {Record<string, number[]>} */
const PLAIN = {
  "i32.lt_s": [0x48], "i32.lt_u": [0x49], "i32.le_s": [0x4c], "i32.add": [0x6a], "i32.mul": [0x6c], "i32.and": [0x71], "i32.shl": [0x74],
  "f32.add": [0x92], "f32x4.splat": [0xfd, 0x13], "f32x4.neg": [0xfd, 0xe1, 1], "f32x4.add": [0xfd, 0xe4, 1],
  "f32x4.sub": [0xfd, 0xe5, 1], "f32x4.mul": [0xfd, 0xe6, 1], "f32x4.div": [0xfd, 0xe7, 1], "f32x4.min": [0xfd, 0xe8, 1],
  "f32x4.max": [0xfd, 0xe9, 1], "f32x4.nearest": [0xfd, 0x6a], "i32x4.splat": [0xfd, 0x11], "i32x4.shl": [0xfd, 0xab, 1],
  "i32x4.add": [0xfd, 0xae, 1], "i32x4.trunc_sat_f32x4_s": [0xfd, 0xf8, 1], "f32x4.relaxed_madd": [0xfd, 0x85, 2],
};
/** @type {Record<string, number[]>} with the power of two that the address should be a multiple of, at least 4 bytes */
const MEMORY = { "i32.load": [0x28, 2], "f32.load": [0x2a, 2], "f32.store": [0x38, 2], "v128.load": [0xfd, 0, 2], "v128.load32_splat": [0xfd, 9, 2], "v128.store": [0xfd, 11, 2] };

/** @param {Part[]} form a function @returns {{ called: string, params: number[], body: number[] }} */
const assembleFunction = (form) => {
  /** @type {string[]} */
  const locals = [], of = { param: /** @type {number[]} */ ([]), local: /** @type {number[]} */ ([]) };
  let called = "";
  /** @type {string[]} */
  const labels = [];
  /** @param {Part} part @returns {number[]} */
  const emit = (part) => {
    const [word, ...rest] = /** @type {[string, ...Part[]]} */ (part), first = String(rest[0]);
    const all = (/** @type {Part[]} */ parts) => parts.flatMap(emit);
    const variable = { "local.get": 0x20, "local.set": 0x21, "local.tee": 0x22 }[word];
    if (variable) return [...all(rest.slice(1)), variable, ...unsigned(locals.indexOf(first))];
    if (word === "i32.const") return [0x41, ...signed(Number(first))];
    if (word === "f32.const") return [0x43, ...new Uint8Array(Float32Array.of(Number(first)).buffer)];
    if (word === "br_if") return [...all(rest.slice(1)), 0x0d, labels.length - 1 - labels.indexOf(first)];
    if (word === "loop") {
      labels.push(first);
      const inside = all(rest.slice(1));
      labels.pop();
      return [3, 0x40, ...inside, 0x0b];
    }
    if (word === "if") {
      const [condition, [, ...yes], [, ...no]] = /** @type {[Part, Part[], Part[]]} */ (rest), asked = emit(condition);
      labels.push("");
      const inside = [...all(yes), 5, ...all(no)];
      labels.pop();
      return [...asked, 4, 0x40, ...inside, 0x0b];
    }
    if (MEMORY[word]) {
      const offset = /^offset=/.test(first) ? Number(first.slice(7)) : null;
      return [...all(offset === null ? rest : rest.slice(1)), ...MEMORY[word], ...unsigned(offset ?? 0)];
    }
    return [...all(rest), ...PLAIN[word]];
  };
  const code = form.slice(1).flatMap((part) => {
    const [word, first, type] = /** @type {string[]} */ (part);
    if (word === "export") called = first;
    else if (word === "param" || word === "local") {
      locals.push(first);
      of[word].push(TYPES[type]);
    } else return emit(part);
    return [];
  });
  return { called, params: of.param, body: sized([...unsigned(of.local.length), ...of.local.flatMap((type) => [1, type]), ...code, 0x0b]) };
};

// The bytes of a module with one memory and functions that return nothing.
/** @param {string} text */
export const assemble = (text) => {
  const [, [, [, memory], pages], ...forms] = /** @type {[string, [string, string[], string], ...Part[][]]} */ (parse(text));
  const functions = forms.map(assembleFunction), list = (/** @type {number[][]} */ parts) => [...unsigned(parts.length), ...parts.flat()];
  const section = (/** @type {number} */ id, /** @type {number[][]} */ parts) => [id, ...sized(list(parts))];
  return Uint8Array.from([
    0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
    ...section(1, functions.map(({ params }) => [0x60, ...sized(params), 0])),
    ...section(3, functions.map((_, i) => [i])),
    ...section(5, [[0, Number(pages)]]),
    ...section(7, [[...name(memory), 2, 0], ...functions.map(({ called }, i) => [...name(called), 0, i])]),
    ...section(10, functions.map(({ body }) => body)),
  ]);
};
