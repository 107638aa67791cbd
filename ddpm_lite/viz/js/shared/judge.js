// Judges a line of a derivation: whether it equals the line before, at random values of its letters that keep the rules of
// the chapter, and if not, which small slip would explain it.
import { evaluate, make, number, print, sizeOf, symbol, symbolsOf } from "./algebra.js";
import { choosePoints, keyOf, near, Point, positive, SCHEDULE } from "./points.js";
import { NotUnderstood, parse } from "./reader.js";
import { FACTORS, makeChanges, PAIRED, RANKS, tell } from "./slips.js";
import { explainTwice } from "./twice.js";

/** @typedef {import("./algebra.js").Tree} Tree */
/** @typedef {import("./slips.js").Change} Change */
/** @typedef {import("./slips.js").Slip} Slip */
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
 * @typedef {object} Verdict
 * @property {"goal" | "equal" | "again" | "empty" | "different" | "unread"} kind
 * @property {string} words sentences with formulas between dollars
 * @property {Slip} [slip]
 * @property {string} [shown] the line with the place of the slip in a box
 * @property {Tree} [tree]
 * @property {number} [at]
 */

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
  const points = choosePoints(given);
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
  const { changes, everywhere, throughout } = makeChanges(letters, factors);

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

  // The changes that are tried. The first side stays, if it is what the derivation is about.
  /** @param {Tree} tree */
  const changesOf = (tree) => {
    const own = tree.op === "=" && [left, goal].some((side) => print(side) === print(tree.args[0]));
    return [...everywhere(tree, own ? 1 : 0), ...throughout(tree)];
  };
  /** @param {Tree} line */
  const isRight = (line) => holds(line) && !saysNothing(line);

  /** @param {Tree} tree @returns {Slip | undefined} */
  const repair = (tree) => {
    /** @type {(Change & { rank: number }) | undefined} */
    let best;
    for (const found of changesOf(tree)) {
      // The smallest place that explains it; of a factor the largest, which is a term, and what is missing first.
      const size = Math.min(sizeOf(found.from), 400);
      const place = found.kind === "sign" ? 0 : found.kind === "two" ? (found.to.op === "*" ? 400 : 800) - size : size;
      const rank = RANKS.indexOf(found.kind) * 1000 + place;
      if ((!best || rank < best.rank) && isRight(found.tree)) best = { ...found, rank };
    }
    return best && { kind: best.kind, words: tell(best), shown: print(best.shown) };
  };

  // Two slips at once, which take longer to find.
  /** @param {Tree} tree */
  const repairTwice = (tree) => {
    const all = changesOf(tree), firsts = PAIRED.flatMap((kind) => all.filter((one) => one.kind === kind));
    return explainTwice(firsts, changes, points[0].value, left, sums[0], isRight);
  };

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

  return { judge, left, references, repairTwice, start: parse(derivation.start) };
};

// ---- Small things

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
