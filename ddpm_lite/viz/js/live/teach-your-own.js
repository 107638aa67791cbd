// A set of the reader's own pictures, and a small U-Net that learns it in the page: samples beside their nearest pictures.
import { hireTeam } from "../shared/hire.js";
import * as kit from "../shared/kit.js";
import { pad as makePad } from "../shared/pad.js";
import * as pixels from "../shared/pixels.js";
import text from "worker:../shared/set-worker.js";

const { SIDE, COUNT, MOST } = pixels, SAMPLES = 8, FIRST = 5, BLANK = "A".repeat(COUNT), SHOWN = 60, COLUMNS = 12;
const EMPTY = "The set is empty: add a picture or choose a set.";

const button = (/** @type {string} */ words, /** @type {() => void} */ onclick) => kit.el("button", { type: "button", onclick }, words);
const controls = (/** @type {any[]} */ ...parts) => kit.el("div", { class: "dw-control" }, ...parts);

// The set as one sheet of small pictures.
const makeSheet = () => {
  const cell = SIDE + 1, width = COLUMNS * cell + 1, height = Math.ceil(SHOWN / COLUMNS) * cell + 1;
  const { canvas, paint, say } = kit.picture(height, width, "", 3 * width), sheet = new Float32Array(width * height);
  const draw = (/** @type {string[]} */ set) => {
    sheet.fill(-0.2);
    set.slice(0, SHOWN).forEach((picture, n) => {
      const x = (n % COLUMNS) * cell, y = Math.floor(n / COLUMNS) * cell;
      pixels.values(picture).forEach((v, i) => (sheet[(y + 1 + Math.floor(i / SIDE)) * width + x + 1 + (i % SIDE)] = v));
    });
    paint(sheet);
    say(`The set: the first ${SHOWN} of ${set.length} pictures`);
  };
  return { canvas, draw };
};

// The pictures that the reader gathers: the pad, the set, and what fills it.
const gather = (/** @type {{ ready: string[], digits: string[], place: HTMLElement, changed: () => void }} */ { ready, digits, place, changed }) => {
  /** @type {string[]} */
  let set = [];
  let open = -1;
  const pad = makePad(() => {}), sheet = makeSheet(), said = kit.el("p", { role: "status" });
  const say = (/** @type {string} */ words) => {
    kit.tell(said, words);
  };
  const show = (/** @type {string} */ words) => {
    sheet.draw(set);
    say(`${words} The set has ${set.length} of at most ${MOST} pictures${open >= 0 ? `; number ${open + 1} is in the grid` : ""}.`);
  };
  const replace = (/** @type {string[]} */ pictures, words = "") => {
    set = pictures.slice(0, MOST);
    open = -1;
    changed();
    show(words);
  };
  const add = (/** @type {string[]} */ pictures, /** @type {string} */ words) => replace([...set, ...pictures], words);
  const guard = (/** @type {() => Promise<void>} */ work) => work().catch((error) => say(error.message));
  const keep = () => {
    if (pad.picture() === BLANK) return say("The grid is empty: draw something first.");
    add([pad.picture()], "Added.");
    pad.put(BLANK);
  };
  const flip = () => {
    if (!set.length) return say(EMPTY);
    open = (open + 1) % set.length;
    pad.put(set[open]);
    show("");
  };
  const remove = () => {
    if (open < 0) return say("First press Next.");
    pad.put(BLANK);
    replace(set.filter((_, n) => n !== open), "Removed.");
  };
  const images = (/** @type {Blob[]} */ blobs) => guard(async () => add(await Promise.all(blobs.map(pixels.fromImage)), "Added."));
  const save = () => {
    if (!set.length) return say(EMPTY);
    kit.el("a", { href: `data:application/json,${encodeURIComponent(pixels.writeSet(set))}`, download: "my-pictures.json" }).click();
    say("Saved as my-pictures.json.");
  };
  const picker = (/** @type {string} */ words, /** @type {string} */ accept, /** @type {(files: File[]) => void} */ chosen) => {
    const input = kit.el("input", { type: "file", accept, multiple: accept !== ".json", hidden: true, "aria-label": words, onchange: () => {
      chosen([...input.files]);
      input.value = "";
    } });
    return [button(words, () => input.click()), input];
  };
  const load = (/** @type {File[]} */ [file]) => file && guard(async () => replace(pixels.readSet(await file.text()), "Opened."));
  const signs = kit.el("input", { type: "text", "aria-label": "letters, symbols or emoji", size: 9, value: "☀☂★♥" });
  const write = () => {
    const found = pixels.splitSigns(signs.value), font = getComputedStyle(place).fontFamily;
    if (found.length) add(found.map((sign) => pixels.fromSign(sign, font)), "Added.");
    else say("Type some signs first.");
  };
  /** @type {[string, () => void][]} */
  const kinds = [
    ["a ready set …", () => {}],
    ["eight letters", () => replace(ready)],
    ...[8, 30, 100, 300].map((n) => /** @type {[string, () => void]} */ ([`the first ${n} digits`, () => replace(digits.slice(0, n))])),
  ];
  const choice = kit.el("select", { "aria-label": "ready sets", oninput: () => {
    kinds[choice.value][1]();
    choice.value = 0;
  } }, ...kinds.map(([words], n) => kit.el("option", { value: n }, words)));
  place.addEventListener("paste", (event) => {
    const blobs = [...(event.clipboardData?.files ?? [])];
    if (!blobs.length) return;
    event.preventDefault();
    images(blobs);
  });
  sheet.draw(set);
  return {
    set: () => set,
    part: kit.row(
      kit.el("div", {}, pad.square, controls(button("Add to the set", keep), button("Clear", () => pad.put(BLANK)))),
      kit.el(
        "div",
        { style: "flex: 1 1 20rem; min-width: 0" },
        sheet.canvas,
        controls(button("Next", flip), button("Remove", remove), button("Empty the set", () => replace([]))),
        controls(choice, signs, button("Add these signs", write)),
        controls(...picker("Add images", "image/*", images), ...picker("Open a set", ".json", load), button("Save the set", save)),
        said,
      ),
    ),
  };
};

// Eight pairs: a sample above, and below it the nearest picture of the set.
const makePairs = (/** @type {number} */ limit) => {
  const pairs = Array.from({ length: SAMPLES }, () => {
    const { canvas, paint, say } = kit.picture(2 * SIDE + 1, SIDE, "no sample yet", 64), figure = kit.figure(canvas, "");
    return { paint, say, figure, caption: figure.querySelector("figcaption") };
  });
  const blank = new Float32Array((2 * SIDE + 1) * SIDE).fill(-1);
  let clean = false;
  const put = (/** @type {Float64Array} */ samples, /** @type {number[][]} */ pictures) => pairs.reduce((copies, { paint, say, caption }, n) => {
    clean = false;
    const sample = samples.subarray(n * COUNT, (n + 1) * COUNT), { which, apart } = pixels.nearest(sample, pictures);
    paint([...sample, ...Array(SIDE).fill(0), ...pictures[which]]);
    const verdict = apart < limit ? "copy" : "no copy";
    caption.textContent = `${apart.toFixed(2)}, ${verdict}`;
    say(`A sample; picture ${which + 1} is nearest, at a distance of ${apart.toFixed(2)}: ${verdict}`);
    return copies + Number(apart < limit);
  }, 0);
  // The blank ones stay as they are.
  const clear = () => {
    if (clean) return;
    clean = true;
    pairs.forEach(({ paint, say, caption }) => {
      paint(blank);
      say("no sample yet");
      caption.textContent = "";
    });
  };
  return { row: kit.row(...pairs.map(({ figure }) => figure)), put, clear };
};

export default kit.widget(async ({ model, el: place }) => {
  const [steps, every, batch] = ["steps", "every", "batch"].map((name) => kit.within(model, name, 1, 10000));
  kit.within(model, "seed", 0, 99);
  const rate = kit.within(model, "rate", 0, 1, false), limit = kit.within(model, "limit", 0, 2, false), ready = [...model.get("letters")];
  const pairs = makePairs(limit), note = kit.el("p"), status = kit.el("p", { role: "status" });
  /** @type {{ job: number, running: boolean, losses: number[], pictures: number[][], spent: number, since: number, verdict: string }} */
  const run = { job: 0, running: false, losses: [], pictures: [], spent: 0, since: 0, verdict: "" };
  const say = (/** @type {string} */ words) => {
    kit.tell(status, words);
  };
  const seconds = () => (run.spent + (run.running && !document.hidden ? performance.now() - run.since : 0)) / 1000;
  const left = () => `${Math.ceil((seconds() * (steps - run.losses.length)) / run.losses.length)} s`;
  const loss = () => {
    const few = run.losses.slice(-10);
    return kit.number(few.reduce((a, b) => a + b) / few.length, 2);
  };
  const turn = (/** @type {boolean} */ on) => {
    run.spent = 1000 * seconds();
    run.since = performance.now();
    run.running = on;
    kit.tell(learn, on ? "Pause" : run.losses.length && run.losses.length < steps ? "Go on" : "Learn this set");
    kit.busy(learn, on);
    tell({ go: on && !document.hidden });
  };
  const draw = () => {
    const done = run.losses.length;
    kit.tell(note, done < FIRST ? "" : `Step ${done} of ${steps}, loss ${loss()}, about ${left()} to come.`);
  };
  const judge = (/** @type {number} */ step, /** @type {Float64Array} */ samples) => {
    const copies = pairs.put(samples, run.pictures);
    run.verdict = `After ${step} steps ${copies} of ${SAMPLES} samples are copies: nearer than ${limit} to a picture of the set.`;
    say(run.verdict);
  };
  const reset = () => {
    run.job++;
    Object.assign(run, { losses: [], spent: 0, verdict: "", running: false });
    turn(false);
    pairs.clear();
    draw();
    say("The weights are random.");
  };
  const heard = ({ job = run.job, news, done, error }) => {
    if (job !== run.job) return;
    for (const { step, loss: one, samples } of news) {
      if (one !== undefined) run.losses.push(one);
      if (run.losses.length === FIRST && one !== undefined) say(`Learning ${run.pictures.length} pictures. By its first steps this will take about ${left()} more.`);
      if (samples) judge(step, samples);
    }
    if (done) turn(false);
    draw();
    if (error) say(error);
    else if (done) say(`Done in ${seconds().toFixed(0)} s. ${run.verdict}`);
  };
  const toggle = () => {
    if (run.running) {
      turn(false);
      return say(`Paused after step ${run.losses.length}.`);
    }
    const set = own.set();
    if (!set.length) return say(EMPTY);
    if (run.losses.length === steps) reset();
    if (!run.losses.length) {
      run.job++;
      run.pictures = set.map(pixels.values);
      tell({ job: run.job, settings: { pictures: set, seed: model.get("seed"), steps, every, rate } });
      say(`Learning. The time is known after ${FIRST} steps.`);
    } else say("Learning.");
    turn(true);
  };
  document.addEventListener("visibilitychange", () => {
    if (!run.running) return;
    if (document.hidden) run.spent += performance.now() - run.since;
    run.since = performance.now();
    tell({ go: !document.hidden });
  }, { signal: model.signal });

  const learn = button("Learn this set", toggle);
  const { tell, about } = await hireTeam(model, text, "ddpmTeachSet", heard, { batch });
  const digits = about.digits.match(/.{64}/g), own = gather({ ready, digits, place, changed: reset });
  kit.stage(
    place,
    "A network that learns your pictures",
    kit.el("p", {}, "Draw pictures and add them to the set; or choose a ready set, type signs, or paste an image. Nothing is sent, or stored unless you save the set."),
    own.part,
    controls(learn, button("Cancel", reset)),
    note,
    status,
    kit.el("p", {}, "Samples, each above its nearest picture, with the root-mean-square distance per pixel:"),
    pairs.row,
  );
  model.on("change:seed", reset);
  reset();
});
