// What a page needs besides its words: equations that fit, boxes that a keyboard can scroll, formulas that can be copied.
(() => {
  const SMALLEST = 0.72; // of an equation's size: below it the indices cannot be read
  const equations = document.querySelectorAll("div.math > .katex-display");
  const boxes = document.querySelectorAll(".pst-scrollable-table-container, .cell_output > .output");

  // What scrolls inside itself must be reachable by keyboard: it has a tab stop while it overflows.
  const mark = (box) => {
    const scrolls = box.scrollWidth > box.clientWidth + 1;
    if (scrolls) {
      box.tabIndex = 0;
    } else {
      box.removeAttribute("tabindex");
    }
    return scrolls;
  };

  const showsMore = (box) => {
    box.classList.toggle("goes-on", box.scrollLeft + box.clientWidth < box.scrollWidth - 1);
  };

  const fit = (box) => {
    box.style.fontSize = "";
    if (box.scrollWidth > box.clientWidth) {
      box.style.fontSize = `${Math.max(SMALLEST, (0.99 * box.clientWidth) / box.scrollWidth)}em`;
    }
    mark(box);
    showsMore(box);
  };

  const fitAll = () => {
    equations.forEach(fit);
    boxes.forEach(mark);
  };

  // The widths are right when the fonts are there, and a folded box opened later has had no width at all.
  fitAll();
  document.fonts.ready.then(fitAll);
  window.addEventListener("load", fitAll);
  window.addEventListener("resize", fitAll);
  document.addEventListener("toggle", fitAll, true);
  document.addEventListener("click", (event) => {
    if (event.target instanceof Element && event.target.closest(".toggle-button, summary, label")) {
      requestAnimationFrame(fitAll);
    }
  });
  equations.forEach((box) => box.addEventListener("scroll", () => showsMore(box), { passive: true }));

  // A copied formula is its LaTeX, between dollars.
  document.addEventListener("copy", (event) => {
    const selection = document.getSelection();
    if (!event.clipboardData || !selection || selection.isCollapsed) {
      return;
    }
    const range = selection.getRangeAt(0);
    const around = (node) => {
      const element = node instanceof Element ? node : node.parentElement;
      return element?.closest(".katex-display") ?? element?.closest(".katex");
    };
    const [first, last] = [around(range.startContainer), around(range.endContainer)];
    if (first) {
      range.setStartBefore(first);
    }
    if (last) {
      range.setEndAfter(last);
    }
    const copied = range.cloneContents();
    if (!copied.querySelector(".katex")) {
      return;
    }
    copied.querySelectorAll(".katex-display, .katex").forEach((formula) => {
      const source = formula.querySelector("annotation")?.textContent;
      if (source !== undefined && copied.contains(formula)) {
        const dollars = formula.matches(".katex-display") ? "$$" : "$";
        formula.replaceWith(`${dollars}${source}${dollars}`);
      }
    });
    copied.querySelectorAll(".headerlink, .eq-check").forEach((sign) => sign.remove());
    const text = document.createElement("div");
    text.append(copied);
    event.clipboardData.setData("text/plain", spell(text));
    event.preventDefault();
  });

  // The words of a piece of the page, with a line for each block.
  const spell = (root) => {
    const BLOCKS = "p, div, li, tr, pre, h1, h2, h3, h4, blockquote, figcaption";
    root.querySelectorAll(BLOCKS).forEach((block) => block.append("\n"));
    root.querySelectorAll("br").forEach((line) => line.replaceWith("\n"));
    return (root.textContent ?? "").replace(/\n{3,}/g, "\n\n").trim();
  };
})();
