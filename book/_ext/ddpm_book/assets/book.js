// Equations that fit, boxes that a keyboard can scroll, a chapter that prints as a paper.
(() => {
  const all = (css) => [...document.querySelectorAll(css)];
  const formulas = all(".katex-display > .katex");
  const boxes = all("div.math > .katex-display, .pst-scrollable-table-container, .cell_output > .output, .bd-article pre");

  // Shows that a box goes on at the right.
  const fade = (box) => {
    box.classList.toggle("goes-on", box.scrollLeft + box.clientWidth < box.scrollWidth - 1);
  };

  // The style sheet makes a formula fit by its width in its own ems, on a screen and on paper.
  // All widths are read before any is written: one layout of the page, not one for each box.
  const fit = () => {
    const range = document.createRange();
    const widths = formulas.map((formula) => {
      range.selectNodeContents(formula.querySelector(".katex-html"));
      return range.getBoundingClientRect().width / parseFloat(getComputedStyle(formula).fontSize);
    });
    formulas.forEach((formula, number) => formula.style.setProperty("--wide", widths[number].toFixed(2)));
    // What scrolls must be reachable by keyboard: it has a tab stop while it overflows.
    const wide = boxes.map((box) => box.scrollWidth > box.clientWidth + 1);
    boxes.forEach((box, number) => (wide[number] ? (box.tabIndex = 0) : box.removeAttribute("tabindex")));
    boxes.forEach(fade);
  };

  // Widths are right when the fonts are there; what was folded had none.
  fit();
  document.fonts.ready.then(fit);
  addEventListener("resize", fit);
  document.addEventListener("toggle", fit, true);
  document.addEventListener("click", () => requestAnimationFrame(fit));
  boxes.forEach((box) => box.addEventListener("scroll", () => fade(box), { passive: true }));

  // A paper is light, and has its solutions at the end.
  const page = document.documentElement, moved = new Map();
  let theme;
  addEventListener("beforeprint", () => {
    theme ??= page.dataset.theme;
    page.dataset.theme = "light";
    for (const solution of all(".bd-article .solution")) {
      moved.set(solution, document.createComment(""));
      solution.replaceWith(moved.get(solution));
    }
    document.querySelector(".bd-article")?.append(...moved.keys());
  });
  addEventListener("afterprint", () => {
    page.dataset.theme = theme;
    theme = undefined;
    moved.forEach((place, solution) => place.replaceWith(solution));
    moved.clear();
  });
})();
