// Judges a line of a derivation: whether it equals the line before, at random values of its letters that keep the rules of
// the chapter, and if not, which small slip would explain it.
import { evaluate, make, moved, NotUnderstood, number, parse, print, sizeOf, symbol, symbolsOf } from "./algebra.js";

/** @typedef {import("./algebra.js").Tree} Tree */
/**
 * @typedef {object} Shape what the goal looks like
 * @property {string[]} only its symbols
 * @property {string[]} [once] symbols that occur exactly once
 * @property {string} [collected] a symbol whose powers each have one factor
 * @property {number} [most] the most letters of the schedule
 * @property {boolean} [norm] whether a norm holds none of the schedule's letters
 */
/**
 * @typedef {object} Derivation as in book/derivations.toml
 * @property {string} left what every line is equal to
 * @property {string} start the first line
 * @property {string[]} given equations "symbol = formula" that hold throughout
 * @property {string[]} letters the symbols that may have any value
 * @property {string} [goal] what is alone at the end, if not `left`
 * @property {string} [unknown] a symbol of `left`; an equation that holds whatever it is says nothing
 * @property {string} [upto] terms without this symbol may be left out
 * @property {string[]} [rest] these terms
 * @property {Shape} shape
 * @property {{ line: string, hint: string }[]} steps
 * @property {{ line: string, words: string }[]} [slips] wrong lines of this derivation, and what is wrong with them
 */
/**
 * @typedef {object} Slip
 * @property {"braces" | "index" | "letter" | "sign" | "root" | "square" | "swap" | "one" | "two" | "extra" | "lack" | "term"
 *   | "line" | "side" | "own"} kind
 * @property {string} words
 * @property {string} [shown] the line with the place of the slip in a box
 */
/** @typedef {{ kind: Slip["kind"], from: Tree, to: Tree, tree: Tree, shown: Tree }} Change a line, one part of it changed */
/**
 * @typedef {object} Verdict
 * @property {"goal" | "equal" | "again" | "empty" | "different" | "unread"} kind
 * @property {string} words sentences with formulas between dollars
 * @property {Slip} [slip]
 * @property {string} [shown] the line with the place of the slip in a box
 * @property {Tree} [tree]
 * @property {number} [at]
 */

const SCHEDULE = ["\\alpha", "\\beta", "\\bar{\\alpha}", "\\tilde{\\beta}"];
const POINTS = 12, TOLERANCE = 1e-9;

/** @param {Tree} tree */
const keyOf = ({ name = "", index = "" }) => `${name}_${index}`;
/** @param {Tree} tree */
const positive = ({ name = "" }) => ["a", "b", "u", "w", "\\sigma"].includes(name);

// Uniform numbers in (0, 1), the same in every run (mulberry32).
/** @param {number} seed */
const dice = (seed) => () => {
  seed = (seed + 0x6d2b79f5) | 0;
  let h = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  h = (h + Math.imul(h ^ (h >>> 7), 61 | h)) ^ h;
  return ((h ^ (h >>> 14)) >>> 0) / 2 ** 32;
};
/** @param {string} text */
const hash = (text) => [...text].reduce((h, letter) => Math.imul(h ^ letter.charCodeAt(0), 16777619), 2166136261);
/** @param {number} low @param {number} high @param {number} share */
const between = (low, high, share) => Math.round((low + (high - low) * share) * 100) / 100;

// ---- One point: a value for every symbol

// A schedule with steps so large that a wrong index shows, and nothing near 0 or 1.
/** @param {() => number} roll */
const schedule = (roll) => {
  const first = between(0.9, 0.97, roll());
  /** @type {Map<number, number>} */
  const alpha = new Map();
  for (let k = -3; k <= 4; k++) alpha.set(k, k < 0 ? between(0.75, 0.96, roll()) : between(0.45, 0.9, roll()));
  /** @param {number} k @returns {number} */
  const bar = (k) => (k <= -4 ? first : bar(k - 1) * (alpha.get(k) ?? 0.8));
  const early = between(0.3, 0.8, roll()), bars = { s: bar(0) + (0.97 - bar(0)) * early };
  return (/** @type {string} */ name, /** @type {string} */ index) => {
    const [, letter, by] = /^([tsT]?)(.*)$/.exec(index) ?? [], k = Number(by || 0), own = dice(hash(index) ^ Math.round(first * 1e6));
    /** @type {(k: number) => number} */
    let alphas = (j) => alpha.get(j) ?? NaN;
    let barAt = bar;
    if (letter === "s" || letter === "T") {
      // Another stretch of the schedule: early for s, late for T.
      const at = letter === "s" ? bars.s : bar(0) * 0.3, step = 0.9 + 0.05 * early;
      alphas = () => step;
      barAt = (j) => Math.min(at * step ** j, 0.99);
    } else if (!letter) {
      const one = between(0.9, 0.97, own());
      alphas = () => (k === 0 ? 1 : one);
      barAt = (j) => one ** j;
    }
    if (name === "\\alpha") return alphas(k);
    if (name === "\\beta") return 1 - alphas(k);
    if (name === "\\bar{\\alpha}") return barAt(k);
    return ((1 - barAt(k - 1)) / (1 - barAt(k))) * (1 - alphas(k));
  };
};

class Point {
  /** @param {number} seed @param {Map<string, Tree>} given @param {Map<string, number>} [fixed] */
  constructor(seed, given, fixed = new Map()) {
    this.seed = seed;
    this.given = given;
    this.known = new Map(fixed);
    this.table = schedule(dice(seed));
  }

  /** @param {Tree} tree @returns {number} */
  value = (tree) => {
    const key = keyOf(tree);
    let found = this.known.get(key);
    if (found === undefined) {
      const rule = this.given.get(key);
      found = rule ? evaluate(rule, this.value) : this.free(tree, key);
      this.known.set(key, found);
    }
    return found;
  };

  /** @param {Tree} tree @param {string} key */
  free({ name = "", index = "", ...rest }, key) {
    if (SCHEDULE.includes(name)) return this.table(name, index);
    const roll = dice(hash(key) ^ this.seed), size = between(0.3, 1.7, roll());
    if (name === "\\sigma" && !index) {
      // The fresh noise of a leap is less than all the noise at s.
      return Math.round(100 * Math.sqrt((1 - this.table("\\bar{\\alpha}", "s")) * between(0.2, 0.7, roll()))) / 100;
    }
    return positive({ name, ...rest }) || roll() < 0.5 ? size : -size;
  }
}

/** @param {number} a @param {number} b @param {number} [size] */
const near = (a, b, size = 0) => Math.abs(a - b) <= TOLERANCE * (Math.max(Math.abs(a), Math.abs(b), size) + 1e-4);

// ---- A derivation, ready to judge

/** @param {Derivation} derivation */
export const prepare = (derivation) => {
  /** @type {Map<string, Tree>} */
  const given = new Map();
  for (const rule of derivation.given) {
    const { args: [sign, formula] } = parse(rule);
    given.set(keyOf(sign), formula);
  }
  const left = parse(derivation.left), goal = parse(derivation.goal ?? derivation.left);
  const unknown = derivation.unknown ? parse(derivation.unknown) : null, upto = derivation.upto ? parse(derivation.upto) : null;
  const letters = derivation.letters.map(parse).concat([...given.keys()].map(asSymbol));
  const points = Array.from({ length: POINTS }, (_, k) => new Point(hash(`point ${k}`), given));
  // The sums of some of the terms that may be left out, at each point.
  const subsets = (derivation.rest ?? []).map(parse).reduce(
    (sums, term) => [...sums, ...sums.map((sum) => [...sum, term])], /** @type {Tree[][]} */ ([[]]));
  const sums = points.map(({ value }) => subsets.map((terms) => terms.reduce((total, term) => total + evaluate(term, value), 0)));
  const references = [derivation.start, ...derivation.steps.map(({ line }) => line)].map(parse)
    .map((tree) => (tree.op === "=" ? tree.args[tree.args.length - 1] : tree));

  const slips = (derivation.slips ?? []).map(({ line, words }) => ({ line: parse(line), words }));
  // What a term may lack: the schedule's letters, and those of this derivation that are numbers.
  const numbers = letters.filter(positive);
  const factors = [...FACTORS.slice(3), ...numbers, ...numbers.map((sign) => make("/", number(1), sign))];

  /** @param {Tree} line */
  const sidesOf = (line) => (line.op === "=" ? line.args : [left, line]);

  /**
   * Whether all sides of a line are equal.
   * @param {Tree} line @param {(symbol: Tree, point: Point) => number} [value] @param {Point[]} [at]
   * @param {boolean} [whole] whether nothing may be left out
   */
  const holds = (line, value = (sign, point) => point.value(sign), at = points, whole = false) => {
    const [first, ...others] = sidesOf(line), all = subsets.map((_, j) => j).slice(0, whole ? 1 : undefined);
    const dropped = others.map(() => all);
    return at.every((point, k) => {
      /** @param {Tree} side */
      const worth = (side) => evaluate(side, (sign) => value(sign, point));
      const wanted = worth(first);
      return Number.isFinite(wanted) && others.every((side, i) => {
        const found = worth(side), sum = sums[points.indexOf(point)] ?? sums[k];
        dropped[i] = dropped[i].filter((j) => near(found + sum[j], wanted, Math.abs(found)));
        return dropped[i].length > 0;
      });
    });
  };

  // An equation that would hold for any value of the unknown says nothing about it.
  /** @param {Tree} line */
  const saysNothing = (line) => {
    if (!unknown) return false;
    const key = keyOf(unknown);
    return holds(line, (sign, point) => (keyOf(sign) === key ? point.value(sign) + 0.37 : point.value(sign)));
  };

  /** @param {Tree} tree the symbols that do not belong here */
  const strangers = (tree) => symbolsOf(tree).filter((sign) => {
    if (SCHEDULE.includes(sign.name ?? "")) return !sign.index;
    return !letters.some(({ name, index }) => name === sign.name && !index === !sign.index);
  });

  /** @param {string} text @param {Tree[]} [before] the reader's own lines @returns {Verdict} */
  const judge = (text, before = []) => {
    /** @type {Tree} */
    let tree;
    try {
      tree = parse(text);
    } catch (error) {
      if (!(error instanceof NotUnderstood)) throw error;
      return { kind: "unread", words: error.message, at: error.at };
    }
    const [stranger] = strangers(tree);
    if (stranger) {
      const known = letters.find(({ name }) => name === stranger.name);
      const all = list([...new Set(letters.map(print))]) || "none but the schedule's";
      const advice = known ? `write $${print(known)}$` : `its letters are ${all}, beside those of the schedule`;
      return { kind: "unread", words: `$${print(stranger)}$ does not occur in this derivation: ${advice}.`, tree };
    }
    if (tree.op !== "=" && derivation.goal && !holds(tree) && holds(make("=", goal, tree))) {
      const words = `This is $${print(goal)}$, while a line without a left side is $${print(left)}$: begin it with $${print(goal)} =$.`;
      return { kind: "different", tree, words, slip: { kind: "side", words } };
    }
    if (!holds(tree)) return { kind: "different", tree, ...explain(tree, before) };
    if (saysNothing(tree)) {
      return { kind: "empty", tree, words: `True, but it holds whatever $${print(unknown ?? left)}$ is, so it says nothing about it.` };
    }
    const last = before.at(-1) ?? parse(derivation.start);
    if (print(sideOf(last)) === print(sideOf(tree)) && last.op === tree.op) {
      return { kind: "again", tree, words: "This is the line before, unchanged." };
    }
    const lacking = misses(tree), whole = !upto || holds(tree, undefined, points, true);
    if (lacking === "") return { kind: "goal", tree, words: "Equal, and this is the goal: you have derived it." };
    const equal = whole ? "Equal to the line before." : `Equal, up to terms without $${print(upto ?? left)}$.`;
    return { kind: "equal", tree, words: `${equal} ${lacking}` };
  };

  /** @param {Tree} tree */
  const sideOf = (tree) => (tree.op === "=" ? tree.args[tree.args.length - 1] : tree);

  // ---- The goal

  // What a right line lacks of the goal's shape, in a sentence; empty if it has it.
  /** @param {Tree} tree */
  const misses = (tree) => {
    const { only, once = [], collected, most = 99, norm } = derivation.shape, asked = print(goal);
    let side = tree;
    if (tree.op === "=") {
      const [first, last] = [tree.args[0], tree.args[tree.args.length - 1]].map(print);
      if (first === asked) side = tree.args[tree.args.length - 1];
      else if (last === asked) [side] = tree.args;
      else return `At the goal, $${asked}$ is alone on one side.`;
    } else if (derivation.goal) return `At the goal, $${asked}$ is alone on one side.`;
    const used = symbolsOf(side), names = used.map(print), allowed = only.map((sign) => print(parse(sign)));
    const others = [...new Set(names.filter((name) => !allowed.includes(name)))];
    if (others.length) return `${list(others)} ${others.length > 1 ? "do" : "does"} not occur in the goal.`;
    for (const sign of once.map((one) => print(parse(one)))) {
      const count = names.filter((name) => name === sign).length;
      if (count > 1) return `In the goal, $${sign}$ occurs only once; here it occurs ${count} times.`;
      if (count < 1) return `The goal contains $${sign}$.`;
    }
    if (collected && !isCollected(side, print(parse(collected)))) {
      return `In the goal, each power of $${collected}$ occurs once, with all that multiplies it in a bracket.`;
    }
    const isNumber = (/** @type {Tree} */ { name = "" }) => SCHEDULE.includes(name) || name === "\\sigma";
    if (norm && insideNorms(side).some(isNumber)) return "In the goal, no factor is left within the norm.";
    const long = used.filter(({ name = "" }) => SCHEDULE.includes(name)).length > most;
    return long ? "These are the right letters, but it can be written shorter." : "";
  };

  // ---- Slips

  /** @param {Tree} tree @param {Tree[]} before @returns {{ words: string, slip?: Slip, shown?: string }} */
  const explain = (tree, before) => {
    const slip = known(tree) ?? repair(tree) ?? compare(tree, before)
      ?? (derivation.goal && tree.op !== "=" ? repair(make("=", goal, tree)) : undefined);
    if (slip) return { words: slip.words, slip, shown: slip.shown };
    return { words: `This differs from the line before.${where(tree)} ${example(tree)}` };
  };

  // A slip that belongs to this derivation.
  /** @param {Tree} tree @returns {Slip | undefined} */
  const known = (tree) => {
    const side = sideOf(tree);
    const found = slips.find(({ line }) => points.every(({ value }) => near(evaluate(line, value), evaluate(side, value))));
    return found && { kind: "own", words: found.words };
  };

  /** @param {Tree} tree @returns {Slip | undefined} */
  const repair = (tree) => {
    const own = tree.op === "=" && [left, goal].some((side) => print(side) === print(tree.args[0]));
    /** @type {(Change & { rank: number }) | undefined} */
    let best;
    const all = [...everywhere(tree, own ? 1 : 0), ...throughout(tree)];
    for (const found of all) {
      // The smallest place that explains it; of a factor the largest, which is a term, and what is missing first.
      const size = Math.min(sizeOf(found.from), 400);
      const place = found.kind === "sign" ? 0 : found.kind === "two" ? (found.to.op === "*" ? 400 : 800) - size : size;
      const rank = RANKS.indexOf(found.kind) * 1000 + place;
      if ((!best || rank < best.rank) && holds(found.tree) && !saysNothing(found.tree)) best = { ...found, rank };
    }
    return best && { kind: best.kind, words: tell(best), shown: print(best.shown) };
  };

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

  // Slips that no change of one place explains: a term is missing, or the whole line has a factor too many.
  /** @param {Tree} tree @param {Tree[]} before @returns {Slip | undefined} */
  const compare = (tree, before) => {
    if (tree.op === "=" && print(tree.args[0]) !== print(left)) return undefined;
    const side = sideOf(tree);
    const seen = new Map([...references, ...before.map(sideOf)].flatMap(termsOf).map((term) => [print(term), term]));
    for (const term of seen.values()) {
      if (holds(make("+", side, term))) {
        const shown = term.op === "-" ? print(term) : `+ ${print(term)}`;
        return { kind: "term", words: `A term is missing: with $${shown}$ it would be equal.` };
      }
    }
    for (const factor of FACTORS) {
      if (!holds(make("*", factor, side))) continue;
      return { kind: "line", words: `The whole line lacks a factor: multiplied by $${print(factor)}$ it would be equal.` };
    }
    return undefined;
  };

  // Which letter's factor is wrong, if it is one.
  /** @param {Tree} tree */
  const where = (tree) => {
    if (tree.op === "=" && print(tree.args[0]) !== print(left)) return "";
    if (derivation.rest) return "";
    const names = new Set(symbolsOf(tree).map(keyOf));
    for (const sign of letters.filter((one) => names.has(keyOf(one)) && !given.has(keyOf(one)) && !positive(one))) {
      const zero = holds(tree, undefined, points.map(({ seed }) => new Point(seed, given, new Map([[keyOf(sign), 0]]))));
      if (zero) return ` Only what multiplies $${print(sign)}$ is wrong.`;
    }
    return "";
  };

  // Values at which the sides differ.
  /** @param {Tree} tree */
  const example = (tree) => {
    const sides = sidesOf(tree), used = new Map(symbolsOf(sides[sides.length - 1]).map((sign) => [keyOf(sign), sign]));
    const point = points.find((one) => !holds(tree, undefined, [one])) ?? points[0];
    const shown = [...used.values()].map((sign) => `$${print(sign)} = ${short(point.value(sign))}$`);
    const values = sides.map((side) => evaluate(side, point.value)), wrong = values[values.length - 1];
    if (!Number.isFinite(wrong)) return `It has no value with ${list(shown, false)}: a root of a negative number, or a division by 0.`;
    const single = `it is ${short(wrong)}, and should be ${short(values[0])}`;
    const sizes = tree.op === "=" ? `its sides are ${list(values.map(short), false)}` : single;
    return `For example, with ${list(shown, false)} ${sizes}.`;
  };

  return { judge, left, references, start: parse(derivation.start) };
};

// ---- Small things

// The letters that are taken for each other: a bar or a tilde is lost or put on, alpha is beta.
/** @type {Record<string, string[]>} */
const MIXED_UP = {
  "\\alpha": ["\\bar{\\alpha}", "\\beta"], "\\bar{\\alpha}": ["\\alpha"], "\\beta": ["\\tilde{\\beta}", "\\alpha"],
  "\\tilde{\\beta}": ["\\beta"],
};
// Which explanation comes first, where several are right.
/** @type {Slip["kind"][]} */
const RANKS = ["braces", "index", "letter", "sign", "root", "square", "swap", "one", "two", "extra", "lack", "term"];
/** @type {(index: string) => Tree[]} */
const roots = (index) => ["\\alpha", "\\beta", "\\bar{\\alpha}"].map((name) => symbol(name, index))
  .flatMap((sign) => [sign, make("+", number(1), make("-", sign))]).flatMap((tree) => [tree, make("sqrt", tree)]);
const FACTORS = [make("-", number(1)), number(2), make("/", number(1), number(2)),
  ...["t", "t-1", "s"].flatMap(roots).flatMap((tree) => [tree, make("/", number(1), tree)])];

/** @param {Tree} tree @param {number} i @param {Tree} other @returns {Tree} */
const withPart = (tree, i, other) => ({ ...tree, args: tree.args.map((part, k) => (k === i ? other : part)) });
/** @param {Tree} tree @param {number} i @param {Change} change of its part i @returns {Change} */
const within = (tree, i, change) => ({ ...change, tree: withPart(tree, i, change.tree), shown: withPart(tree, i, change.shown) });
/** @param {...Tree} terms */
const joined = (...terms) => (terms.length === 1 ? terms[0] : make("+", ...terms));
/** @param {Tree} tree @returns {Tree[]} */
const insideNorms = (tree) => (tree.op === "norm" ? symbolsOf(tree) : tree.args.flatMap(insideNorms));
/** @param {string} key */
const asSymbol = (key) => {
  const cut = key.lastIndexOf("_");
  return symbol(key.slice(0, cut), key.slice(cut + 1));
};
/** @param {Tree} tree @returns {Tree[]} */
const termsOf = (tree) => {
  if (tree.op === "+") return tree.args.flatMap(termsOf);
  return [tree];
};
/** @param {Tree} tree @returns {Tree | undefined} */
const lastSymbol = (tree) => {
  if (tree.op === "sym") return tree;
  return ["*", "-", "+"].includes(tree.op) ? lastSymbol(tree.args[tree.args.length - 1]) : undefined;
};
/** @param {Tree} tree @param {Tree} old @param {Tree} other @returns {Tree} */
const replaced = (tree, old, other) =>
  (tree === old ? other : { ...tree, args: tree.args.map((part) => replaced(part, old, other)) });

// Every term that contains the symbol is a product of a power of it with what does not contain it, one for each power.
/** @param {Tree} tree @param {string} sign */
const isCollected = (tree, sign) => {
  /** @param {Tree} part */
  const has = (part) => symbolsOf(part).some((one) => print(one) === sign);
  /** @param {Tree} part @returns {Tree[]} */
  const factors = (part) => (part.op === "*" ? part.args.flatMap(factors) : part.op === "-" ? factors(part.args[0]) : [part]);
  const powers = termsOf(tree).filter(has).map((term) => {
    if (term.op === "/") return NaN;
    const own = factors(term).filter(has);
    return own.reduce((total, { op, args, ...one }) => {
      if (op === "sym" && print({ op, args, ...one }) === sign) return total + 1;
      if (op === "^" && print(args[0]) === sign && args[1].op === "num") return total + (args[1].value ?? NaN);
      return NaN;
    }, 0);
  });
  return powers.length > 0 && powers.every(Number.isFinite) && new Set(powers).size === powers.length;
};

/** @param {string[]} names @param {boolean} [formulas] */
const list = (names, formulas = true) => {
  const shown = formulas ? names.map((name) => `$${name}$`) : names;
  return shown.length < 2 ? shown.join("") : `${shown.slice(0, -1).join(", ")} and ${shown[shown.length - 1]}`;
};
/** @param {number} value */
const short = (value) => String(Number(value.toPrecision(3)));

/** @param {Change} change @returns {string} what a reader is told of a slip */
const tell = ({ kind, from, to }) => {
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
  if (kind === "term") return `A term is too many: it would be equal without $${old}$.`;
  if (to.op === "*") return `A factor 2 is missing: it would be equal if $${old}$ were twice as large.`;
  if (to.op === "/") return `A factor 2 is too many: it would be equal if $${old}$ were half as large.`;
  return `Look at a number: ${equal}.`;
};
/** @param {Tree} tree */
const grouped = (tree) => (tree.op === "+" ? `\\left(${print(tree)}\\right)` : print(tree));
