// Quick checks: a field below an exercise, in which a number is judged in the page. A page loads this file on the first press
// of such a button; the answers come from the chapters' own checks (tests/exercises/quick.py).
import { keep, recall } from "../shared/store.js";

/** @typedef {{ ask: string, right: number, limit: number, mistakes: Record<string, number> }} Check */

const STORE = "ddpm-lite:quick";
const script = /** @type {HTMLScriptElement} */ (document.currentScript);

/** @param {string} tag @param {Record<string, any>} [attributes] @param {...(Node | string)} children @returns {any} the element */
const make = (tag, attributes = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), attributes);
  made.append(...children);
  return made;
};

// A number as people write it: 0.38, 0,38, 8/21, 1,000, 2e6, with either minus.
/** @param {string} text */
const read = (text) => {
  const parts = text.replace(/[\s_]/g, "").replace(/\u2212/g, "-").split("/");
  const plain = parts.map((part) => (/^-?[1-9]\d{0,2}(,\d{3})+(\.|$)/.test(part) ? part.replaceAll(",", "") : part.replace(",", ".")));
  const numbers = plain.map((part) => (part ? Number(part) : NaN));
  return numbers.length > 2 ? NaN : numbers.length === 2 ? numbers[0] / numbers[1] : numbers[0];
};

// As `compare` of ddpm_lite/viz/exercises.py: right within the limit, or else the first mistake that leads to this number.
/** @param {Check} check @param {string} text @returns {[string, string]} a kind and a sentence */
const judge = ({ right, limit, mistakes }, text) => {
  const got = read(text), near = (/** @type {number} */ value) => Math.abs(got - value) <= limit;
  if (!Number.isFinite(got)) return ["unread", "Write one number, such as 0.381 or 8/21."];
  if (near(right)) return ["goal", "Correct."];
  const mistake = Object.keys(mistakes).find((words) => near(mistakes[words]));
  if (mistake) return ["different", `Not yet: ${mistake}.`];
  return ["different", `Not yet: the result is off by ${Number(Math.abs(got - right).toPrecision(2))}.`];
};

/** @param {HTMLElement} place @param {number} number */
const build = (place, number) => {
  /** @type {Check} */
  const check = JSON.parse(place.dataset.quick ?? ""), label = place.dataset.label ?? "", id = `ddpm-quick-${number}`;
  const kept = recall(STORE)[label], before = typeof kept?.answer === "string" ? kept.answer : "";
  const input = make("input", { type: "text", id, inputMode: "text", autocomplete: "off", value: before });
  const verdict = make("div", { className: "ddpm-derive-verdict" });
  verdict.setAttribute("role", "status");
  const done = make("p", { className: "ddpm-derive-help" });
  const count = () => {
    const all = Object.values(recall(STORE)).filter((one) => one?.right === true).length;
    done.textContent = `Answered in this browser: ${all} of ${place.dataset.all} quick checks of the book.`;
  };
  const form = make("form", { className: "ddpm-derive-form", noValidate: true, onsubmit: (/** @type {Event} */ event) => {
    event.preventDefault();
    const [kind, words] = judge(check, input.value), mark = { goal: "✓ ", different: "✗ " }[kind] ?? "";
    verdict.className = `ddpm-derive-verdict ${kind}`;
    verdict.replaceChildren(make("p", {}, mark, words));
    input.setAttribute("aria-invalid", String(kind !== "goal"));
    if (kind !== "unread") keep(STORE, label, { answer: input.value, right: kind === "goal" });
    count();
  } }, make("label", { htmlFor: id }, check.ask), input, make("button", { type: "submit" }, "Check"));
  const forget = make("button", { type: "button", onclick: () => {
    try {
      localStorage.removeItem(STORE);
    } catch {
      // Then nothing was kept.
    }
    input.value = "";
    verdict.replaceChildren();
    count();
    input.focus();
  } }, "Forget my answers");
  count();
  return make("section", { className: "ddpm-derive ddpm-quick" }, form, verdict, done, make("div", { className: "ddpm-derive-actions" }, forget));
};

const pressed = document.activeElement?.closest("[data-quick]");
document.head.append(make("link", { rel: "stylesheet", href: script.src.replace(/quick\.js.*/, "derive.css") }));
/** @type {NodeListOf<HTMLElement>} */
(document.querySelectorAll("[data-quick]")).forEach((place, number) => place.replaceChildren(build(place, number)));
pressed?.querySelector("input")?.focus();
