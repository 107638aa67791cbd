// A heavy widget is named in data-live: a page gets its still figure and a button, and the scripts named there, which lie
// beside this file, are loaded when the reader presses it.
import * as kit from "../shared/kit.js";

const files = {}, loaded = {};
const folder = /** @type {HTMLScriptElement} */ (document.currentScript).src.replace(/press\.js.*/, "");

// A file of data comes in the form of a script that gives its name, the checksum of a text, and the text.
window.ddpmWidgets.file = (name, sum, text) => {
  files[name] = { sum, text };
};

// A script, once; one that did not come may be asked for again. A classic script, as a page opened as a file may not
// fetch.
const load = (name) =>
  (loaded[name] ??= new Promise((done, failed) => {
    const onerror = () => {
      delete loaded[name];
      failed(new Error(`${name}.js could not be loaded.`));
    };
    document.head.append(kit.el("script", { src: `${folder}${name}.js`, onload: done, onerror }));
  }));

// A button in the place of a heavy widget, until host.js can `start` it.
const offer = ({ place, model, start, complain, widgets }) => {
  let busy = false;
  // In Jupyter a model has no such function: Python sends the file.
  model.file = (name) => {
    if (!files[name]) throw new Error(`${name}.js is damaged.`);
    return files[name];
  };
  const pressed = async () => {
    if (busy) return;
    busy = true;
    place.querySelector("[role=alert]")?.remove();
    said.textContent = "Loading, then starting.";
    try {
      for (const name of place.dataset.live.split(" ")) await load(name);
      if (!widgets[place.dataset.widget]) throw new Error("Its script is damaged.");
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
  const button = kit.el("button", { type: "button", onclick: pressed }, place.dataset.press);
  const box = kit.el("div", { class: "ddpm-widget dw-press" }, kit.el("div", { class: "dw-control" }, button, said));
  place.append(box);
};

window.ddpmWidgets.define("press", { offer });
