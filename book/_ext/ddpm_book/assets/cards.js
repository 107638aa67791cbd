// Cards: what a link leads to, shown over the link. With a mouse on hover, with the keyboard on focus, with a finger on the
// first tap (the card then has a link that goes there). Escape closes. reading.js loads this file.
(() => {
  const root = document.documentElement.dataset.content_root ?? "./";
  const folder = document.currentScript.src.replace(/cards\.js.*/, "");
  const here = new URL(location.href), known = {}, loading = {};
  const KINDS = /^(equation-|term-|fig-|ex-|id\d)/;
  let shown = null, card = null, timer = 0;

  const make = (tag, attributes, ...children) => {
    const made = Object.assign(document.createElement(tag), attributes);
    made.append(...children);
    return made;
  };
  document.head.append(make("link", { rel: "stylesheet", href: `${folder}cards.css` }));

  // The page of a link, as cards.py names it, and the place on it; null for a link without a card.
  const target = (link) => {
    const url = new URL(link.href), anchor = decodeURIComponent(url.hash.slice(1));
    if (!KINDS.test(anchor) || link.matches(".headerlink, .eq-check") || link.closest(".ddpm-card")) return null;
    const page = url.pathname.slice(new URL(root, here).pathname.length).replace(/\.html$/, "");
    return { page, anchor, inPage: url.pathname === here.pathname };
  };

  const copyOf = (element) => {
    const copy = element.cloneNode(true);
    copy.querySelectorAll(".headerlink, .eq-check, button, script, annotation").forEach((part) => part.remove());
    copy.querySelectorAll("a.internal").forEach((link) => link.replaceWith(...link.childNodes));
    for (const part of [copy, ...copy.querySelectorAll("[id], [tabindex]")]) {
      part.removeAttribute("id");
      part.removeAttribute("tabindex");
    }
    return copy;
  };

  // What stands at a place of this page.
  const onPage = (anchor) => {
    const place = document.getElementById(anchor);
    if (!place) return null;
    if (place.matches("div.math")) {
      const number = place.querySelector(".eqno")?.textContent.match(/\([\w.]+\)/)?.[0] ?? "";
      return [make("p", {}, `Equation ${number}`), copyOf(place.querySelector(".katex-display"))];
    }
    if (place.matches("dt")) {
      return [make("p", {}, make("strong", {}, copyOf(place).textContent.trim())), ...copyOf(place.nextElementSibling).childNodes];
    }
    if (place.matches("figure")) return [...place.querySelectorAll("img, svg, figcaption")].map(copyOf).slice(0, 2);
    if (place.matches(".exercise")) return [...place.querySelectorAll("p")].slice(0, 3).map(copyOf);
    return [...place.querySelectorAll("p")].slice(0, 1).map(copyOf);
  };

  const elsewhere = async ({ page, anchor }) => {
    loading[page] ??= new Promise((done) => {
      document.head.append(make("script", { src: `${folder}cards/${page}.js`, onload: done, onerror: done }));
    });
    await loading[page];
    const text = known[page]?.[anchor];
    if (!text) return null;
    const box = make("div", { innerHTML: text });
    return [...box.childNodes];
  };

  const hide = () => {
    clearTimeout(timer);
    card?.remove();
    if (shown) shown.removeAttribute("aria-describedby");
    shown = card = null;
  };

  const place = (link) => {
    const [line] = link.getClientRects(), margin = 8, width = document.documentElement.clientWidth;
    const box = card.getBoundingClientRect();
    const above = line.top - box.height - margin;
    const below = line.bottom + margin;
    card.style.left = `${Math.max(margin, Math.min(line.left, width - box.width - margin))}px`;
    card.style.top = `${below + box.height > innerHeight && above > 0 ? above : below}px`;
  };

  const show = async (link, byTouch) => {
    const where = target(link);
    if (!where || link === shown) return;
    hide();
    shown = link;
    const parts = (where.inPage && onPage(where.anchor)) || (await elsewhere(where));
    if (shown !== link) return;
    if (!parts?.length) {
      shown = null;
      if (byTouch) location.href = link.href;
      return;
    }
    card = make("div", { className: "ddpm-card", id: "ddpm-card" }, make("div", { className: "ddpm-card-body" }, ...parts));
    card.setAttribute("role", "note");
    if (byTouch) card.append(make("a", { href: link.href, className: "ddpm-card-go", onclick: hide }, "Go there"));
    card.addEventListener("pointerleave", ({ pointerType }) => pointerType === "mouse" && leave());
    card.addEventListener("pointerenter", () => clearTimeout(timer));
    // Beside its link, so that the Tab key passes through a reference's address and out again; over everything else.
    card.popover = "manual";
    link.after(card);
    card.showPopover?.();
    place(link);
    link.setAttribute("aria-describedby", "ddpm-card");
    const formula = card.querySelector(".katex-html"), body = card.firstChild;
    if (formula && body.scrollWidth > body.clientWidth) {
      body.style.setProperty("--shrink", Math.max(0.6, body.clientWidth / body.scrollWidth));
      place(link);
    }
  };

  const leave = () => {
    clearTimeout(timer);
    timer = setTimeout(() => !card?.contains(document.activeElement) && document.activeElement !== shown && hide(), 250);
  };

  // A pointer may pass over a link on its way: the card waits a moment.
  const meet = (link, type) => {
    clearTimeout(timer);
    if (type === "click") show(link, true);
    else if (type === "focusin") link.matches(":focus-visible") && show(link);
    else if (link !== shown) timer = setTimeout(() => show(link), 120);
  };

  const linkOf = (event) => event.target.closest?.('.bd-article a.internal[href*="#"]');
  addEventListener("pointerover", (event) => {
    const link = linkOf(event);
    if (event.pointerType === "touch") return;
    if (link && target(link)) meet(link, "pointerover");
    else if (shown && !card?.contains(event.target)) leave();
    else if (!shown) clearTimeout(timer);
  });
  addEventListener("focusin", (event) => {
    const link = linkOf(event);
    if (link && target(link)) meet(link, "focusin");
    else if (shown && !card?.contains(event.target)) hide();
  });
  addEventListener("click", (event) => {
    const link = linkOf(event);
    if (link && target(link) && event.pointerType === "touch" && link !== shown) {
      event.preventDefault();
      show(link, true);
    } else if (!card?.contains(event.target)) hide();
  }, true);
  addEventListener("keydown", (event) => {
    if (event.key === "Escape" && card) {
      if (card.contains(document.activeElement)) shown.focus();
      hide();
      event.stopPropagation();
    }
  }, true);
  addEventListener("scroll", () => card && !card.matches(":hover, :focus-within") && hide(), { passive: true });

  window.ddpmCards = {
    add: (page, parts) => {
      known[page] = parts;
    },
    meet: (link, type) => {
      if (target(link)) meet(link, type);
      else if (type === "click") location.href = link.href;
    },
  };
})();
