// Brings the widgets of a built page to life: no kernel, no network. Stands behind kit.js in one file.
(() => {
  const makers = {};

  // What the widgets use of anywidget's model, over the state that the page carries.
  class Model {
    constructor(state) {
      this.state = state;
      this.listeners = {};
      this.changed = new Set();
    }
    get(name) {
      return this.state[name];
    }
    set(name, value) {
      if (this.state[name] === value) return;
      this.state[name] = value;
      for (const listener of this.listeners[`change:${name}`] ?? []) listener();
    }
    on(event, listener) {
      (this.listeners[event] ??= []).push(listener);
    }
    save_changes() {}
  }

  const read = (text) =>
    JSON.parse(text, (_, value) => {
      if (typeof value?.bytes !== "string") return value;
      return new DataView(Uint8Array.from(atob(value.bytes), (c) => c.charCodeAt(0)).buffer);
    });

  // The still figure stays until the widget stands, and stays if it cannot.
  const mount = (place) => {
    const maker = makers[place.dataset.widget];
    if (!maker || place.dataset.mounted) return;
    place.dataset.mounted = "true";
    const live = document.createElement("div");
    try {
      const model = new Model(read(place.dataset.state));
      maker(kit).render({ model, el: live });
      place.querySelector(".ddpm-widget-still").hidden = true;
      place.append(live);
      place.model = model;
    } catch (error) {
      const line = document.createElement("p");
      line.setAttribute("role", "alert");
      line.textContent = `This widget could not start, so its figure stays. ${error.message}`;
      place.append(line);
    }
  };

  const mountAll = () => document.querySelectorAll("[data-widget]").forEach(mount);
  window.ddpmWidgets = {
    define: (name, maker) => {
      makers[name] = maker;
      if (document.readyState !== "loading") mountAll();
    },
  };
  document.addEventListener("DOMContentLoaded", mountAll);
})();
