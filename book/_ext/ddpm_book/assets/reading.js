// What helps to read is loaded when it is asked for: cards over links, progress, copying, links to a widget's state, and the
// panel of a derivation.
(() => {
  const { src } = document.currentScript, loading = {}, on = addEventListener;
  const later = (name) =>
    (loading[name] ??= new Promise((onload, onerror) => {
      document.head.append(Object.assign(document.createElement("script"), { src: src.replace("reading.js", `${name}.js`), onload, onerror }));
    }));
  const meet = (event) => {
    const at = (css) => event.target.closest?.(css), click = event.type === "click";
    const link = at('.bd-article a.internal[href*="#"]');
    if (link && (!click || event.pointerType === "touch") && !window.ddpmCards) {
      if (click) event.preventDefault();
      later("cards").then(() => window.ddpmCards.meet(link, event.type), () => click && link.click());
    }
    if (click && at("[data-derive]")) later("derive").then(() => window.ddpmDerive(event));
    if (at("[data-widget]")) later("state");
  };
  for (const type of ["pointerover", "focusin", "click"]) on(type, meet);
  on("scroll", () => later("progress"), { once: true });
  document.addEventListener("selectionchange", () => later("copy"), { once: true });
  if (location.hash.startsWith("#widget-")) later("state");
  try {
    if (localStorage["ddpm-lite:read"]) later("progress");
  } catch {
    // A browser may refuse to store.
  }
})();
