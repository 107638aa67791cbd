// Clothes that the book's first page draws: front.js loads this file, and it the network, when a reader presses the button.
import { building, drawing } from "../shared/unet.js";

const SLICE = 30; // milliseconds of work before the page may do something else
const files = {};
(window.ddpmWidgets ??= /** @type {any} */ ({})).file ??= (name, sum, text) => {
  files[name] = { sum, text };
};
let net, seed = Math.floor(Math.random() * 100);

window.ddpmDraw = async ({ begin, calm, canvas, data, load, paper, show, status, stopped, STEPS }) => {
  const kinds = JSON.parse(data.kinds), label = Math.floor(Math.random() * kinds.length), kind = kinds[label];
  let pause = performance.now() + SLICE;
  // What the work returns, or undefined if the reader stops it; `heard` gets all that it yields.
  const run = async (work, heard) => {
    for (;;) {
      const { done, value } = work.next();
      if (done) return value;
      if (value) heard(value);
      if (stopped()) return undefined;
      if (performance.now() < pause) continue;
      await new Promise((go) => setTimeout(go));
      pause = performance.now() + SLICE;
    }
  };
  const paint = (values) => {
    const side = Math.sqrt(values.length), image = paper.createImageData(side, side);
    canvas.width = canvas.height = side;
    values.forEach((value, i) => {
      const grey = Math.round(((Math.max(-1, Math.min(1, value)) + 1) / 2) * 255);
      image.data.set([grey, grey, grey, 255], 4 * i);
    });
    paper.putImageData(image, 0, 0);
  };

  await load("widgets/networks/fashion");
  net ??= await run(building(files.fashion));
  if (stopped()) {
    status.textContent = "Stopped.";
    return;
  }
  seed = (seed + 1) % 100;
  const frames = [], times = [], started = performance.now();
  status.textContent = `Drawing: ${kind}.`;
  // The picture that is asked for, with guidance of weight 1: two evaluations of the network for each step.
  const options = { steps: STEPS, seed, label, scale: 1, sampler: "ddim", spacing: "leading", parts: true };
  await run(drawing(net, options), ({ t, x }) => {
    if (!frames.length) begin({ times, what: kind, paint: (frame) => paint(frames[frame]) });
    frames.push(Float64Array.from(x));
    times.push(t);
    if (!calm.matches) show(frames.length - 1);
    const seconds = ((performance.now() - started) / 1000) * STEPS;
    if (frames.length === 2) status.textContent = `Drawing: ${kind}, in about ${Math.max(1, Math.round(seconds))} s.`;
  });
  if (frames.length) show(frames.length - 1);
  status.textContent = stopped() ? "Stopped." : `${kind}: drawn by this page in ${STEPS} steps.`;
};
