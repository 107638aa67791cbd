// Starts the widgets of a built page, without a kernel and offline.
import * as kit from "../shared/kit.js";

/** @type {Record<string, any>} */
const widgets = {};

// The part of anywidget's model that the widgets use, on the state in the page.
const modelOf = (state) => {
  const listeners = {};
  return {
    state,
    listeners,
    get: (name) => state[name],
    set: (name, value) => {
      if (state[name] === value) return;
      state[name] = value;
      listeners[name]?.forEach((listener) => listener());
    },
    on: (event, listener) => (listeners[event.slice(7)] ??= new Set()).add(listener), // "change:" and the name
    off: (event, listener) => listeners[event.slice(7)].delete(listener),
    save_changes: () => {},
  };
};

const read = (text) =>
  JSON.parse(text, (_, value) =>
    typeof value?.bytes === "string" ? new DataView(Uint8Array.from(atob(value.bytes), (c) => c.charCodeAt(0)).buffer) : value,
  );

// The still figure is hidden only when the widget has started, which may take a while for a heavy one.
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
  const { widget, state, press, mounted } = place.dataset;
  if (mounted || !widgets[press ? "press" : widget]) return;
  place.dataset.mounted = 1;
  try {
    const model = modelOf(read(state));
    // A heavy widget waits for the button of press.js.
    if (press) widgets.press.offer({ place, model, start, complain, widgets });
    else await start(place, model);
  } catch (error) {
    complain(place, error);
  }
};

// The page's scripts are deferred, so when one defines its widget, all its places exist. The kit is bundled in this script
// only, and the bundles of the widgets use it from here: tools/bundle.js passes all its functions.
/** @param {typeof kit} whole */
export default (whole) => {
  window.ddpmWidgets = {
    kit: whole,
    define: (name, widget) => {
      widgets[name] = widget;
      document.querySelectorAll("[data-widget]").forEach(mount);
    },
  };
};
