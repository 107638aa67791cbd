// Sampling of one digit, step by step: the noisy image, the estimated image, and the estimated noise.
import * as kit from "../shared/kit.js";
import { samplers } from "../shared/science.js";
import { atelier } from "../shared/stage.js";

const SPACINGS = ["trailing", "leading"];

export default kit.widget(({ model, el: place }) => {
  const labels = kit.within(model, "labels", 0, 1000), [C, H, W] = model.get("size"), choices = model.get("choices");
  kit.within(model, "label", 0, labels); // the number after the last label means "no label"
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const kinds = [["x", "xₜ", "the noisy image"], ["image", "x̂₀", "the estimated image"], ["z", "ẑ", "the estimated noise"]];
  const pictures = kinds.map(() => kit.picture(H, W, "nothing drawn yet", 150)), facts = kit.facts(true);
  const names = Object.keys(samplers), longest = Math.max(...choices);
  let frames = [], steps = 0, following = false;
  /** @type {number | undefined} */
  let timer;

  const show = () => {
    const frame = frames[model.get("frame")];
    if (!frame) return;
    kinds.forEach(([part, sign, words], i) => {
      pictures[i].paint(frame[part] ?? new Float64Array(C * H * W), 0, C);
      pictures[i].say(frame[part] ? `${sign}, ${words}, at t = ${frame.t}` : "no noise at t = 0");
    });
    const largest = frame.image.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
    facts.write([["Time t:", String(frame.t)], ["Largest value in x̂₀:", kit.number(largest)]]);
  };
  // To the nearest frame that exists; the slider may be ahead of the computation.
  const go = (to) => model.set("frame", Math.max(0, Math.min(to, frames.length - 1)));
  const halt = () => {
    clearInterval(timer);
    timer = undefined;
    following = false;
    play.textContent = "Play";
    model.save_changes();
  };
  const toggled = () => {
    if (timer || following) return halt();
    if (model.get("frame") === steps) go(0);
    play.textContent = "Pause";
    timer = setInterval(() => {
      go(model.get("frame") + Math.ceil(steps / 100));
      if (model.get("frame") === steps) halt();
    }, 50);
  };
  const step = (by) => () => {
    halt();
    go(model.get("frame") + by);
    model.save_changes();
  };
  const button = (text, onclick) => kit.el("button", { type: "button", onclick }, text);
  const play = button("Play", toggled);
  const obey = () => {
    play.hidden = calm.matches;
    if (calm.matches) halt();
  };

  const named = () => (labels && model.get("label") < labels ? `a ${model.get("label")}` : "a digit");
  const work = atelier({
    model,
    traits: ["label", "seed", "sampler", "variance", "steps", "spacing", "clip"],
    next: "Draw another",
    plan: () => {
      const sampler = names[model.get("sampler")];
      steps = choices[model.get("steps")];
      const walk = {
        steps,
        label: model.get("label"),
        seed: model.get("seed"),
        sampler,
        variance: model.get("variance") ? "beta" : "beta_tilde",
        clip: model.get("clip"),
        spacing: SPACINGS[model.get("spacing")],
      };
      const where = walk.spacing === "leading" && steps < longest ? " at leading times" : "";
      return { walks: [walk], frames: steps + 1, words: `${named()} from seed ${walk.seed} by ${sampler.toUpperCase()} in ${steps} steps${where}` };
    },
    begin: () => {
      halt();
      frames = [];
      slider.limit(steps);
      variance.querySelector("select").disabled = names[model.get("sampler")] !== "ddpm";
      // With all steps there is nothing to choose.
      times.querySelector("select").disabled = steps === longest;
      following = !calm.matches;
      if (following) play.textContent = "Pause";
    },
    stopped: halt,
    // x_T first, even if the rest arrives at the same time.
    heard: (made) => {
      const first = !frames.length;
      frames.push(...made);
      if (first && model.get("frame") === 0) show();
      else if (first) go(0);
      else if (following || (calm.matches && frames.length > steps)) go(frames.length - 1);
    },
    ended: () => {
      if (following || calm.matches) go(steps);
      halt();
      return "Move the slider to see each step.";
    },
  });

  const slider = kit.slider(model, "frame", { label: "progress", min: 0, max: longest, text: (frame) => (frames[frame] ? `t = ${frames[frame].t}` : `step ${frame}`) });
  slider.limit(choices[model.get("steps")]);
  const progress = slider.querySelector("input");
  progress.addEventListener("input", () => {
    if (timer || following) halt();
    go(model.get("frame"));
  });
  progress.addEventListener("pointerdown", halt);
  const player = kit.el("div", { class: "dw-control" }, play, button("Step back", step(-1)), button("Step forward", step(1)));
  const variance = kit.choice(model, "variance", { label: "variance", options: ["beta-tilde", "beta"] });
  const times = kit.choice(model, "spacing", { label: "times", options: SPACINGS });
  const digits = [...Array.from({ length: labels }, (_, i) => String(i)), "no label"];
  kit.stage(
    place,
    "Draw a digit",
    kit.row(
      ...(labels ? [kit.choice(model, "label", { label: "label", options: digits })] : []),
      kit.slider(model, "seed", { label: "seed", min: 0, max: 99, text: String }),
      kit.choice(model, "sampler", { label: "sampler", options: names.map((name) => name.toUpperCase()) }),
      kit.choice(model, "steps", { label: "steps", options: choices.map(String) }),
      times,
      variance,
      kit.toggle(model, "clip", { label: "clip x̂₀" }),
    ),
    work.controls,
    kit.row(...kinds.map(([, sign, words], i) => kit.figure(pictures[i].canvas, `${sign}, ${words}`))),
    kit.row(slider, player),
    facts,
    work.status,
  );
  const touched = ({ target }) => timer && !player.contains(target) && halt();
  for (const event of ["pointerdown", "input"]) place.addEventListener(event, touched);
  calm.addEventListener("change", obey, { signal: model.signal });
  model.signal.addEventListener("abort", () => clearInterval(timer));
  obey();
  model.on("change:frame", show);
  return work.open();
});
