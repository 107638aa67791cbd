// What helps to read is loaded when it is asked for: cards over links, progress, copying, links to a widget's state.
(() => {
  const folder = document.currentScript.src.replace(/reading\.js.*/, ""), loading = {}, on = addEventListener;
  const later = (name) =>
    (loading[name] ??= new Promise((onload, onerror) => {
      document.head.append(Object.assign(document.createElement("script"), { src: `${folder}${name}.js`, onload, onerror }));
    }));
  const meet = (event) => {
    const at = (selector) => event.target.closest?.(selector);
    const link = at('.bd-article a.internal[href*="#"]'), { type, pointerType } = event;
    if (link && (type !== "click" || pointerType === "touch") && !window.ddpmCards) {
      if (type === "click") event.preventDefault();
      later("cards").then(() => window.ddpmCards.meet(link, type), () => type === "click" && link.click());
    }
    if (at("[data-widget]")) later("state");
  };
  for (const type of ["pointerover", "focusin", "click"]) on(type, meet);
  const read = () => later("progress");
  on("scroll", read, { once: true });
  document.addEventListener("selectionchange", () => later("copy"), { once: true });
  if (location.hash.startsWith("#widget-")) later("state");
  try {
    if (localStorage["ddpm-lite:read"]) read();
  } catch {
    // A browser may refuse to store.
  }
})();
