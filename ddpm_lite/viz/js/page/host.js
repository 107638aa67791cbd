// Brings the widgets of a built page to life: no kernel, no network.
import * as kit from "../shared/kit.js";

/** @type {Record<string, any>} */
const widgets = {};

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
    (this.listeners[event] ??= new Set()).add(listener);
  }
  off(event, listener) {
    this.listeners[event]?.delete(listener);
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
  place.leave = await widgets[place.dataset.widget].render({ model, el: live });
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
  if (mounted || !widgets[live ? "press" : widget]) return;
  place.dataset.mounted = 1;
  try {
    const model = new Model(read(state));
    // A heavy one waits behind the button of press.js.
    if (live) widgets.press.offer({ place, model, start, complain, widgets });
    else await start(place, model);
  } catch (error) {
    complain(place, error);
  }
};

// Scripts of the page are deferred: when one hands over its widget, all places are there. The kit is shared: it is in this
// script alone, and the bundles of the widgets take it from here.
window.ddpmWidgets = {
  kit,
  define: (name, widget) => {
    widgets[name] = widget;
    document.querySelectorAll("[data-widget]").forEach(mount);
  },
};
