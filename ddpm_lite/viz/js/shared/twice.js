// Two slips at once. All changes of a line are tried in turn as the first. For the second, the line is not computed again
// for each change: from what the whole must be worth follows what each of its parts must be, and the changes of a part
// keep their values.
import { evaluate, make } from "./algebra.js";
import { near } from "./points.js";
import { PAIRED, tell, withPart } from "./slips.js";

/** @typedef {import("./algebra.js").Tree} Tree */
/** @typedef {import("./slips.js").Change} Change */
/** @typedef {Pick<Change, "kind" | "from" | "to"> & { worth: number }} Found */

// What part i of a formula must be worth, so that the whole is worth what is wanted; the others keep their values.
/** @param {Tree["op"]} op @param {number[]} values @param {number} i @param {number} wanted @returns {number[]} */
const needed = (op, values, i, wanted) => {
  const others = values.filter((_, k) => k !== i), [other] = others;
  if (op === "+") return [others.reduce((rest, value) => rest - value, wanted)];
  if (op === "*") return [others.reduce((rest, value) => rest / value, wanted)];
  if (op === "/") return [i ? other / wanted : other * wanted];
  if (op === "sqrt") return [wanted ** 2];
  // A negative, a norm or a power, of which the exponent stays.
  const size = op === "^" ? (i ? NaN : wanted ** (1 / other)) : wanted;
  return [size, -size];
};

/**
 * In steps of less than a millisecond: the words for two changes that make a wrong line right, if there are any.
 * @param {Change[]} firsts changes of the line, those first that are told first
 * @param {(tree: Tree) => Iterable<[Change["kind"], Tree, Tree?, Tree?]>} changes of a part by itself
 * @param {(tree: Tree) => number} value of a symbol, at one point
 * @param {Tree} left what the line is equal to, if it has no side that says so
 * @param {number[]} sums what the other sides may lack there
 * @param {(line: Tree) => boolean} right whether a line is right
 * @returns {Generator<undefined, string | undefined>}
 */
export function* explainTwice(firsts, changes, value, left, sums, right) {
  /** @type {Map<Tree, Found[]>} */
  const kept = new Map();
  /** @param {Tree} part @param {number} wanted @param {(other: Tree) => Tree} put the line with another part @returns {Found | undefined} */
  const seek = (part, wanted, put) => {
    const own = kept.get(part) ?? [...changes(part)].filter(([kind]) => PAIRED.includes(kind))
      .map(([kind, to, from = part]) => ({ kind, from, to, worth: evaluate(to, value) }));
    kept.set(part, own);
    let found = own.find(({ worth, to }) => near(worth, wanted) && right(put(to)));
    const values = part.args.map((arg) => evaluate(arg, value));
    for (const [i, arg] of part.args.entries()) {
      for (const need of needed(part.op, values, i, wanted)) found ??= seek(arg, need, (other) => put(withPart(part, i, other)));
    }
    return found;
  };
  for (const first of firsts) {
    yield;
    const line = first.tree.op === "=" ? first.tree : make("=", left, first.tree), one = evaluate(line.args[0], value);
    for (const [i, side] of line.args.entries()) {
      for (const sum of i ? sums : []) {
        const second = seek(side, one - sum, (other) => withPart(line, i, other));
        if (!second) continue;
        const words = tell(second).replace("you wrote", "it then says").replace("it would", "with the first put right, it would");
        return `Two slips. (1) ${tell(first).replace("it would", "with the other put right, it would")} (2) ${words}`;
      }
    }
  }
  return undefined;
}
