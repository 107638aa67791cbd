// Runs a network for a widget in a worker. Where workers are refused, it runs on the page in slices, to keep it responsive.
import { fetched, hire } from "./hire.js";
import * as kit from "./kit.js";
import { rest, SLICE } from "./turns.js";
import text from "worker:./worker.js";

// Samples for a widget, with as many workers as it asks for and gets: `draw(walks, heard)` passes on what `serve` posts about
// these walks and drops earlier ones. `pass` is how many milliseconds an evaluation of the network takes in each of `hands`.
const crew = async (file, many) => {
  const hired = (await Promise.all(Array.from({ length: many }, () => hire(text)))).filter(Boolean);
  let job = 0;
  // Where workers are refused, the script is long work too.
  if (!hired.length) await rest();
  const hands = (hired.length ? hired : [null]).map((worker) => {
    const hand = { hear: (/** @type {any} */ _) => {}, tell: (/** @type {any} */ message, moved = []) => worker.postMessage(message, moved) };
    if (worker) {
      worker.onmessage = ({ data }) => hand.hear(data);
      worker.onerror = () => hand.hear({ job, frames: [], done: true, error: "The worker stopped." });
    } else {
      if (!window.ddpmServe) document.head.append(kit.el("script", {}, text));
      hand.tell = window.ddpmServe((message) => hand.hear(message), SLICE);
    }
    return hand;
  });
  const ready = hands.map((hand) => new Promise((done, failed) => {
    hand.hear = ({ error, frames }) => (error ? failed(new Error(error)) : frames.length && done(frames[0].pass));
    hand.tell({ file });
  }));
  const leave = () => hired.forEach((worker) => worker.terminate());
  const pass = Math.max(...(await Promise.all(ready).catch((error) => {
    leave();
    throw error;
  })));
  // The first of them may ask the second one for half of a guided evaluation, where there is a single walk.
  if (hired.length > 1) {
    const { port1, port2 } = new MessageChannel();
    hands[0].tell({ port: port1 }, [port1]);
    hands[1].tell({ port: port2 }, [port2]);
  }
  const tell = (walks) => hands.forEach((hand, i) => {
    const aid = hired.length > 1 && walks.length === 1;
    hand.tell({ job, aid, walks: [...walks.entries()].filter(([n]) => n % hands.length === i) });
  });
  const draw = (walks, heard) => {
    const mine = ++job;
    let left = hands.length;
    for (const hand of hands) {
      hand.hear = (message) => {
        if (message.job !== mine || mine !== job) return;
        if (message.done) left--;
        heard({ ...message, done: left === 0 });
        // What one of them cannot do, the others need not finish.
        if (message.error) draw([], () => {});
      };
    }
    tell(walks);
  };
  return { draw, leave, pass, hands: hands.length, pause: (pause) => hands.forEach((hand) => hand.tell({ pause })) };
};

// The common part of the sampling widgets: a button, which stops a drawing while there is one, a progress bar, a status that a
// screen reader reads at the beginning and the end, and the reaction to a changed setting. `plan()` returns the walks and
// their description, `heard(frames)` gets frames as they arrive, `ended()` returns the closing words, and `stopped()` is called
// when the reader stops a drawing. On a page the first samples are drawn as soon as
// the reader has pressed the button that loads the widget; in Jupyter they wait for the button. If the plan has the number of
// `passes`, evaluations of the network, the status says how long they will take. A tab in the background pauses.
export const atelier = ({ model, traits, begin, next, plan, heard, ended, stopped = () => {}, many = 1 }) => {
  const status = kit.el("p", { role: "status" }), bar = kit.el("progress", { max: 1, value: 0, "aria-label": "drawn" });
  /** @type {ReturnType<typeof crew> | null} */
  let workers = null;
  let started = NaN; // when the drawing began, in milliseconds of the page's clock
  let turn = 0, drawing = false;
  const work = (/** @type {boolean} */ now) => {
    drawing = now;
    kit.busy(button, now);
    kit.tell(button, now ? "Stop" : next);
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
    const { walks, words, frames, passes = 0, halves = 1 } = plan();
    let count = 0;
    started = performance.now();
    kit.tell(status, `Drawing ${words}.`);
    bar.value = 0;
    bar.max = frames;
    begin();
    work(true);
    try {
      workers ??= crew(await fetched(model), many);
      const { draw, pass, hands } = await workers;
      if (mine !== turn) return;
      // Each walk is one worker's, but two workers share a single one that is guided.
      const most = (Math.ceil(walks.length / hands) * passes) / walks.length / (walks.length === 1 ? Math.min(hands, halves) : 1);
      if (passes) status.textContent = `Drawing ${words}, in about ${kit.number((most * pass) / 1000, 2)} s.`;
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
        workers = crew(await fetched(model), many);
        await workers;
        redraw();
      }
      const { signal } = model, turned = async () => (await workers)?.pause(document.hidden);
      document.addEventListener("visibilitychange", turned, { signal });
      signal.addEventListener("abort", async () => (await workers)?.leave());
    },
  };
};
