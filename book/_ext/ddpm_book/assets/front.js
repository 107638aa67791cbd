// The first page's walk: recorded pictures that play once, a slider through them, and clothes that the page itself draws.
(() => {
  const box = document.querySelector(".front-walk");
  if (!box) return;
  const data = box.querySelector(".front-data").dataset, recorded = JSON.parse(data.times);
  const root = document.documentElement.dataset.content_root + "_static/";
  const canvas = box.querySelector(".front-canvas"), paper = canvas.getContext("2d");
  const slider = box.querySelector("input"), shown = box.querySelector("output");
  const [play, back, draw, status] = ["play", "back", "draw", "status"].map((name) => box.querySelector(`.front-${name}`));
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const STEPS = 25, PACE = 60; // steps of a walk that is drawn here, and milliseconds that each is shown again
  let timer, busy = false, stop = false;

  // What is shown: the times, what the picture is, and a function that paints one of its frames.
  const boot = { times: recorded, what: "an ankle boot", paint: () => {} };
  let walk = boot;

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

  const first = () => (calm.matches ? show(recorded.length - 1) : start(0));

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
    boot.paint = (frame) => {
      canvas.width = canvas.height = side;
      paper.drawImage(sheet, (frame % 10) * side, Math.floor(frame / 10) * side, side, side, 0, 0, side, side);
    };
    first();
  };
  sheet.src = root + data.sheet;
  back.addEventListener("click", () => {
    walk = boot;
    slider.max = String(recorded.length - 1);
    back.hidden = true;
    status.textContent = "";
    box.classList.remove("drawn");
    (calm.matches ? draw : play).focus();
    first();
  });

  // Clothes, drawn here by draw.js, which a press loads; another press stops it.
  const loaded = {};
  const load = (name) =>
    (loaded[name] ??= new Promise((done, failed) => {
      const tag = document.createElement("script");
      tag.src = `${root}${name}.js`;
      tag.onload = done;
      tag.onerror = () => {
        delete loaded[name];
        tag.remove();
        failed(new Error(`${name}.js could not be loaded. Press again to try once more.`));
      };
      document.head.append(tag);
    }));
  draw.addEventListener("click", async () => {
    stop = busy;
    if (busy) return;
    busy = back.hidden = true;
    halt();
    status.textContent = "Loading the network.";
    draw.textContent = "Stop";
    try {
      await load("widgets/live/draw");
      const begin = (next) => {
        walk = next;
        slider.max = String(STEPS);
        box.classList.add("drawn");
      };
      await window.ddpmDraw({ begin, calm, canvas, data, load, paper, show, status, stopped: () => stop, STEPS });
    } catch (error) {
      status.textContent = error.message;
    }
    busy = false;
    slider.max = String(walk.times.length - 1); // fewer, if it was stopped
    draw.textContent = "Draw another";
    back.hidden = walk === boot;
  });
})();
