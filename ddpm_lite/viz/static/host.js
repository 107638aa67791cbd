// Brings the widgets of a built page to life: no kernel, no network. Stands behind kit.js in one file.
//
// A light widget starts when the page is there. A heavy one is named in data-live: the page gets its still figure and
// a button, and the scripts named there, which lie beside this file, are loaded when the reader presses it. To make
// one: put its module into static/live and name it in the class, `live = ("its-module",)`; base.py does the rest.
(() => {
  const makers = {}, files = {}, loaded = {};
  const folder = document.currentScript.src.replace(/[^/]*$/, "");

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
    // In Jupyter there is none: Python sends the file.
    file(name) {
      if (!files[name]) throw new Error(`${name}.js is damaged.`);
      return files[name];
    }
  }

  const read = (text) =>
    JSON.parse(text, (_, value) => {
      if (typeof value?.bytes !== "string") return value;
      return new DataView(Uint8Array.from(atob(value.bytes), (c) => c.charCodeAt(0)).buffer);
    });

  // The still figure stays until the widget stands, and stays if it cannot. A heavy widget may need a while.
  const start = async (place, model) => {
    const live = document.createElement("div");
    await makers[place.dataset.widget](kit).render({ model, el: live });
    place.querySelector(".ddpm-widget-still").hidden = true;
    place.append(live);
    place.model = model;
    return live;
  };

  const complain = (place, error) => {
    place.append(kit.el("p", { role: "alert" }, `This widget could not start, so its figure stays. ${error.message}`));
  };

  // A script that lies beside this one, once; one that did not come may be asked for again. A classic script, as a
  // page opened as a file may not fetch.
  const load = (name) =>
    (loaded[name] ??= new Promise((done, failed) => {
      const onerror = () => {
        delete loaded[name];
        failed(new Error(`${name}.js could not be loaded.`));
      };
      document.head.append(kit.el("script", { src: `${folder}${name}.js`, onload: done, onerror }));
    }));

  // A button in the place of a heavy widget.
  const offer = (place, model) => {
    let busy = false;
    const pressed = async () => {
      if (busy) return;
      busy = true;
      place.querySelector("[role=alert]")?.remove();
      said.textContent = "Loading, then starting.";
      try {
        for (const name of place.dataset.live.split(" ")) await load(name);
        if (!makers[place.dataset.widget]) throw new Error("Its script is damaged.");
        const live = await start(place, model);
        if (box.contains(document.activeElement)) live.querySelector("button, input, select")?.focus();
        box.remove();
      } catch (error) {
        said.textContent = "";
        complain(place, error);
      }
      busy = false;
    };
    const said = kit.el("span", { role: "status" });
    const box = kit.el("div", { class: "ddpm-widget dw-press" },
      kit.el("div", { class: "dw-control" }, kit.el("button", { type: "button", onclick: pressed }, place.dataset.press), said),
    );
    place.append(box);
  };

  const mount = async (place) => {
    const { widget, state, live, mounted } = place.dataset;
    if (mounted || !(live || makers[widget])) return;
    place.dataset.mounted = "true";
    try {
      const model = new Model(read(state));
      if (live) offer(place, model);
      else await start(place, model);
    } catch (error) {
      complain(place, error);
    }
  };

  const mountAll = () => document.querySelectorAll("[data-widget]").forEach(mount);
  window.ddpmWidgets = {
    // A file of data in the form of a script: a text, and its checksum.
    file: (name, sum, text) => {
      files[name] = { sum, text };
    },
    define: (name, maker) => {
      makers[name] = maker;
      if (document.readyState !== "loading") mountAll();
    },
  };
  document.addEventListener("DOMContentLoaded", mountAll);
})();
