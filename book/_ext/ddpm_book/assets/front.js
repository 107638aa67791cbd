// The first page's walk: recorded pictures that play once, a slider through them, and digits that the page itself draws.
(() => {
  const box = document.querySelector(".front-walk");
  if (!box) return;
  const data = box.querySelector(".front-data").dataset, recorded = JSON.parse(data.times);
  const root = document.documentElement.dataset.content_root + "_static/";
  const canvas = box.querySelector(".front-canvas"), paper = canvas.getContext("2d");
  const slider = box.querySelector("input"), shown = box.querySelector("output");
  const play = box.querySelector(".front-play"), draw = box.querySelector(".front-draw"), status = box.querySelector(".front-status");
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const STEPS = 50, PACE = 45; // steps of a digit's walk, and milliseconds that each is shown
  let timer, busy = false;

  // What is shown: the times, what the picture is, and a function that paints one of its frames.
  let walk = { times: recorded, what: "an ankle boot", paint: () => {} };

  const show = (frame) => {
    const words = `t = ${walk.times[frame]}`;
    walk.paint(frame);
    slider.value = String(frame);
    shown.textContent = words;
    slider.setAttribute("aria-valuetext", words);
    const end = frame === walk.times.length - 1;
    canvas.setAttribute("aria-label", end ? `A picture that the network drew: ${walk.what}` : `The noisy image at ${words}`);
  };
  const halt = () => {
    clearTimeout(timer);
    timer = undefined;
    play.setAttribute("aria-label", "Play");
  };
  // When a frame of the walk is shown, in milliseconds from its beginning. Half of a recorded walk is noise to the eye,
  // and passes quickly. The clock decides, so that a slow machine shows fewer frames instead of a longer walk.
  const due = (frame) => {
    if (walk.times.length <= STEPS + 1) return PACE * frame;
    const fast = walk.times.filter((t) => t > 480).length;
    return frame < fast ? 22 * frame : 22 * fast + 65 * (frame - fast);
  };
  const start = (from) => {
    halt();
    play.setAttribute("aria-label", "Pause");
    const began = performance.now() - due(from), last = walk.times.length - 1;
    let frame = from;
    const step = () => {
      while (frame < last && due(frame + 1) <= performance.now() - began) frame++;
      show(frame);
      if (frame < last) timer = setTimeout(step, 20);
      else halt();
    };
    step();
  };

  slider.addEventListener("input", () => {
    if (busy) return;
    halt();
    show(Number(slider.value));
  });
  play.addEventListener("click", () => {
    if (busy) return;
    if (timer) halt();
    else start(Number(slider.value) + 1 < walk.times.length ? Number(slider.value) : 0);
  });

  const sheet = new Image();
  sheet.onload = () => {
    const side = sheet.width / 10;
    canvas.width = canvas.height = side;
    walk.paint = (frame) => paper.drawImage(sheet, (frame % 10) * side, Math.floor(frame / 10) * side, side, side, 0, 0, side, side);
    if (calm.matches) show(recorded.length - 1);
    else start(0);
  };
  sheet.src = root + data.sheet;

  // ---- A digit, sampled here. The network's file passes its name, a checksum and its text to `file`.
  const files = {}, loaded = {};
  (window.ddpmWidgets ??= {}).file ??= (name, sum, text) => (files[name] = { sum, text });
  const load = (name) =>
    (loaded[name] ??= new Promise((done, failed) => {
      const tag = document.createElement("script");
      tag.src = `${root}widgets/${name}.js`;
      tag.onload = done;
      tag.onerror = () => {
        delete loaded[name];
        tag.remove();
        failed(new Error(`${name}.js could not be loaded. Press again to try once more.`));
      };
      document.head.append(tag);
    }));
  let network, seed = Math.floor(Math.random() * 100);

  const paintGrey = (values) => {
    const side = Math.sqrt(values.length);
    if (canvas.width !== side) canvas.width = canvas.height = side;
    const image = paper.createImageData(side, side);
    values.forEach((value, i) => {
      const grey = Math.round(((Math.max(-1, Math.min(1, value)) + 1) / 2) * 255);
      image.data.set([grey, grey, grey, 255], 4 * i);
    });
    paper.putImageData(image, 0, 0);
  };

  const digit = async () => {
    if (busy) return;
    busy = true;
    halt();
    status.textContent = "Loading the network.";
    try {
      await load("live/draw");
      await load("networks/digits-by-label");
      network ??= window.ddpmDraw.network(files["digits-by-label"]);
      seed = (seed + 1) % 100;
      const label = Math.floor(Math.random() * 10), frames = [];
      walk = { times: [], what: `a ${label}`, paint: (frame) => paintGrey(frames[frame]) };
      slider.max = String(STEPS);
      box.classList.add("drawn");
      status.textContent = `Drawing a ${label}.`;
      // One evaluation of the network for each picture that is shown.
      for (const { t, x } of window.ddpmDraw.drawing(network, { steps: STEPS, seed, label, sampler: "ddim", clip: true })) {
        frames.push(Float64Array.from(x));
        walk.times.push(t);
        if (!calm.matches) {
          show(frames.length - 1);
          await new Promise((done) => setTimeout(done, PACE));
        }
      }
      show(frames.length - 1);
      status.textContent = `A ${label}, drawn by this page in ${STEPS} steps.`;
      draw.textContent = "Draw another digit";
    } catch (error) {
      status.textContent = error.message;
    }
    busy = false;
  };
  draw.addEventListener("click", digit);
})();
