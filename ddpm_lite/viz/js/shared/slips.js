// The small slips that people make in a line of a derivation, each as a change of one part of it, and what is said of it.
import { make, number, print, sizeOf, symbol, symbolsOf } from "./algebra.js";
import { keyOf, SCHEDULE } from "./points.js";
import { moved } from "./reader.js";

/** @typedef {import("./algebra.js").Tree} Tree */
/**
 * @typedef {object} Slip
 * @property {"braces" | "index" | "letter" | "sign" | "root" | "square" | "swap" | "one" | "two" | "extra" | "lack" | "term"
 *   | "weights" | "line" | "side" | "own"} kind
 * @property {string} words
 * @property {string} [shown] the line with the place of the slip in a box
 */
/** @typedef {{ kind: Slip["kind"], from: Tree, to: Tree, tree: Tree, shown: Tree }} Change a line, one part of it changed */

// The letters that are taken for each other: a bar or a tilde is lost or put on, alpha is beta.
/** @type {Record<string, string[]>} */
const MIXED_UP = {
  "\\alpha": ["\\bar{\\alpha}", "\\beta"], "\\bar{\\alpha}": ["\\alpha"], "\\beta": ["\\tilde{\\beta}", "\\alpha"],
  "\\tilde{\\beta}": ["\\beta"],
};
// Which explanation comes first, where several are right.
/** @type {Slip["kind"][]} */
export const RANKS = ["braces", "index", "letter", "sign", "root", "square", "swap", "one", "two", "extra", "lack", "term", "weights"];
// Of two slips at once, each is one of these; with the others, nearly any line could be explained.
export const PAIRED = RANKS.slice(0, 9);
/** @type {(index: string) => Tree[]} */
const roots = (index) => ["\\alpha", "\\beta", "\\bar{\\alpha}"].map((name) => symbol(name, index))
  .flatMap((sign) => [sign, make("+", number(1), make("-", sign))]).flatMap((tree) => [tree, make("sqrt", tree)]);
export const FACTORS = [make("-", number(1)), number(2), make("/", number(1), number(2)),
  ...["t", "t-1", "s"].flatMap(roots).flatMap((tree) => [tree, make("/", number(1), tree)])];

// ---- The changes

/**
 * @param {Tree[]} letters of the derivation
 * @param {Tree[]} factors that a term may lack
 */
export const makeChanges = (letters, factors) => {
  // A change of one place, wherever it can be made, but in the first sides that are left as they are.
  /** @param {Tree} tree @param {number} [first] @returns {Generator<Change>} */
  function* everywhere(tree, first = 0) {
    for (const [kind, to, from = tree, shown = make("box", tree)] of changes(tree)) yield { kind, from, to, tree: to, shown };
    for (const [i, part] of tree.args.entries()) {
      if (i < first) continue;
      for (const found of everywhere(part)) yield within(tree, i, found);
    }
  }

  // One symbol for another, in a whole part of a line.
  /** @param {Tree} tree @returns {Generator<Change>} */
  function* throughout(tree) {
    const signs = new Map(symbolsOf(tree).map((sign) => [keyOf(sign), sign]));
    for (const [key, sign] of signs) {
      if (symbolsOf(tree).filter((one) => keyOf(one) === key).length < 2) continue;
      for (const [kind, to] of neighbours(sign)) {
        /** @param {Tree} part @param {boolean} mark @returns {Tree} */
        const put = (part, mark) => {
          if (part.op !== "sym") return { ...part, args: part.args.map((arg) => put(arg, mark)) };
          return keyOf(part) !== key ? part : mark ? make("box", part) : to;
        };
        yield { kind, from: sign, to, tree: put(tree, false), shown: put(tree, true) };
      }
    }
    if (tree.op !== "+" && tree.op !== "=") return;
    for (const [i, part] of tree.args.entries()) {
      for (const found of throughout(part)) yield within(tree, i, found);
    }
  }

  /** @param {Tree} sign @returns {Generator<[Slip["kind"], Tree]>} */
  function* neighbours({ name = "", index = "" }) {
    if (/^[tsT]/.test(index)) {
      yield ["index", symbol(name, moved(index, -1))];
      yield ["index", symbol(name, moved(index, 1))];
    }
    for (const { name: other, index: place = "" } of letters) {
      if (other === name && place && place !== index) yield ["index", symbol(name, place)];
    }
    if (SCHEDULE.includes(name)) {
      for (const place of ["t", "t-1", "s"]) if (place !== index) yield ["index", symbol(name, place)];
    }
    for (const other of MIXED_UP[name] ?? []) yield ["letter", symbol(other, index)];
    if (SCHEDULE.includes(name)) return;
    for (const { name: other = "", index: place } of letters) if (other !== name) yield ["letter", symbol(other, place)];
  }

  // What may have been meant by one part of a line: (kind, the better part, what the words call the old one, the mark).
  /** @param {Tree} tree @returns {Generator<[Slip["kind"], Tree, Tree?, Tree?]>} */
  function* changes(tree) {
    const { op, args } = tree;
    if (op === "sym") for (const [kind, to] of neighbours(tree)) yield [kind, to];
    if (op === "+") {
      // The sign of the first term is looked at last: nobody forgets it.
      for (const i of [...args.keys()].slice(1).concat(0)) {
        const term = args[i];
        /** @param {Tree[]} others */
        const put = (...others) => joined(...args.slice(0, i), ...others, ...args.slice(i + 1));
        const marked = put(make("box", term)), bare = term.op === "-" ? term.args[0] : term;
        yield ["sign", put(term.op === "-" ? bare : make("-", term)), term, marked];
        if (args.length > 2 || term.op !== "num") yield ["term", put(), term, marked];
        for (const factor of factors) {
          const more = make("*", factor, bare);
          yield ["lack", put(term.op === "-" ? make("-", more) : more), more, marked];
        }
      }
      yield* exchanged(args);
      const [first, second] = args;
      yield ["one", make("+", number(1), first.op === "-" ? first.args[0] : make("-", first), ...args.slice(1))];
      if (args.length === 2 && first.op === "num" && first.value === 1 && second.op === "-") yield ["one", second.args[0]];
      // x_t - 1 for x_{t-1}
      for (let i = 0; i + 1 < args.length; i++) {
        const [a, b] = [args[i], args[i + 1]];
        if (b.op !== "-" || b.args[0].op !== "num") continue;
        const last = lastSymbol(a), by = b.args[0].value ?? 0;
        if (!last?.index) continue;
        const to = replaced(a, last, symbol(last.name ?? "", moved(last.index, -by)));
        /** @param {Tree} other */
        const put = (other) => joined(...args.slice(0, i), other, ...args.slice(i + 2));
        const marked = a.op === "-" ? make("-", make("box", make("+", a.args[0], b))) : make("box", make("+", a, b));
        yield ["braces", put(to), make("+", last, b), put(marked)];
      }
    }
    if (op === "-") yield ["sign", args[0]];
    if (op === "num" || op === "=") {
      if (op === "num" && tree.value !== 0) yield ["two", number((tree.value ?? 1) * 2)];
      if (op === "num" && tree.value === 2) yield ["two", number(1)];
      return;
    }
    yield ["root", make("sqrt", tree)];
    if (op === "sqrt") yield ["root", args[0]];
    if (op === "*") {
      for (const i of args.keys()) {
        const rest = args.filter((_, k) => k !== i), [first] = rest;
        yield ["extra", rest.length > 1 ? make("*", ...rest) : first, args[i], withPart(tree, i, make("box", args[i]))];
      }
      for (let i = 0; i < args.length; i++) {
        for (let k = i + 2; k <= args.length; k++) {
          if (k - i === args.length) continue;
          const run = make("*", ...args.slice(i, k));
          /** @param {Tree} other */
          const put = (other) => make("*", ...args.slice(0, i), other, ...args.slice(k));
          yield ["root", put(make("sqrt", run)), run, put(make("box", run))];
        }
      }
    }
    yield ["square", make("^", tree, number(2))];
    if (op === "^" && args[1].op === "num" && args[1].value === 2) yield ["square", args[0]];
    if (op === "/") {
      yield ["swap", make("/", args[1], args[0])];
      yield ["extra", args[0], make("/", number(1), args[1]), make("/", args[0], make("box", args[1]))];
    }
    yield ["one", joined(number(1), make("-", tree))];
    yield ["two", make("*", number(2), tree)];
    yield ["two", make("/", tree, number(2))];
  }

  return { changes, everywhere, throughout };
};

// Two terms of a sum, each of which has the weight of the other.
/** @param {Tree[]} terms @returns {Generator<[Slip["kind"], Tree, Tree, Tree]>} */
function* exchanged(terms) {
  for (const [i, one] of terms.entries()) {
    for (const [k, other] of terms.entries()) {
      if (k <= i) continue;
      for (const a of weighted(one)) {
        for (const b of weighted(other)) {
          /** @param {Tree} first @param {Tree} second */
          const put = (first, second) =>
            joined(...terms.map((term, n) => (n === i ? replaced(term, a, first) : n === k ? replaced(term, b, second) : term)));
          if (keyOf(a) !== keyOf(b)) yield ["weights", put(b, a), make("*", a, b), put(make("box", a), make("box", b))];
        }
      }
    }
  }
}

// The letters that a term multiplies, none of them of the schedule.
/** @param {Tree} term @returns {Tree[]} */
const weighted = (term) => {
  const { op, args, name = "" } = term;
  if (op === "sym") return SCHEDULE.includes(name) ? [] : [term];
  return op === "*" ? args.flatMap(weighted) : op === "-" || op === "/" ? weighted(args[0]) : [];
};

// ---- Parts of trees

/** @param {Tree} tree @param {number} i @param {Tree} other @returns {Tree} */
export const withPart = (tree, i, other) => ({ ...tree, args: tree.args.map((part, k) => (k === i ? other : part)) });
/** @param {Tree} tree @param {number} i @param {Change} change of its part i @returns {Change} */
const within = (tree, i, change) => ({ ...change, tree: withPart(tree, i, change.tree), shown: withPart(tree, i, change.shown) });
/** @param {...Tree} terms */
const joined = (...terms) => (terms.length === 1 ? terms[0] : make("+", ...terms));
/** @param {Tree} tree @returns {Tree | undefined} */
const lastSymbol = (tree) => {
  if (tree.op === "sym") return tree;
  return ["*", "-", "+"].includes(tree.op) ? lastSymbol(tree.args[tree.args.length - 1]) : undefined;
};
/** @param {Tree} tree @param {Tree} old @param {Tree} other @returns {Tree} */
const replaced = (tree, old, other) =>
  (tree === old ? other : { ...tree, args: tree.args.map((part) => replaced(part, old, other)) });

// ---- Words

/** @param {Pick<Change, "kind" | "from" | "to">} change @returns {string} what a reader is told of a slip */
export const tell = ({ kind, from, to }) => {
  const [old, better] = [from, to].map(print), grows = sizeOf(to) > sizeOf(from);
  const equal = `it would be equal with $${better}$ where you wrote $${old}$`, amount = grows ? "is missing" : "is too many";
  if (kind === "braces") return `An index of several signs needs braces, as in abar_{t-1}: what you wrote is $${old}$.`;
  if (kind === "index") return `Look at an index: ${equal}.`;
  if (kind === "letter") return `Look at a letter: ${equal}.`;
  if (kind === "sign" && from.op === "-") return `Look at a sign: it would be equal with $+ ${print(from.args[0])}$ instead of $${old}$.`;
  if (kind === "sign") return `Look at a sign: it would be equal with $- ${grouped(from)}$ instead of $+ ${old}$.`;
  if (kind === "root" && from.op === "sqrt" && !grows) return `A root is too many: ${equal}.`;
  if (kind === "root") return `A root is missing: it would be equal with $\\sqrt{${old}}$ where you wrote $${old}$.`;
  if (kind === "square") return `A square ${amount}: ${equal}.`;
  if (kind === "swap") return `A fraction is upside down: ${equal}.`;
  if (kind === "one") return `“1 −” ${amount}: ${equal}.`;
  if (kind === "lack") return `A factor is missing: it would be equal with $${old}$ where you wrote $${print(from.args[1])}$.`;
  if (kind === "extra") return `A factor is too many: it would be equal without $${old}$.`;
  if (kind === "weights") {
    const [a, b] = from.args.map(print);
    return `Two weights have changed places: it would be equal if $${b}$ had the factor of $${a}$, and $${a}$ that of $${b}$.`;
  }
  if (kind === "term") return `A term is too many: it would be equal without $${old}$.`;
  if (to.op === "*") return `A factor 2 is missing: it would be equal if $${old}$ were twice as large.`;
  if (to.op === "/") return `A factor 2 is too many: it would be equal if $${old}$ were half as large.`;
  return `Look at a number: ${equal}.`;
};
/** @param {Tree} tree */
const grouped = (tree) => (tree.op === "+" ? `\\left(${print(tree)}\\right)` : print(tree));
