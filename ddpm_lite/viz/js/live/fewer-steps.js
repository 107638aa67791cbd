// Sampling from the same noise with few steps and with many.
import * as kit from "../shared/kit.js";
import { atelier } from "../shared/stage.js";

export default kit.widget(({ model, el: place }) => {
  const labels = kit.within(model, "labels", 0, 1000), [C, H, W] = model.get("size"), choices = model.get("choices");
  kit.within(model, "label", 0, labels); // the number after the last label means "no label"
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  /** @type {[string, { sampler: string, variance?: string }][]} */
  const ways = [["DDIM", { sampler: "ddim" }], ["DDPM, beta-tilde", { sampler: "ddpm" }], ["DDPM, beta", { sampler: "ddpm", variance: "beta" }]];
  const pictures = choices.map(() => kit.picture(H, W, "nothing drawn yet", 130)), facts = kit.facts();
  let ends = [];

  const work = atelier({
    model,
    traits: ["label", "seed", "sampler"],
    next: "Draw another",
    plan: () => {
      const [name, way] = ways[model.get("sampler")];
      const walks = choices.map((steps) => ({ ...way, steps, seed: model.get("seed"), label: model.get("label") }));
      return { walks, frames: choices.reduce((a, b) => a + b + 1, 0), words: `seed ${model.get("seed")} by ${name} in ${choices.join(", ")} steps` };
    },
    begin: () => {
      ends = [];
      facts.write([]);
    },
    // The newest frame of every walk; with reduced motion, only the last.
    heard: (frames) => {
      frames.forEach(({ which, t, x }, i) => {
        if (t && (calm.matches || frames[i + 1]?.which === which)) return;
        pictures[which].paint(x, 0, C);
        pictures[which].say(t ? `Noisy image at t = ${t}` : `Image after ${choices[which]} steps`);
        if (!t) ends[which] = x;
      });
    },
    ended: () => {
      const last = ends.at(-1), far = (x) => x.reduce((sum, v, i) => sum + Math.abs(v - last[i]), 0) / x.length;
      facts.write(choices.slice(0, -1).map((steps, i) => [`${steps} steps, mean difference from ${choices.at(-1)}:`, kit.number(far(ends[i]), 3)]));
      return "";
    },
  });

  const digits = [...Array.from({ length: labels }, (_, i) => String(i)), "no label"];
  kit.stage(
    place,
    "The same noise with few and many steps",
    kit.row(
      ...(labels ? [kit.choice(model, "label", { label: "label", options: digits })] : []),
      kit.slider(model, "seed", { label: "seed", min: 0, max: 99, text: String }),
      kit.choice(model, "sampler", { label: "sampler", options: ways.map(([name]) => name) }),
    ),
    work.controls,
    kit.row(...choices.map((steps, i) => kit.figure(pictures[i].canvas, `${steps} steps`))),
    facts,
    work.status,
  );
  return work.open();
});
