// For a heavy widget, named in data-live, the page has its still figure and a button. When the reader presses the button,
// the scripts in data-live are loaded from the folder of this file.
import * as kit from "../shared/kit.js";

const files = {}, loaded = {};
let failures = 0;
const folder = /** @type {HTMLScriptElement} */ (document.currentScript).src.replace(/press\.js.*/, "");

// A data file is a script that passes its name, the checksum of a text, and the text.
window.ddpmWidgets.file = (name, sum, text) => {
  files[name] = { sum, text };
};

// Load a script once; after a failure it may be tried again, by another address, as the browser may have kept what came. It is a classic script, because a page opened as a file may
// not use fetch.
const load = (name) =>
  (loaded[name] ??= new Promise((done, failed) => {
    const onerror = () => failed(new Error(`${name}.js could not be loaded.`));
    document.head.append(kit.el("script", { src: `${folder}${name}.js${failures ? `?${failures}` : ""}`, onload: done, onerror }));
  }));

// A button for a heavy widget, until host.js can `start` it.
const offer = ({ place, model, start, complain, widgets }) => {
  let busy = false;
  // In Jupyter a model has no such function, because Python sends the file.
  model.file = (name) => {
    if (!files[name]) throw new Error(`${name}.js is damaged.`);
    return files[name];
  };
  const pressed = async () => {
    if (busy) return;
    busy = true;
    place.querySelector("[role=alert]")?.remove();
    said.textContent = "Loading, then starting.";
    const names = place.dataset.live.split(" ");
    try {
      for (const name of names) await load(name);
      if (!widgets[place.dataset.widget]) throw new Error("Its script is damaged.");
      const live = await start(place, model);
      if (box.contains(document.activeElement)) live.querySelector("button, input, select")?.focus();
      box.remove();
    } catch (error) {
      said.textContent = "";
      // Part of a download is a download too: what came is not trusted again.
      for (const name of names) delete loaded[name];
      failures++;
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
