// A widget's state in a link: #widget-posterior-explorer?t=300&x_0=0.5. A control below each widget copies the link, and a
// page that is opened with one sets the state. reading.js loads this file when a widget is used, or for such a link.
(() => {
  const started = new WeakSet();
  const plain = (value) => typeof value === "number" || typeof value === "boolean";

  // What a link may hold: the numbers and switches that differ from the chapter's own.
  const first = (place) => JSON.parse(place.dataset.state);
  const linkTo = (place) => {
    const own = first(place), state = new URLSearchParams();
    for (const [name, value] of Object.entries(place.model.state)) {
      if (plain(value) && plain(own[name]) && value !== own[name]) state.set(name, String(value));
    }
    const url = new URL(location.href);
    url.hash = `${place.id}${state.size ? `?${state}` : ""}`;
    return url.href;
  };

  // A value of another type, or one that the widget refuses, leaves the widget as it was.
  const restore = (place, state) => {
    const own = first(place);
    for (const [name, text] of new URLSearchParams(state)) {
      const old = place.model.get(name);
      if (!Object.hasOwn(own, name) || !plain(old)) continue;
      const value = typeof old === "boolean" ? text === "true" : Number(text);
      if (text === "" || (typeof value === "number" && !Number.isFinite(value))) continue;
      try {
        place.model.set(name, value);
      } catch {
        place.model.set(name, old);
      }
    }
  };

  const begin = (place) => {
    if (started.has(place) || !place.model || !place.id) return;
    started.add(place);
    const said = document.createElement("span"), button = document.createElement("button"), box = document.createElement("div");
    said.setAttribute("role", "status");
    button.type = "button";
    button.textContent = "Copy link to this state";
    button.onclick = async () => {
      const link = linkTo(place);
      history.replaceState(null, "", link);
      try {
        await navigator.clipboard.writeText(link);
        said.textContent = " Copied.";
      } catch {
        said.textContent = " The link is in the address bar.";
      }
    };
    box.className = "ddpm-state noprint";
    box.style.cssText = "font-size: 0.85rem; text-align: end";
    button.style.cssText = "background: none; border: 0; color: inherit; font: inherit; min-height: 2rem; text-decoration: underline";
    box.append(button, said);
    place.append(box);
    const [id, state] = location.hash.slice(1).split("?");
    if (id === place.id) {
      if (state) restore(place, state);
      place.scrollIntoView({ block: "center" });
    }
  };

  const all = () => document.querySelectorAll("[data-widget]").forEach(begin);
  // A heavy widget starts after its button was pressed.
  const watched = new MutationObserver(() => setTimeout(all));
  document.querySelectorAll("[data-widget]").forEach((place) => watched.observe(place, { childList: true }));
  const [id] = location.hash.slice(1).split("?");
  if (id.startsWith("widget-")) document.getElementById(id)?.scrollIntoView({ block: "center" });
  all();
})();
