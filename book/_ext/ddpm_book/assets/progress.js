// How far a reader is: a line over the chapter, marks beside the chapters that were read, and a chapter that offers to go on
// where it was left. Kept in this browser only, under one name; reading.js loads this file on the first scroll, or when
// something is kept.
(() => {
  const STORE = "ddpm-lite:read", DONE = 0.97, WORTH = 0.05;
  const folder = document.currentScript.src.replace(/progress\.js.*/, "");
  const page = location.pathname.replace(/.*\//, "");
  const article = document.querySelector(".bd-article");
  const sections = [...(article?.querySelectorAll("section[id]") ?? [])];
  const make = (tag, attributes, ...children) => {
    const made = Object.assign(document.createElement(tag), attributes);
    made.append(...children);
    return made;
  };
  if (!article || sections.length < 3) return;

  // A browser may refuse to store, or hold what somebody else wrote.
  const load = () => {
    try {
      return Object(JSON.parse(localStorage[STORE] ?? "{}"));
    } catch {
      return {};
    }
  };
  const save = (all) => {
    try {
      if (all) localStorage[STORE] = JSON.stringify(all);
      else localStorage.removeItem(STORE);
    } catch {
      // Then nothing is remembered.
    }
  };

  document.head.append(make("link", { rel: "stylesheet", href: `${folder}progress.css` }));
  const bar = make("div", { className: "ddpm-progress", ariaHidden: "true" });
  document.body.append(bar);

  const mark = () => {
    const all = load();
    document.querySelectorAll(".bd-sidebar-primary .bd-links a").forEach((link) => {
      const name = link.getAttribute("href") === "#" ? page : link.getAttribute("href").replace(/.*\//, "");
      const share = all[name]?.most ?? 0;
      link.querySelector(".ddpm-read")?.remove();
      if (share < WORTH) return;
      const words = share >= DONE ? "read" : `${Math.round(100 * share)} % read`;
      const sign = make("span", { className: "ddpm-read", title: words }, share >= DONE ? " ✓" : ` ${Math.round(100 * share)} %`);
      link.append(sign);
    });
    const list = document.querySelector(".bd-sidebar-primary .bd-links");
    let forget = document.querySelector(".ddpm-forget");
    if (!forget && Object.keys(all).length) {
      forget = make("button", { type: "button", className: "ddpm-forget" }, "Forget what I have read");
      forget.onclick = () => {
        save(null);
        kept = false;
        document.querySelectorAll(".ddpm-read, .ddpm-offer, .ddpm-forget").forEach((sign) => sign.remove());
      };
      list?.append(forget);
    }
  };

  let kept = true, waiting = 0;
  const share = () => {
    const { top, height } = article.getBoundingClientRect();
    return Math.min(1, Math.max(0, (innerHeight - top) / height));
  };
  const note = () => {
    waiting = 0;
    if (!kept) return;
    const all = load(), now = share();
    // What is not laid out yet is not measured.
    const seen = (one) => one.checkVisibility({ contentVisibilityAuto: true });
    const at = sections.findLast((one) => seen(one) && one.getBoundingClientRect().top < innerHeight / 2)?.id ?? "";
    const most = Math.max(all[page]?.most ?? 0, now);
    if (now < WORTH && !all[page]) return;
    save({ ...all, [page]: { at, now, most } });
    mark();
  };
  const begun = share();
  let moved = scrollY > 0; // the first scroll loaded this file
  const scrolled = () => {
    bar.style.transform = `scaleX(${share()})`;
    moved ||= Math.abs(share() - begun) > 0.01;
    if (moved) waiting ||= setTimeout(note, 400);
  };
  addEventListener("scroll", scrolled, { passive: true });
  addEventListener("pagehide", () => moved && note());
  scrolled();
  mark();

  // An offer, not a jump; whoever followed a link to a place of the page wants that place.
  const last = load()[page], place = last && document.getElementById(last.at);
  if (place && !location.hash && last.now > 2 * WORTH && last.now < DONE && scrollY < innerHeight) {
    const title = place.querySelector("h1, h2, h3, h4")?.cloneNode(true);
    title?.querySelectorAll(".headerlink, .katex-mathml").forEach((part) => part.remove());
    const go = make("a", { href: `#${last.at}` }, `Go on at “${title?.textContent.trim()}”`);
    const close = make("button", { type: "button", ariaLabel: "Close" }, "×");
    const offer = make("div", { className: "ddpm-offer", role: "status" }, go, close);
    offer.addEventListener("click", () => offer.remove());
    document.body.append(offer);
  }
})();
