// Random values of a derivation's letters, which keep the rules of its chapter: where lines are compared.
import { evaluate } from "./algebra.js";
import { checksum, mix, schedule as waySchedule, stream } from "./science.js";

/** @typedef {import("./algebra.js").Tree} Tree */

export const SCHEDULE = ["\\alpha", "\\beta", "\\bar{\\alpha}", "\\tilde{\\beta}"];
const POINTS = 12, TOLERANCE = 1e-9;

/** @param {Tree} tree */
export const keyOf = ({ name = "", index = "" }) => `${name}_${index}`;
/** @param {Tree} tree */
export const positive = ({ name = "" }) => ["a", "b", "u", "w", "\\sigma"].includes(name);

// Uniform numbers in (0, 1), the same in every run.
/** @param {number} seed */
const dice = (seed) => {
  const uniform = stream(mix(seed | 0));
  let i = 0;
  return () => uniform(i++);
};
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
    const [, letter, by] = /^([tsT]?)(.*)$/.exec(index) ?? [], k = Number(by || 0), own = dice(checksum(index) ^ Math.round(first * 1e6));
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
    return waySchedule([0, 1 - barAt(k - 1), 1 - alphas(k)]).betaTilde[2]; // of a walk that has come to k - 1 in one step
  };
};

export class Point {
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
    const roll = dice(checksum(key) ^ this.seed), size = between(0.3, 1.7, roll());
    if (name === "\\sigma" && !index) {
      // The fresh noise of a leap is less than all the noise at s.
      return Math.round(100 * Math.sqrt((1 - this.table("\\bar{\\alpha}", "s")) * between(0.2, 0.7, roll()))) / 100;
    }
    return positive({ name, ...rest }) || roll() < 0.5 ? size : -size;
  }
}

/** @param {number} a @param {number} b @param {number} [size] */
export const near = (a, b, size = 0) => Math.abs(a - b) <= TOLERANCE * (Math.max(Math.abs(a), Math.abs(b), size) + 1e-4);

// The points at which the lines of a derivation are compared.
/** @param {Map<string, Tree>} given */
export const choosePoints = (given) => Array.from({ length: POINTS }, (_, k) => new Point(checksum(`point ${k}`), given));
