// Equations that fit, boxes that a keyboard can scroll, a chapter that prints as a paper.
(() => {
  const all = (css) => [...document.querySelectorAll(css)];
  const boxes = all("div.math > .katex-display, .pst-scrollable-table-container, .cell_output > .output, .bd-article pre");
  const near = new Set(), range = new Range();

  // The style sheet makes a formula fit by its width in its own ems, on a screen and on paper.
  // All widths are read before any is written: one layout, not one for each box.
  const fit = () => {
    const widths = [...near].map((box) => {
      const formula = box.querySelector(":scope > .katex > .katex-html");
      if (!formula) return 0;
      range.selectNodeContents(formula);
      return range.getBoundingClientRect().width / parseFloat(getComputedStyle(formula).fontSize);
    });
    [...near].forEach((box, i) => widths[i] && box.firstChild.style.setProperty("--wide", widths[i].toFixed(2)));
    const ends = [...near].map((box) => box.scrollWidth - box.clientWidth);
    [...near].forEach((box, i) => {
      // What scrolls must be reachable by keyboard: it has a tab stop while it overflows. And it shows that it goes on.
      box.tabIndex = ends[i] > 1 ? 0 : -1;
      box.classList.toggle("goes-on", box.scrollLeft < ends[i] - 1);
    });
  };

  // A browser lays out what is near the window; nothing else is measured.
  const watch = new IntersectionObserver((changes) => {
    for (const { isIntersecting, target } of changes) near[isIntersecting ? "add" : "delete"](target);
    fit();
  }, { rootMargin: "100%" });
  for (const box of boxes) {
    watch.observe(box);
    box.onscroll = fit;
  }
  // Widths are right when the fonts are there, which load when the first letter is near.
  document.fonts.onloadingdone = fit;
  new ResizeObserver(fit).observe(document.body);

  // A paper is light, and has its solutions at the end.
  const page = document.documentElement, moved = new Map();
  let theme;
  addEventListener("beforeprint", () => {
    boxes.forEach((box) => near.add(box));
    fit();
    theme ??= page.dataset.theme;
    page.dataset.theme = "light";
    for (const solution of all(".bd-article .solution")) {
      moved.set(solution, new Comment());
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
