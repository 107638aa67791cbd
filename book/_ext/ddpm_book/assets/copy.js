// Copies formulas as LaTeX. reading.js loads it when a reader selects something.
(() => {
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
