// Quick checks: a panel below an exercise, in which a number, a choice or a formula is judged in the page. A page loads this
// file, with all checks before it, on the first press of such a button; a formula needs the panel of the derivations too.
import { make } from "../shared/make.js";
import { asDerivation, judgeChoice, judgeFormula, judgeNumber } from "../shared/quick.js";
import { keep, recall } from "../shared/store.js";

/** @typedef {import("../shared/quick.js").NumberCheck} NumberCheck */
/** @typedef {import("../shared/quick.js").ChoiceCheck} ChoiceCheck */
/** @typedef {import("../shared/quick.js").FormulaCheck} FormulaCheck */
/** @typedef {import("../shared/quick.js").Told} Told */
/** @typedef {{ parts: Node[], judge: () => Told, kept: () => any, clear: () => void }} Field */

const STORE = "ddpm-lite:quick";
// The letters of the schedule that a formula may contain; more would give the answer away.
const KEYS = ["\\alpha_t", "\\beta_t", "\\bar{\\alpha}_t", "\\bar{\\alpha}_{t-1}", "\\bar{\\alpha}_s"];
const root = /** @type {HTMLScriptElement} */ (document.currentScript).src.replace(/quick\.js.*/, "");
/** @type {Record<string, NumberCheck & ChoiceCheck & FormulaCheck>} */
const checks = window.ddpmChecks;

// ---- One field for each kind of answer

/** @param {string} id @param {any} before @returns {HTMLInputElement} */
const line = (id, before) => {
  const input = make("input", { type: "text", id, autocomplete: "off", spellcheck: false, value: typeof before === "string" ? before : "" });
  input.setAttribute("autocapitalize", "off");
  return input;
};
const submit = () => make("button", { type: "submit" }, "Check");

/** @param {NumberCheck} check @param {string} id @param {any} before @returns {Field} */
const askNumber = (check, id, before) => {
  const input = line(id, before);
  return {
    parts: [make("label", { htmlFor: id }, check.ask), input, submit()],
    judge: () => judgeNumber(check, input.value),
    kept: () => input.value,
    clear: () => { input.value = ""; },
  };
};

/** @param {ChoiceCheck} check @param {string} id @param {any} before @returns {Field} */
const askChoice = (check, id, before) => {
  const radios = check.choices.map((choice, i) => make("input", { type: "radio", name: id, value: i, checked: choice === before }));
  const rows = check.choices.map((choice, i) =>
    make("label", { className: "ddpm-quick-choice" }, radios[i], make(check.code ? "code" : "span", {}, choice)));
  const chosen = () => radios.findIndex((radio) => radio.checked);
  return {
    parts: [make("fieldset", {}, make("legend", {}, check.ask), ...rows), submit()],
    judge: () => judgeChoice(check, chosen()),
    kept: () => check.choices[chosen()],
    clear: () => radios.forEach((radio) => { radio.checked = false; }),
  };
};

// The typesetter, the reader of formulas and their judge are those of "derive it yourself".
/** @param {FormulaCheck} check @param {string} id @param {any} before @returns {Field} */
const askFormula = (check, id, before) => {
  const derive = window.ddpmDerive, engine = derive.prepare(asDerivation(check)), input = line(id, before);
  const preview = make("div", { className: "ddpm-derive-preview" }), show = derive.preview(input, preview);
  const help = make("p", { id: `${id}-help`, className: "ddpm-derive-help" }, ...derive.sentence(derive.help));
  input.setAttribute("aria-describedby", help.id);
  show();
  return {
    parts: [make("label", { htmlFor: id }, ...derive.sentence(check.ask)), input, submit(), preview, derive.keys(KEYS.concat(check.letters), input, show), help],
    judge: () => judgeFormula(engine, input.value),
    kept: () => input.value,
    clear: () => { input.value = ""; show(); },
  };
};

// ---- The panel

/** @param {string} label */
const build = (label) => {
  const check = checks[label], id = `ddpm-quick-${label}`, before = recall(STORE)[label]?.answer;
  const field = check.choices ? askChoice(check, id, before) : check.right ? askFormula(check, id, before) : askNumber(check, id, before);
  /** @type {(text: string) => (Node | string)[]} */
  const sentence = check.right ? window.ddpmDerive.sentence : (text) => [text];
  const verdict = make("div", { className: "ddpm-derive-verdict" });
  verdict.setAttribute("role", "status");
  const hints = make("ol", { className: "ddpm-derive-hints" });
  hints.setAttribute("aria-live", "polite");
  const done = make("p", { className: "ddpm-derive-help" });
  const count = () => {
    const all = Object.keys(checks).filter((one) => recall(STORE)[one]?.right === true).length;
    done.textContent = `Answered in this browser: ${all} of ${Object.keys(checks).length} quick checks of the book.`;
  };
  const form = make("form", { className: "ddpm-derive-form", noValidate: true, onsubmit: (/** @type {Event} */ event) => {
    event.preventDefault();
    const [kind, words, shown] = field.judge(), mark = { goal: "✓ ", different: "✗ ", unread: "" }[kind];
    verdict.className = `ddpm-derive-verdict ${kind}`;
    verdict.replaceChildren(make("p", {}, mark, ...sentence(words)));
    if (shown) verdict.append(make("div", { className: "ddpm-derive-place" }, window.ddpmDerive.formula(shown, true)));
    form.querySelector("input[type=text]")?.setAttribute("aria-invalid", String(kind !== "goal"));
    if (kind !== "unread") keep(STORE, label, { answer: field.kept(), right: kind === "goal" });
    count();
  } }, ...field.parts);
  let given = 0;
  const name = () => (given < check.hints.length ? `Hint ${given + 1} of ${check.hints.length}` : "No more hints");
  const hint = make("button", { type: "button", onclick: () => {
    if (given < check.hints.length) hints.append(make("li", {}, ...sentence(check.hints[given++])));
    hint.textContent = name();
    hint.setAttribute("aria-disabled", String(given === check.hints.length));
  } }, name());
  const forget = make("button", { type: "button", onclick: () => {
    keep(STORE, label, undefined);
    field.clear();
    verdict.replaceChildren();
    count();
    form.querySelector("input")?.focus();
  } }, "Forget my answer");
  count();
  return make("section", { className: "ddpm-derive ddpm-quick" },
    form, verdict, hints, make("div", { className: "ddpm-derive-actions" }, hint, forget), done);
};

/** @type {Promise<void> | undefined} */
let loading;
const load = () => (loading ??= new Promise((onload, failed) => {
  if ("ddpmDerive" in window) return void onload();
  const onerror = () => failed(new Error());
  document.head.append(make("script", { src: `${root}derive.js`, onload, onerror }));
}));

/** @param {HTMLElement} place @param {HTMLButtonElement} opener */
const open = async (place, opener) => {
  const label = place.dataset.quick ?? "", said = place.querySelector("[role=status]");
  if (place.querySelector("section")) return;
  try {
    if (checks[label].right) await load().then(() => window.ddpmDerive.ready());
  } catch {
    loading = undefined;
    if (said) said.textContent = " It could not be loaded. Press again.";
    return;
  }
  const focused = place.contains(document.activeElement) || document.activeElement === document.body;
  opener.parentElement?.remove();
  const panel = build(label);
  place.append(panel);
  if (focused) panel.querySelector("input")?.focus();
};

document.head.append(make("link", { rel: "stylesheet", href: `${root}derive.css` }));
/** @type {NodeListOf<HTMLElement>} */
(document.querySelectorAll("[data-quick]")).forEach((place) => {
  const opener = place.querySelector("button");
  if (opener) opener.onclick = () => open(place, opener);
});
