// Reads a formula in the book's letters, from LaTeX or from plain text, into one small tree (algebra.js).
import { make, number, symbol } from "./algebra.js";

/** @typedef {import("./algebra.js").Tree} Tree */
/** @typedef {{ text: string, at: number }} Token */

// What cannot be read: one sentence, and the place.
export class NotUnderstood extends Error {
  /** @param {string} message @param {number} at the character, from 0 */
  constructor(message, at) {
    super(message);
    this.at = at;
  }
}

const LONGEST = 1500, DEEPEST = 40;

// ---- Tokens

const BAR = ["\\bar", "{", "\\alpha", "}"], BETA_TILDE = ["\\tilde", "{", "\\beta", "}"], MU_TILDE = ["\\tilde", "{", "\\mu", "}"];
// What a word or a sign of plain text is in LaTeX.
/** @type {Record<string, string[]>} */
const WORDS = {
  abar: BAR, alphabar: BAR, alpha_bar: BAR, btilde: BETA_TILDE, betatilde: BETA_TILDE, beta_tilde: BETA_TILDE,
  mutilde: MU_TILDE, mu_tilde: MU_TILDE, zhat: ["\\hat", "{", "z", "}"], z_hat: ["\\hat", "{", "z", "}"],
  sqrt: ["\\sqrt"], alpha: ["\\alpha"], beta: ["\\beta"], mu: ["\\mu"], sigma: ["\\sigma"], theta: ["\\theta"], norm: ["norm"],
  bar: ["\\bar"], tilde: ["\\tilde"], hat: ["\\hat"], none: ["\\varnothing"],
  "α": ["\\alpha"], "β": ["\\beta"], "μ": ["\\mu"], "σ": ["\\sigma"], "θ": ["\\theta"], "∅": ["\\varnothing"], "√": ["\\sqrt"],
  "·": ["*"], "×": ["*"], "−": ["-"], "–": ["-"], "²": ["^", "2"], "′": ["'"], "″": ["'", "'"], "’": ["'"], "‖": ["||"],
  "½": ["(", "1", "/", "2", ")"],
  "\\cdot": ["*"], "\\times": ["*"], "\\ast": ["*"], "\\dfrac": ["\\frac"], "\\tfrac": ["\\frac"], "\\emptyset": ["\\varnothing"],
  "\\Vert": ["||"], "\\|": ["||"], "[": ["("], "]": [")"], "**": ["^"], "\\prime": ["'"], "\\lbrack": ["("], "\\rbrack": [")"],
};
const SKIPPED = /^(\s+|\\[,;:! ]|~|&|\$|\\(q?quad|left|right|[bB]igg?[lr]?|displaystyle|nonumber))$/;
const PIECES = /\s+|alpha_bar|beta_tilde|mu_tilde|z_hat|\\[a-zA-Z]+|\\.|\d+(?:\.\d+)?|[a-zA-Z]+|\*\*|\|\||./gsu;
// Letters that may be written without a blank between them.
const LETTERS = "abfstuvwxzCT";

const NOISE = "The noise is called z here.";
const FUNCTIONS = "Neither exp nor log is needed here: a line is a sum, a product, a fraction or a root.";

/** @param {string} word */
const strange = (word) => {
  if (/^eps/i.test(word)) return NOISE;
  return /^(exp|log|ln)$/i.test(word) ? FUNCTIONS : `“${word}” is no word that this page knows.`;
};

/** @param {string} text @returns {Token[]} */
const tokenise = (text) => {
  if (text.length > LONGEST) throw new NotUnderstood("This line is too long to be read.", LONGEST);
  /** @type {Token[]} */
  const found = [];
  for (const { 0: piece, index: at } of text.matchAll(PIECES)) {
    if (SKIPPED.test(piece)) continue;
    if (Object.hasOwn(WORDS, piece)) found.push(...WORDS[piece].map((part) => ({ text: part, at })));
    else if (/^[a-zA-Z]{2,}$/.test(piece)) {
      if (![...piece].every((letter) => LETTERS.includes(letter))) throw new NotUnderstood(strange(piece), at);
      found.push(...[...piece].map((letter, i) => ({ text: letter, at: at + i })));
    } else found.push({ text: piece, at });
  }
  return found;
};

// ---- Symbols

const INDEX = /^(?:([tsT])((?:[+-]\d+)*)|\d+)$/;
// These may be followed by what they depend on, which belongs to the name.
/** @type {Record<string, string[]>} */
const CALLS = {
  "z_\\theta": ["x_t,t", "x_t,t,c", "x_t,t,\\varnothing"], "\\mu_\\theta": ["x_t,t"], "\\tilde{\\mu}": ["x_t,x_0"],
  C: ["x_t,x_0"], f: ["x_t-1"],
};
const LABELS = ["\\theta", "c", "\\varnothing", "\\sigma"];
const HEADS = ["\\alpha", "\\beta", "\\mu", "\\sigma", "x", "z", "s", "a", "b", "u", "v", "w", "f", "C"];
const INDEXED = ["x", "\\alpha", "\\beta", "\\bar{\\alpha}"];
const ACCENTS = ["\\bar", "\\tilde", "\\hat"];
/** @type {Record<string, string>} */
const ALIASES = { z_c: "z_\\theta(x_t, t, c)", "z_\\varnothing": "z_\\theta(x_t, t, \\varnothing)" };

/** @param {string} text @returns {string | null} the index in one spelling, t-1-1 as t-2; null if it is none */
const readIndex = (text) => {
  const found = INDEX.exec(text);
  if (!found) return null;
  if (!found[1]) return String(Number(text));
  const offset = (found[2].match(/[+-]\d+/g) ?? []).reduce((sum, part) => sum + Number(part), 0);
  return found[1] + (offset ? (offset > 0 ? "+" : "") + offset : "");
};

// The index that is `by` later.
/** @param {string} index @param {number} by */
export const moved = (index, by) => readIndex(`${index}${by < 0 ? by : `+${by}`}`) ?? index;

// ---- The parser: one function for each level of the grammar.

/** @param {string} text @returns {Tree} an expression, or "=" with the sides of an equation */
export const parse = (text) => {
  const tokens = tokenise(text.replace(/[.,;\s]+$/, ""));
  let i = 0, depth = 0, norms = 0;
  const peek = () => tokens[i]?.text ?? "";
  const at = () => tokens[i]?.at ?? text.length;
  /** @param {string} message @param {number} [place] @returns {never} */
  const fail = (message, place = at()) => {
    throw new NotUnderstood(message, place);
  };
  const missing = () => fail(i < tokens.length ? `“${peek()}” is not expected here.` : "Something is missing at the end.");
  /** @param {string} sign @param {number} opened */
  const close = (sign, opened) => {
    if (peek() !== sign) return i < tokens.length ? missing() : fail("A bracket is opened here and never closed.", opened);
    i++;
  };
  /** @param {() => Tree} read @param {string} sign */
  const inside = (read, sign) => {
    const opened = at();
    if (++depth > DEEPEST) fail("There are too many brackets within brackets.");
    i++;
    const tree = read();
    close(sign, opened);
    depth--;
    return tree;
  };

  /** @returns {Tree} */
  const sum = () => {
    /** @type {Tree[]} */
    const terms = [];
    do {
      const sign = peek();
      if ("+-".includes(sign) && sign) i++;
      const term = product();
      terms.push(sign === "-" ? make("-", term) : term);
    } while (peek() === "+" || peek() === "-");
    return terms.length > 1 ? make("+", ...terms) : terms[0];
  };

  const starts = () => {
    const next = peek();
    if (next === "||") return norms === 0;
    return next !== "" && !/^([-+*/^_)}=,'|;:<>!]|\\rVert)$/.test(next);
  };

  /** @returns {Tree} */
  const product = () => {
    let left = power();
    for (;;) {
      if (peek() === "*" || peek() === "/") {
        const sign = tokens[i++].text;
        const negative = peek() === "-";
        if (negative) i++;
        const next = power(), right = negative ? make("-", next) : next;
        left = sign === "/" ? make("/", left, right) : times(left, right);
      } else if (starts()) left = times(left, power());
      else return left;
    }
  };
  // Factors side by side belong to one product; those of a bracket keep theirs.
  /** @type {WeakSet<Tree>} */
  const open = new WeakSet();
  /** @param {Tree} left @param {Tree} right */
  const times = (left, right) => {
    const made = open.has(left) ? make("*", ...left.args, right) : make("*", left, right);
    open.add(made);
    return made;
  };

  /** @returns {Tree} */
  const power = () => {
    let tree = base();
    while (peek() === "^") {
      i++;
      tree = make("^", tree, argument());
    }
    return tree;
  };

  // What follows \sqrt, \frac and ^.
  /** @returns {Tree} */
  const argument = () => {
    if (peek() === "{") return inside(sum, "}");
    if (peek() === "(") return inside(sum, ")");
    if (peek() === "-") {
      i++;
      return make("-", argument());
    }
    // \frac12 takes two numbers
    if (/^\d{2,}$/.test(peek()) && tokens[i - 1]?.text === "\\frac") {
      const { text: digits, at: place } = tokens[i];
      tokens.splice(i, 1, ...[...digits].map((text_, k) => ({ text: text_, at: place + k })));
    }
    return base();
  };

  /** @returns {Tree} */
  const base = () => {
    const next = peek(), opened = at();
    if (/^\d/.test(next)) {
      i++;
      return number(Number(next));
    }
    if (next === "(") return inside(sum, ")");
    if (next === "{") return inside(sum, "}");
    if (next === "\\sqrt") {
      i++;
      if (peek() === "(" && /\[/.test(text[at()] ?? "")) fail("Only square roots occur here.");
      return make("sqrt", argument());
    }
    if (next === "\\frac") {
      i++;
      const top = argument();
      return make("/", top, argument());
    }
    if (next === "norm") {
      i++;
      if (peek() !== "(") missing();
      return make("norm", inside(sum, ")"));
    }
    if (next === "||" || next === "\\lVert") {
      norms++;
      i++;
      const tree = sum();
      norms--;
      if (peek() !== (next === "||" ? "||" : "\\rVert")) fail("A norm is opened here and never closed.", opened);
      i++;
      return make("norm", tree);
    }
    return letter();
  };

  // The text of a group or of one token, without the blanks.
  const raw = () => {
    const ends = { "{": "}", "(": ")" }[peek()];
    if (!ends) return i < tokens.length ? tokens[i++].text : missing();
    const opened = at();
    let made = "";
    for (i++; i < tokens.length && peek() !== ends; i++) made += peek();
    close(ends, opened);
    return made;
  };

  /** @param {boolean} [accented] whether this is what an accent is above @returns {Tree} */
  const letter = (accented = false) => {
    const place = at();
    let name = peek(), index = "";
    if (ACCENTS.includes(name)) {
      const accent = name;
      i++;
      const bracket = { "{": "}", "(": ")" }[peek()];
      const inner = bracket ? inside(() => letter(true), bracket) : bare();
      name = `${accent}{${inner.name}}`;
      index = inner.index ?? "";
    } else ({ name = "" } = bare());
    for (;;) {
      if (peek() === "'" || (peek() === "^" && tokens[i + 1]?.text === "'")) {
        if (peek() === "^") i++;
        name += "'";
        i++;
      } else if (peek() === "_" && !index) {
        i++;
        const where = at(), inner = raw(), found = readIndex(inner);
        if (found !== null) index = found;
        else if (LABELS.includes(inner)) name += `_${inner}`;
        else fail(`The index ${inner} is not known here.`, where);
      } else if (peek() === "^" && tokens[i + 1]?.text === "{" && tokens[i + 2]?.text === "'") {
        i++;
        name += raw();
      } else break;
    }
    if (accented) return symbol(name, index);
    // a_t and b_t are alpha_t and beta_t in plain text
    if (index && name === "a") name = "\\alpha";
    if (index && name === "b") name = "\\beta";
    if (index && /^z'*$/.test(name)) fail("The noise z has no index here.", place);
    if (INDEXED.includes(name) && !index) fail(`${spoken(name)} needs an index, as in ${spoken(name)}_t.`, place);
    if (name === "s") fail("The letter s is an index here, or with an index a score: $s_c$, $s_\\varnothing$.", place);
    return called(symbol(ALIASES[name] ?? name, index));
  };

  // One letter without its index.
  /** @returns {Tree} */
  const bare = () => {
    const name = peek();
    if (!HEADS.includes(name)) {
      if (name === "\\epsilon" || name === "\\varepsilon") fail(NOISE);
      if (/^\\(exp|log|ln)$/.test(name)) fail(FUNCTIONS);
      if (name.startsWith("\\")) fail(`${name} is not known here.`);
      if (/^[a-zA-Z]$/.test(name)) fail(`The letter ${name} is not known here.`);
      missing();
    }
    i++;
    return symbol(name);
  };

  /** @param {Tree} tree */
  const called = (tree) => {
    const name = tree.name ?? "";
    if (peek() !== "(" || !Object.hasOwn(CALLS, name)) return tree;
    // Looks ahead: what depends on two things, or f; any other bracket is a factor.
    let depths = 0, end = i, inner = "";
    do {
      const part = tokens[end]?.text ?? "";
      depths += Number(part === "(") - Number(part === ")");
      if (end > i && depths > 0 && !"{}()".includes(part)) inner += part;
      end++;
    } while (depths > 0 && end < tokens.length);
    if (!inner.includes(",") && name !== "f") return tree;
    if (!CALLS[name].includes(inner)) {
      const forms = CALLS[name].map((one) => `$${name}(${one.replace("t-1", "{t-1}").replaceAll(",", ", ")})$`);
      fail(`Look at the bracket: here it is always ${forms.join(" or ")}.`);
    }
    i = end;
    const last = inner.split(",").at(-1);
    return name === "z_\\theta" && last !== "t" ? symbol(ALIASES[`z_${last}`]) : tree;
  };

  if (!tokens.length) fail("There is nothing to read yet.", 0);
  if (peek() === "=") i++;
  const sides = [sum()];
  while (peek() === "=") {
    i++;
    sides.push(sum());
  }
  if (i < tokens.length) {
    fail(peek() === ")" || peek() === "}" ? "This bracket closes none." : `“${peek()}” is not expected here.`);
  }
  return sides.length > 1 ? make("=", ...sides) : sides[0];
};

/** @param {string} name */
const spoken = (name) => name.replace("\\bar{\\alpha}", "abar").replace("\\", "");
