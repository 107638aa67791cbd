// What scrolls inside itself must be reachable by keyboard: give it a tab stop while it overflows.
(() => {
  const boxes = "div.math, .pst-scrollable-table-container, .cell_output > .output";

  const mark = () => {
    document.querySelectorAll(boxes).forEach((box) => {
      if (box.scrollWidth > box.clientWidth) {
        box.tabIndex = 0;
      } else {
        box.removeAttribute("tabindex");
      }
    });
  };

  // Equations get their width from MathJax, which runs after this script.
  window.addEventListener("load", async () => {
    await window.MathJax?.startup?.promise;
    mark();
    window.addEventListener("resize", mark);
  });
})();
