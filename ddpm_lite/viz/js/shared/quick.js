// Judges a quick check: a number, a choice or a formula, with what the chapter's own check says (tests/exercises/quick.py).

/** @typedef {{ ask: string, hints: string[] }} Asked */
/** @typedef {Asked & { value: number, limit: number, mistakes: Record<string, number> }} NumberCheck */
/** @typedef {Asked & { choices: string[], says: string[], code: boolean }} ChoiceCheck */
/** @typedef {Asked & { left: string, right: string, letters: string[], slips: { line: string, words: string }[] }} FormulaCheck */
/** @typedef {[kind: "goal" | "different" | "unread", words: string, shown?: string]} Told */

const CORRECT = "Correct.";
/** @param {string} words @returns {Told} */
const refuse = (words) => ["different", `Not yet: ${words}${/[.?!]$/.test(words) ? "" : "."}`];

// A number as people write it: 0.38, 0,38, 8/21, 1,000, 2e6, with either minus.
/** @param {string} text */
export const readNumber = (text) => {
  const parts = text.replace(/[\s_]/g, "").replace(/\u2212/g, "-").split("/");
  const plain = parts.map((part) => (/^-?[1-9]\d{0,2}(,\d{3})+(\.|$)/.test(part) ? part.replaceAll(",", "") : part.replace(",", ".")));
  const numbers = plain.map((part) => (part ? Number(part) : NaN));
  return numbers.length > 2 ? NaN : numbers.length === 2 ? numbers[0] / numbers[1] : numbers[0];
};

// As `compare` of ddpm_lite/viz/exercises.py: right within the limit, or else the first mistake that leads to this number.
/** @param {NumberCheck} check @param {string} text @returns {Told} */
export const judgeNumber = ({ value, limit, mistakes }, text) => {
  const got = readNumber(text), near = (/** @type {number} */ other) => Math.abs(got - other) <= limit;
  if (!Number.isFinite(got)) return ["unread", "Write one number, such as 0.381 or 8/21."];
  if (near(value)) return ["goal", CORRECT];
  const mistake = Object.keys(mistakes).find((words) => near(mistakes[words]));
  return refuse(mistake ?? `the result is off by ${Number(Math.abs(got - value).toPrecision(2))}`);
};

/** @param {ChoiceCheck} check @param {number} chosen @returns {Told} */
export const judgeChoice = ({ says }, chosen) => {
  if (says[chosen] === undefined) return ["unread", "Choose one of the answers."];
  return says[chosen] ? refuse(says[chosen]) : ["goal", CORRECT];
};

// The formula as a derivation of one line, which judge.js prepares.
/** @param {FormulaCheck} check @returns {import("./judge.js").Derivation} */
export const asDerivation = ({ left, right, letters, slips }) => ({
  left, letters, slips, start: right, unknown: left, given: [`${left} = ${right}`], shape: { only: [] }, steps: [],
});

/** @param {{ judge: (text: string) => import("./judge.js").Verdict }} engine @param {string} text @returns {Told} */
export const judgeFormula = (engine, text) => {
  const { kind, words, shown } = engine.judge(text);
  if (["goal", "equal", "again"].includes(kind)) return ["goal", CORRECT];
  if (kind === "unread") return ["unread", `Not understood: ${words}`];
  const told = words.replace("This differs from the line before.", "The two are not equal.");
  return ["different", `Not yet: ${told[0].toLowerCase()}${told.slice(1)}`, shown];
};
