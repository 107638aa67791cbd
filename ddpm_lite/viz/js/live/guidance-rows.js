// A row of digits for every label, all drawn at one scale of guidance.
import * as kit from "../shared/kit.js";
import { atelier } from "../shared/stage.js";

export default kit.widget(({ model, el: place }) => {
  const labels = kit.within(model, "labels", 1, 1000), [C, H, W] = model.get("size"), n = kit.within(model, "count", 2, 100);
  const scales = model.get("scales"), choices = model.get("choices"), wide = n * (W + 1) - 1;
  const rows = Array.from({ length: labels }, () => ({ values: new Float64Array(C * H * wide), picture: kit.picture(H, wide, "nothing drawn yet", 4.5 * wide) }));
  const facts = kit.facts();
  let ends = [];

  // An image into its place in a row.
  const place_in = ({ values }, image, column) => {
    for (let c = 0; c < C; c++) {
      for (let y = 0; y < H; y++) {
        for (let x = 0; x < W; x++) values[(c * H + y) * wide + column * (W + 1) + x] = image[(c * H + y) * W + x];
      }
    }
  };
  const named = (i) => `w = ${kit.number(scales[i])}`;
  const work = atelier({
    model,
    traits: ["chosen", "seed", "steps"],
    next: "Draw others",
    // Column by column, so that soon every label has an image. All labels of a column get the same noise.
    plan: () => {
      const steps = choices[model.get("steps")], walks = [];
      for (let column = 0; column < n; column++) {
        for (let label = 0; label < labels; label++) {
          walks.push({ label, steps, seed: model.get("seed") * n + column, scale: scales[model.get("chosen")] });
        }
      }
      return { walks, frames: walks.length * (steps + 1), words: `${n} of each label at ${named(model.get("chosen"))} in ${steps} steps` };
    },
    begin: () => {
      ends = [];
    },
    heard: (frames) => {
      for (const { which, t, x } of frames) {
        if (t > 0) continue;
        const row = rows[which % labels];
        place_in(row, x, Math.floor(which / labels));
        row.picture.paint(row.values, 0, C);
        row.picture.say(`Label ${which % labels}: images drawn at ${named(model.get("chosen"))}`);
        ends.push(x);
      }
      facts.write([["Images:", String(ends.length)]]);
    },
    // The mean difference between the images of a label and its first one.
    ended: () => {
      let sum = 0;
      ends.slice(labels).forEach((x, i) => x.forEach((v, k) => (sum += Math.abs(v - ends[i % labels][k]))));
      const apart = sum / (labels * (n - 1) * C * H * W);
      facts.write([["Images:", String(ends.length)], ["Mean difference within a label, per pixel:", kit.number(apart, 3)]]);
      return "";
    },
  });

  kit.stage(
    place,
    "Samples with guidance",
    kit.row(
      kit.slider(model, "chosen", { label: "scale", min: 0, max: scales.length - 1, text: named }),
      kit.slider(model, "seed", { label: "seed", min: 0, max: 99, text: String }),
      kit.choice(model, "steps", { label: "steps", options: choices.map(String) }),
    ),
    work.controls,
    kit.row(...rows.map(({ picture }, label) => kit.figure(picture.canvas, `label ${label}`))),
    facts,
    work.status,
  );
  return work.open();
});
