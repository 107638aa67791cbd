// Equations that fit, boxes that a keyboard can scroll, formulas that can be copied.
(() => {
  const SMALLEST = 0.72; // smaller indices cannot be read
  const equations = document.querySelectorAll("div.math > .katex-display");
  const boxes = document.querySelectorAll(".pst-scrollable-table-container, .cell_output > .output");

  // What scrolls inside itself must be reachable by keyboard: it has a tab stop while it overflows.
  const mark = (box) => {
    if (box.scrollWidth > box.clientWidth + 1) {
      box.tabIndex = 0;
    } else {
      box.removeAttribute("tabindex");
    }
  };

  const showsMore = (box) => {
    box.classList.toggle("goes-on", box.scrollLeft + box.clientWidth < box.scrollWidth - 1);
  };

  // All widths are read before any size is written: two layouts of the page, not one for each equation.
  const fitAll = () => {
    equations.forEach((box) => box.style.removeProperty("font-size"));
    const shares = [...equations].map((box) => (0.99 * box.clientWidth) / box.scrollWidth);
    equations.forEach((box, number) => {
      if (shares[number] < 0.99) {
        box.style.fontSize = `${Math.max(SMALLEST, shares[number])}em`;
      }
    });
    equations.forEach(showsMore);
    [...equations, ...boxes].forEach(mark);
  };

  // Widths are right when the fonts are there; what was folded had none.
  fitAll();
  document.fonts.ready.then(fitAll);
  window.addEventListener("resize", fitAll);
  document.addEventListener("toggle", fitAll, true);
  document.addEventListener("click", () => requestAnimationFrame(fitAll));
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
      if (source && copied.contains(formula)) {
        const dollars = formula.matches(".katex-display") ? "$$" : "$";
        formula.replaceWith(`${dollars}${source}${dollars}`);
      }
    });
    copied.querySelectorAll(".headerlink, .eq-check").forEach((sign) => sign.remove());
    // innerText breaks lines as the page does, so the piece is in the page for a moment.
    const piece = document.createElement("div");
    piece.append(copied);
    document.body.append(piece);
    event.clipboardData.setData("text/plain", piece.innerText.trim());
    piece.remove();
    event.preventDefault();
  });
})();
