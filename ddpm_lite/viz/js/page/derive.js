// Derive it yourself: a panel beside a derivation, in which the reader types its lines and each is judged at once. A page
// of the book loads this file on the first press of such a button; the typesetter and the derivations follow.
import { print, symbolsOf } from "../shared/algebra.js";
import { prepare } from "../shared/judge.js";
import { make } from "../shared/make.js";
import { NotUnderstood, parse } from "../shared/reader.js";
import { recall } from "../shared/store.js";

/** @typedef {{ title: string, shown?: string, reach: string, rules: string[], next?: string }} Words */
/** @typedef {import("../shared/judge.js").Derivation & Words} Lesson */
/** @typedef {{ lines: string[], hints: number, done?: boolean }} Kept */

const HELP = "LaTeX, or plain text such as sqrt(abar_{t-1}) x_0 for $\\sqrt{\\bar{\\alpha}_{t-1}} x_0$; a_t and b_t are $\\alpha_t$ and "
  + "$\\beta_t$. Press Enter to check.";
const CLOSING = /^[.,:;]+/, LONG = 60;
const STORE = "ddpm-lite:derive";
const script = /** @type {HTMLScriptElement} */ (document.currentScript);
const root = script.src.replace(/derive\.js.*/, "");

/** @type {Record<string, Lesson>} */
let lessons = {};
/** @type {Map<HTMLElement, HTMLElement>} */
const panels = new Map();

/** @param {string} name @returns {Promise<void>} */
const load = (name) => new Promise((done, failed) => {
  const onerror = () => failed(new Error(`${name} could not be loaded. Press again to try once more.`));
  document.head.append(make("script", { src: `${root}${name}`, onload: () => done(), onerror }));
});
/** @type {Promise<unknown> | undefined} */
let loading;

// ---- What is kept, on this machine only. A browser may refuse to store, or hold what somebody else wrote.

/** @param {string} name @returns {Kept} */
const read = (name) => {
  const { lines, hints } = Object(recall(STORE)[name]);
  return {
    lines: Array.isArray(lines) ? lines.filter((line) => typeof line === "string") : [],
    hints: Number.isInteger(hints) && hints > 0 ? hints : 0,
  };
};
/** @param {string} name @param {Kept} kept */
const keep = (name, kept) => {
  const all = recall(STORE);
  if (kept.lines.length || kept.hints) all[name] = kept;
  else delete all[name];
  try {
    if (Object.keys(all).length) localStorage[STORE] = JSON.stringify(all);
    else localStorage.removeItem(STORE);
  } catch {
    // Then nothing is remembered.
  }
};

// ---- Formulas and sentences

// An element of a panel, by the end of its class.
/** @param {string} tag @param {string} kind @param {Record<string, any>} [more] @param {...(Node | string)} children @returns {any} */
const styled = (tag, kind, more, ...children) => make(tag, { className: `ddpm-derive${kind && `-${kind}`}`, ...more }, ...children);

/** @param {string} tex @param {boolean} [large] */
const formula = (tex, large = false) => {
  const place = make("span", { className: large ? "ddpm-derive-formula" : "" });
  window.katex.render(large ? `\\displaystyle ${tex}` : tex, place, { throwOnError: false });
  return place;
};

// A sentence with formulas between dollars. A long one gets a line of its own; a short one keeps the comma after it.
/** @param {string} text @returns {(Node | string)[]} */
const sentence = (text) => {
  const parts = text.split("$");
  return parts.flatMap((part, i) => {
    if (i % 2 === 0) return [i ? part.replace(CLOSING, "") : part];
    const place = formula(part, part.length > LONG);
    if (part.length > LONG) place.className = "ddpm-derive-long";
    return [make("span", { className: part.length > LONG ? "" : "together" }, place, CLOSING.exec(parts[i + 1])?.[0] ?? "")];
  });
};

// What scrolls must be reachable by keyboard.
/** @param {HTMLElement} box */
const fit = (box) => {
  if (box.scrollWidth > box.clientWidth + 1) box.tabIndex = 0;
  else box.removeAttribute("tabindex");
};

// ---- A field for a formula

// Shows what is typed below the field, from now on; gives the function that does.
/** @param {HTMLInputElement} input @param {HTMLElement} preview */
const showPreview = (input, preview) => {
  const show = () => {
    input.removeAttribute("aria-invalid");
    try {
      preview.replaceChildren(...(input.value.trim() ? [formula(print(parse(input.value)), true)] : []));
      fit(preview);
    } catch (error) {
      if (!(error instanceof NotUnderstood)) throw error;
      preview.replaceChildren(styled("span", "unread", {}, ...sentence(error.message)));
    }
  };
  input.addEventListener("input", show);
  return show;
};

// Keys for what is not on every keyboard: roots, fractions, and these symbols.
/** @param {string[]} used @param {HTMLInputElement} input @param {() => void} show */
const makeKeys = (used, input, show) => {
  // The mark | is where the cursor goes.
  /** @param {string} tex @param {string} text @param {string} label */
  const key = (tex, text, label) => {
    const made = make("button", { type: "button", onclick: () => {
      const [before, after = ""] = text.split("|"), { selectionStart, selectionEnd, value } = input;
      const [from, to] = [selectionStart ?? value.length, selectionEnd ?? value.length];
      input.setRangeText(`${before}${value.slice(from, to)}${after}`, from, to, "end");
      if (after) input.setSelectionRange(from + before.length + to - from, from + before.length + to - from);
      input.focus();
      show();
    } });
    made.append(formula(tex));
    made.setAttribute("aria-label", label);
    return made;
  };
  const signs = [...new Set(used)].sort();
  const keys = styled("div", "keys", {},
    key("\\sqrt{\\;}", "\\sqrt{|}", "root"), key("\\frac{a}{b}", "\\frac{|}{}", "fraction"), key("x^2", "^2", "square"),
    ...signs.filter((tex) => !/^[a-z]$/.test(tex)).map((tex) => key(tex, `${tex} `, tex.replace(/[\\{}]/g, ""))));
  keys.setAttribute("role", "group");
  keys.setAttribute("aria-label", "Insert");
  return keys;
};

// ---- One panel

/** @param {string} name @param {number} number @returns {HTMLElement} */
const build = (name, number) => {
  const lesson = lessons[name], engine = prepare(lesson), kept = read(name), id = `ddpm-derive-${number}`;
  const left = print(engine.left), start = lesson.shown ?? (engine.start.op === "=" ? lesson.start : `${left} = ${lesson.start}`);

  /** @type {HTMLOListElement} */
  const lines = styled("ol", "lines");
  /** @type {HTMLInputElement} */
  const input = make("input", { type: "text", id: `${id}-line`, autocomplete: "off", spellcheck: false, enterKeyHint: "done" });
  input.setAttribute("autocapitalize", "off");
  input.setAttribute("autocorrect", "off");
  input.setAttribute("aria-describedby", `${id}-help`);
  const help = styled("p", "help", { id: `${id}-help` }, ...sentence(HELP));
  const preview = styled("div", "preview");
  const verdict = styled("div", "verdict");
  verdict.setAttribute("role", "status");
  const hints = styled("ol", "hints");
  hints.setAttribute("aria-live", "polite");
  const copied = styled("div", "copied");
  const button = (/** @type {string} */ text, /** @type {() => void} */ onclick) => make("button", { type: "button", onclick }, text);

  let said = 0;
  /** @param {string} kind @param {string} words @param {string} [shown] */
  const say = (kind, words, shown) => {
    said++;
    const mark = { goal: "✓", equal: "✓", different: "✗" }[kind] ?? "";
    verdict.className = `ddpm-derive-verdict ${kind}`;
    verdict.replaceChildren(make("p", {}, ...(mark ? [make("b", {}, `${mark} `)] : []), ...sentence(words)));
    if (shown) {
      const place = styled("div", "place", {}, formula(shown, true));
      verdict.append(place);
      fit(place);
    }
  };

  /** @param {string} text a line as it was typed */
  const shownLine = (text) => {
    const tree = parse(text);
    return tree.op === "=" ? print(tree) : `=\\nobreak ${print(tree)}`;
  };

  const draw = () => {
    lines.replaceChildren(...[start, ...kept.lines.map(shownLine)].map((tex) => make("li", {}, formula(tex, true))));
    const facts = steps(), given = facts.slice(0, kept.hints);
    hints.replaceChildren(...given.map((text) => make("li", {}, ...sentence(text))));
    hint.textContent = kept.hints < lesson.steps.length ? "Hint" : "Show a line of the book";
    hint.disabled = kept.hints >= facts.length;
    back.disabled = again.disabled = !kept.lines.length;
    again.disabled &&= !kept.hints;
    [...lines.children, ...hints.querySelectorAll(".ddpm-derive-long")].forEach((box) => fit(/** @type {HTMLElement} */ (box)));
    // The page of progress asks whether the goal was reached, and cannot judge a line.
    kept.done = kept.lines.some((line) => engine.judge(line).kind === "goal");
    keep(name, kept);
  };

  // One rule at a time; after the last, the book's own lines.
  const steps = () => [
    ...lesson.steps.map((step) => step.hint),
    ...lesson.steps.map((step) => `A line of the book: $${parse(step.line).op === "=" ? "" : `${left} = `}${step.line.trim()}$`),
  ];

  // The page is not held up for longer than a frame, and something new that is said ends the search.
  /** @param {import("../shared/algebra.js").Tree} tree */
  const searchOn = async (tree) => {
    const search = engine.repairTwice(tree), mine = said;
    for (let step = search.next(); mine === said;) {
      for (const end = performance.now() + 10; !step.done && performance.now() < end;) step = search.next();
      if (step.done) return step.value && say("different", step.value);
      await new Promise((done) => setTimeout(done));
    }
  };

  const check = () => {
    const found = engine.judge(input.value, kept.lines.map((line) => parse(line)));
    if (found.kind === "unread" && found.at !== undefined) {
      const at = input.value.slice(found.at, found.at + 12);
      say("unread", `Not understood${at ? ` at “${at.replaceAll("$", "")}”` : ""}: ${found.words}`);
      input.setSelectionRange(found.at, found.at + 1);
    } else say(found.kind, found.words, found.shown);
    input.setAttribute("aria-invalid", String(!["equal", "goal"].includes(found.kind)));
    if (found.kind === "different" && found.tree && !found.slip) searchOn(found.tree);
    if (found.kind !== "equal" && found.kind !== "goal") return;
    kept.lines.push(input.value.trim());
    input.value = "";
    preview.replaceChildren();
    draw();
    const following = found.kind === "goal" && lesson.next && document.querySelector(`[data-derive="${lesson.next}"]`);
    if (following instanceof HTMLElement) {
      const go = button(`Go on: ${lessons[lesson.next ?? ""].title}`, () => {
        following.scrollIntoView({ block: "center" });
        if (following.getAttribute("aria-expanded") !== "true") following.click();
      });
      verdict.append(go);
    }
  };

  const show = showPreview(input, preview);
  const used = [...engine.references, engine.start, parse(lesson.given[0] ?? lesson.start)].flatMap(symbolsOf).map(print);
  const keys = makeKeys(used, input, show);

  // Whoever has reached a line of the book needs no hint that leads to it.
  const hint = button("Hint", () => {
    const own = kept.lines.map((line) => print(parse(line)));
    const reached = lesson.steps.findLastIndex(({ line }) => own.includes(print(parse(line)))) + 1;
    kept.hints = (kept.hints < lesson.steps.length ? Math.max(kept.hints, reached) : kept.hints) + 1;
    draw();
  });
  const back = button("Take back a line", () => {
    input.value = kept.lines.pop() ?? "";
    show();
    draw();
    say("", kept.lines.length ? "The last line is in the field again." : "You are at the first line again.");
    input.focus();
  });
  const again = button("Start again", () => {
    kept.lines = [];
    kept.hints = 0;
    input.value = "";
    show();
    draw();
    say("", "All lines are gone from this page, and from this browser.");
    input.focus();
  });
  const copy = button("Copy all as LaTeX", async () => {
    const rows = [start, ...kept.lines.map(shownLine)]
      .map((tex) => `  ${tex.replace("=\\nobreak ", "= ").replace(/(^| )= /, "$1&= ")}`);
    const text = `\\begin{aligned}\n${rows.join(" \\\\\n")}\n\\end{aligned}`;
    copied.replaceChildren();
    try {
      await navigator.clipboard.writeText(text);
      say("", "Copied.");
    } catch {
      // Some browsers give no clipboard to a page that was opened as a file.
      const box = make("textarea", { value: text, readOnly: true, rows: 4 });
      box.setAttribute("aria-label", "All lines as LaTeX");
      copied.append(box);
      box.select();
      say("", "The browser does not let this page copy: the lines are selected below.");
    }
  });
  const form = styled("form", "form", { noValidate: true, onsubmit: (/** @type {Event} */ event) => {
    event.preventDefault();
    check();
  } },
  make("label", { htmlFor: input.id }, "Your next line"), input, make("button", { type: "submit" }, "Check"), preview);

  const panel = styled("section", "", { id },
    styled("p", "title", { id: `${id}-title` }, lesson.title),
    make("p", {}, ...sentence(lesson.reach)),
    styled("p", "may", {}, "You may use:"),
    make("ul", {}, ...lesson.rules.map((rule) => make("li", {}, ...sentence(rule)))),
    lines, form, verdict, keys, help, hints,
    styled("div", "actions", {}, hint, back, copy, again), copied);
  panel.setAttribute("aria-labelledby", `${id}-title`);
  // What was kept may be from another edition of the book.
  const right = (/** @type {string} */ line) => ["equal", "goal"].includes(engine.judge(line).kind);
  const wrong = kept.lines.findIndex((line) => !right(line));
  if (wrong >= 0) kept.lines.length = wrong;
  draw();
  return panel;
};

/** @param {Event} event a press of a button, or of what is in it */
const toggle = async ({ target }) => {
  const opener = target instanceof Element && /** @type {HTMLElement | null} */ (target.closest("[data-derive]"));
  if (!opener) return;
  loading ??= Promise.all([load("katex/katex.min.js"), load("derivations.js")]);
  opener.setAttribute("aria-busy", "true");
  try {
    await loading;
  } catch (error) {
    loading = undefined;
    const said = opener.parentElement?.querySelector("span") ?? opener.parentElement?.appendChild(make("span", { role: "status" }));
    said.textContent = ` ${error instanceof Error ? error.message : ""}`;
    return;
  } finally {
    opener.removeAttribute("aria-busy");
  }
  let panel = panels.get(opener);
  if (!panel) {
    panel = build(opener.dataset.derive ?? "", panels.size + 1);
    panels.set(opener, panel);
    panel.hidden = true;
    opener.parentElement?.after(panel);
    opener.setAttribute("aria-controls", panel.id);
  }
  panel.hidden = !panel.hidden;
  opener.setAttribute("aria-expanded", String(!panel.hidden));
  if (!panel.hidden) {
    // What was hidden had no width.
    panel.querySelectorAll(".ddpm-derive-lines li, .ddpm-derive-long").forEach((box) => fit(/** @type {HTMLElement} */ (box)));
    panel.querySelector("input")?.focus();
  }
};

document.head.append(make("link", { rel: "stylesheet", href: `${root}derive.css` }));
// quick.js takes the parts from here.
window.ddpmDerive = Object.assign(toggle, {
  add: (/** @type {Record<string, Lesson>} */ found) => {
    lessons = found;
  },
  ready: () => (window.katex ? Promise.resolve() : load("katex/katex.min.js")),
  formula, help: HELP, keys: makeKeys, prepare, preview: showPreview, sentence,
});
