// Brings the widgets of a built page to life: no kernel, no network. Stands behind kit.js in one file.
(() => {
  const makers = {};

  // What the widgets use of anywidget's model, over the state that the page carries.
  class Model {
    constructor(state) {
      this.state = state;
      this.listeners = {};
    }
    get(name) {
      return this.state[name];
    }
    set(name, value) {
      if (this.state[name] === value) return;
      this.state[name] = value;
      this.listeners[`change:${name}`]?.forEach((listener) => listener());
    }
    on(event, listener) {
      (this.listeners[event] ??= []).push(listener);
    }
    save_changes() {}
  }

  const read = (text) =>
    JSON.parse(text, (_, value) =>
      typeof value?.bytes === "string" ? new DataView(Uint8Array.from(atob(value.bytes), (c) => c.charCodeAt(0)).buffer) : value,
    );

  // The still figure stays until the widget stands, and stays if it cannot. A heavy widget may need a while.
  const start = async (place, model) => {
    const live = kit.el("div");
    await makers[place.dataset.widget](kit).render({ model, el: live });
    place.querySelector(".ddpm-widget-still").hidden = true;
    place.append(live);
    place.model = model;
    return live;
  };

  const complain = (place, error) => {
    place.append(kit.el("p", { role: "alert" }, `This widget could not start, so its figure stays. ${error.message}`));
  };

  const mount = async (place) => {
    const { widget, state, live, mounted } = place.dataset;
    if (mounted || !makers[live ? "press" : widget]) return;
    place.dataset.mounted = 1;
    try {
      const model = new Model(read(state));
      if (!live) return await start(place, model);
      // A heavy one waits behind the button of press.js, which is made once for all of them.
      (makers.button ??= makers.press(kit)).offer({ place, model, start, complain, makers });
    } catch (error) {
      complain(place, error);
    }
  };

  // Scripts of the page are deferred: when one hands over its maker, all places are there.
  window.ddpmWidgets = {
    define: (name, maker) => {
      makers[name] = maker;
      document.querySelectorAll("[data-widget]").forEach(mount);
    },
  };
})();
