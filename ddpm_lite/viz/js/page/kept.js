// Says on the page of progress what was done in this browser, and lets a reader copy it or forget it. What is kept is that of
// quick.js, derive.js, ../shared/store.js, and assets/progress.js of the book's extension.
import { make } from "../shared/make.js";
import { GUESSES, recall } from "../shared/store.js";

/** @typedef {"quick" | "derive" | "guess" | "read"} Kind */

/** @type {Record<Kind, string>} */
const STORES = { quick: "ddpm-lite:quick", derive: "ddpm-lite:derive", guess: GUESSES, read: "ddpm-lite:read" };
const NAMES = { quick: "quick checks", derive: "derivations", guess: "guesses", read: "pages read to the end" };
const list = /** @type {HTMLElement} */ (document.getElementById("ddpm-kept"));
// Whether it is done, and the words.
/** @type {Record<Kind, (kept: any) => false | [boolean, string]>} */
const judge = {
  quick: ({ right }) => (right === true ? [true, "answered"] : right === false && [false, "answered, not right yet"]),
  derive: ({ done, lines }) => {
    const number = Array.isArray(lines) ? lines.length : 0;
    return done === true ? [true, "derived"] : number > 0 && [false, `begun, ${number} ${number === 1 ? "line" : "lines"}`];
  },
  guess: ({ guess, shown }) => (Array.isArray(guess) && guess.length > 0
    ? [shown === true, shown === true ? "guessed" : "begun"]
    : shown === true && [false, "shown without a guess"]),
  read: ({ most }) => (most >= 0.97 ? [true, "read"] : most >= 0.05 && [false, `${Math.round(100 * most)} % read`]),
};
/** @param {string} chosen @returns {NodeListOf<HTMLElement>} */
const rows = (chosen) => list.querySelectorAll(chosen);
const summary = make("p"), said = make("p"), copied = make("p");
said.setAttribute("role", "status");

const show = () => {
  const kept = Object.fromEntries(Object.entries(STORES).map(([kind, store]) => [kind, recall(store)]));
  /** @type {Record<string, number>} */
  const done = {}, all = {};
  list.querySelectorAll(".ddpm-kept").forEach((sign) => sign.remove());
  for (const row of rows("[data-kind], [data-page]")) {
    const kind = row.dataset.kind ?? "read", name = row.dataset.name ?? row.dataset.page ?? "";
    const [right, words] = judge[/** @type {Kind} */ (kind)](Object(kept[kind][name])) || [];
    all[kind] = (all[kind] ?? 0) + 1;
    done[kind] = (done[kind] ?? 0) + (right ? 1 : 0);
    if (words) row.append(make("span", { className: "ddpm-kept" }, ` (${right ? "✓ " : ""}${words})`));
  }
  const counts = Object.keys(all).map((kind) => `${done[kind]} of ${all[kind]} ${NAMES[kind]}`);
  summary.textContent = `Done in this browser: ${counts.slice(0, -1).join(", ")} and ${counts.at(-1)}.`;
};

const tell = () => [summary.textContent, ...[...rows("li:has(.ddpm-kept), [data-page]")]
  .map((row) => `${row.matches("li") ? "- " : "\n"}${row.textContent}`)].join("\n");
const copy = make("button", { type: "button" }, "Copy as text");
copy.onclick = async () => {
  copied.replaceChildren();
  try {
    await navigator.clipboard.writeText(tell());
    said.textContent = "Copied.";
  } catch {
    // Some browsers give no clipboard to a page that was opened as a file.
    const box = make("textarea", { value: tell(), readOnly: true, rows: 8, ariaLabel: "What was done, as text" });
    box.style.width = "100%";
    copied.append(box);
    box.select();
    said.textContent = "The browser does not let this page copy: the text is selected below.";
  }
};
const forget = make("button", { type: "button" }, "Forget everything");
const warning = "All answers, derivations, guesses and reading places go for good.";
const sure = make("span", { hidden: true, role: "group", ariaLabel: warning }, ` ${warning} `);
const ask = (/** @type {boolean} */ open) => {
  sure.hidden = !open;
  forget.hidden = open;
  (open ? keep : forget).focus();
};
const yes = make("button", { type: "button" }, "Forget them");
const keep = make("button", { type: "button", onclick: () => ask(false) }, "Keep them");
yes.onclick = () => {
  try {
    Object.values(STORES).forEach((store) => localStorage.removeItem(store));
  } catch {
    // Then nothing was kept.
  }
  show();
  copied.replaceChildren();
  ask(false);
  said.textContent = "Nothing is kept any more.";
};
forget.onclick = () => ask(true);
sure.append(yes, " ", keep);
const actions = make("p", { className: "screen-only ddpm-derive-open" }, copy, " ", forget, sure);
list.prepend(summary, actions, said, copied);
show();
addEventListener("storage", show); // another tab
addEventListener("pageshow", show); // back from a chapter, to this page as it was left
