// Formulas in the book's letters, each a small tree (reader.js makes it): printed as LaTeX, evaluated.
// Nothing that a reader types is run as code.

/**
 * @typedef {object} Tree
 * @property {"num" | "sym" | "+" | "-" | "*" | "/" | "^" | "sqrt" | "norm" | "=" | "box"} op "-" is the negative of its
 *   one argument; a box only marks a place for printing
 * @property {Tree[]} args
 * @property {number} [value] of a number
 * @property {string} [name] of a symbol, its LaTeX without the index
 * @property {string} [index] of a symbol: "t", "t-1", "0"
 */

/** @param {Tree["op"]} op @param {...Tree} args @returns {Tree} */
export const make = (op, ...args) => ({ op, args });
/** @param {number} value @returns {Tree} */
export const number = (value) => ({ op: "num", args: [], value });
/** @param {string} name @param {string} [index] @returns {Tree} */
export const symbol = (name, index = "") => ({ op: "sym", args: [], name, index });

// ---- Printing

/** @type {Record<string, string>} */
const SHOWN = { "z_\\theta": "z_\\theta(x_t, t)", "\\mu_\\theta": "\\mu_\\theta(x_t, t)", C: "C(x_t, x_0)", f: "f(x_{t-1})" };

const SUM = 1, PRODUCT = 2, POWER = 3, ATOM = 4;

/** @param {Tree} tree */
const level = ({ op }) => (op === "+" || op === "=" ? SUM : op === "*" || op === "-" ? PRODUCT : op === "^" ? POWER : ATOM);

/** @param {Tree} tree @param {number} least */
const bracketed = (tree, least) => (level(tree) < least ? `\\left(${print(tree)}\\right)` : print(tree));

/** @param {Tree} tree @returns {string} LaTeX that `parse` reads as the same tree, but for the brackets of products */
export const print = (tree) => {
  const { op, args } = tree;
  if (op === "num") return String(tree.value);
  if (op === "sym") {
    const { name = "", index = "" } = tree;
    return (SHOWN[name] ?? name) + (index && `_${index.length > 1 ? `{${index}}` : index}`);
  }
  if (op === "=") return args.map(print).join(" = ");
  if (op === "box") return `\\boxed{${print(args[0])}}`;
  if (op === "sqrt") return `\\sqrt{${print(args[0])}}`;
  if (op === "norm") return `\\lVert ${print(args[0])} \\rVert`;
  if (op === "/") return `\\frac{${print(args[0])}}{${print(args[1])}}`;
  if (op === "^") {
    const [low, high] = args, plain = low.op === "num" || (low.op === "sym" && !/['()]/.test(SHOWN[low.name ?? ""] ?? low.name ?? ""));
    const text = plain || low.op === "norm" ? print(low) : `\\left(${print(low)}\\right)`;
    return `${text}^{${print(high)}}`;
  }
  if (op === "-") return `-${bracketed(args[0], args[0].op === "-" ? POWER : PRODUCT)}`;
  if (op === "+") {
    return args.map((part, i) => {
      // The sign of a term is outside its box.
      const term = part.op === "box" && part.args[0].op === "-" ? make("-", make("box", part.args[0].args[0])) : part;
      if (term.op === "-") return `${i ? " - " : "-"}${bracketed(term.args[0], term.args[0].op === "-" ? POWER : PRODUCT)}`;
      return `${i ? " + " : ""}${bracketed(term, PRODUCT)}`;
    }).join("");
  }
  return args.map((factor, i) => {
    const text = factor.op === "*" ? print(factor) : bracketed(factor, factor.op === "-" ? POWER : PRODUCT);
    return i ? `${/^\d/.test(text) ? " \\cdot " : " "}${text}` : text;
  }).join("");
};

// ---- Values

/** @param {Tree} tree @param {(symbol: Tree) => number} value @returns {number} */
export const evaluate = (tree, value) => {
  const { op, args } = tree;
  if (op === "num") return tree.value ?? NaN;
  if (op === "sym") return value(tree);
  const values = args.map((part) => evaluate(part, value)), [a, b] = values;
  if (op === "+") return values.reduce((total, part) => total + part, 0);
  if (op === "*") return values.reduce((total, part) => total * part, 1);
  if (op === "-") return -a;
  if (op === "/") return a / b;
  if (op === "^") return a ** b;
  if (op === "sqrt") return Math.sqrt(a);
  if (op === "norm") return Math.abs(a);
  return a;
};

/** @param {Tree} tree @returns {Tree[]} every symbol, as often as it occurs */
export const symbolsOf = (tree) => (tree.op === "sym" ? [tree] : tree.args.flatMap(symbolsOf));

/** @param {Tree} tree */
export const sizeOf = (tree) => tree.args.reduce((total, part) => total + sizeOf(part), 1);
