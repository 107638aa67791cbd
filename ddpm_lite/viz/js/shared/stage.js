// Runs a network for a widget in a worker, which is made from the text of its bundle because a page that is opened as a
// file may not load another script. Where workers are refused, it runs on the page in slices, to keep it responsive.
import * as kit from "./kit.js";
import { serve } from "./serve.js";
import text from "worker:./worker.js";

// A worker that has answered, or null if workers are not available.
const hire = () =>
  new Promise((done) => {
    let worker, patience;
    const refused = (event) => {
      event?.preventDefault?.();
      clearTimeout(patience);
      worker?.terminate();
      done(null);
    };
    try {
      const address = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
      worker = new Worker(address);
      patience = setTimeout(refused, 5000);
      worker.onerror = refused;
      worker.onmessage = () => {
        clearTimeout(patience);
        URL.revokeObjectURL(address);
        done(worker);
      };
    } catch {
      refused();
    }
  });

// The network's file: the book's pages have it in press.js, and in Jupyter Python sends it on request.
const fetched = (model) => {
  if (model.file) return model.file(model.get("network"));
  return new Promise((done) => {
    model.on("msg:custom", (message) => message.text && done(message));
    model.send("network");
  });
};

// Samples for a widget: `draw(walks, heard)` passes on what `serve` posts about these walks and drops earlier ones.
const crew = async (file) => {
  let hear, job = 0;
  const worker = await hire();
  const tell = worker ? (message) => worker.postMessage(message) : serve((message) => hear(message), 30);
  if (worker) {
    worker.onmessage = ({ data }) => hear(data);
    worker.onerror = () => hear({ job, frames: [], done: true, error: "The worker stopped." });
  }
  /** @type {Promise<void>} */
  const ready = new Promise((done, failed) => {
    hear = ({ error }) => (error ? failed(new Error(error)) : done());
    tell({ file });
  });
  await ready;
  const draw = (walks, heard) => {
    const mine = ++job;
    hear = (message) => message.job === mine && heard(message);
    tell({ job: mine, walks });
  };
  return { draw, leave: () => worker?.terminate() };
};

// The common part of the sampling widgets: a button, which stops a drawing while there is one, a progress bar, a status that a
// screen reader reads at the beginning and the end, and the reaction to a changed setting. `plan()` returns the walks and
// their description, `heard(frames)` gets frames as they arrive, `ended()` returns the closing words, and `stopped()` is called
// when the reader stops a drawing. On a page the first samples are drawn as soon as
// the reader has pressed the button that loads the widget; in Jupyter they wait for the button.
export const atelier = ({ model, traits, begin, next, plan, heard, ended, stopped = () => {} }) => {
  const status = kit.el("p", { role: "status" }), bar = kit.el("progress", { max: 1, value: 0, "aria-label": "drawn" });
  /** @type {ReturnType<typeof crew> | null} */
  let workers = null;
  let started = NaN; // when the drawing began, in milliseconds of the page's clock
  let turn = 0, drawing = false;
  const work = (/** @type {boolean} */ now) => {
    drawing = now;
    kit.busy(button, now);
    button.textContent = now ? "Stop" : next;
  };
  const stop = async () => {
    turn++;
    work(false);
    stopped();
    status.textContent = `Stopped after ${bar.value} of ${bar.max} images.`;
    (await workers)?.draw([], () => {});
  };
  const redraw = async () => {
    const mine = ++turn;
    const { walks, words, frames } = plan();
    let count = 0;
    started = performance.now();
    status.textContent = `Drawing ${words}.`;
    bar.value = 0;
    bar.max = frames;
    begin();
    work(true);
    try {
      workers ??= crew(await fetched(model));
      const { draw } = await workers;
      if (mine !== turn) return;
      draw(walks, (message) => {
        count += message.frames.length;
        bar.value = count;
        if (message.frames.length) heard(message.frames);
        if (message.error || message.done) work(false);
        if (message.error) status.textContent = message.error;
        else if (message.done) status.textContent = `Done: ${words}, in ${kit.number((performance.now() - started) / 1000, 2)} s. ${ended()}`;
      });
    } catch (error) {
      workers = null;
      work(false);
      status.textContent = /** @type {Error} */ (error).message;
    }
  };
  const pressed = () => {
    if (drawing) return stop();
    if (Number.isNaN(started)) return redraw();
    model.set("seed", (model.get("seed") + 1) % 100);
    model.save_changes();
  };
  const button = kit.el("button", { type: "button", onclick: pressed }, "Draw");
  for (const trait of traits) model.on(`change:${trait}`, () => !Number.isNaN(started) && redraw());
  return {
    controls: kit.el("div", { class: "dw-control" }, button, bar),
    status,
    // What `render` returns: on a page, once the network is there and whole.
    open: async () => {
      if (model.file) {
        workers = crew(await fetched(model));
        await workers;
        redraw();
      }
      model.signal.addEventListener("abort", async () => (await workers)?.leave());
    },
  };
};
