// Sampling, frame by frame: x_t, and the network's estimate of the image.
import * as kit from "./shared/kit.js";

export default kit.widget(({ model, el: place }) => {
  const times = model.get("times"), n = model.get("count"), [C, H, W] = model.get("size");
  const size = C * H * W, last = times.length - 1;
  const kinds = [["x_t", "xₜ", "the noisy image"], ["x_0_hat", "x̂₀", "the estimated image"]].map(([trait, sign, words]) => {
    const values = kit.images(model, trait, (last + 1) * n * size);
    const pictures = Array.from({ length: n }, () => kit.picture(H, W, ""));
    const strip = kit.el("div", { class: "dw-strip" }, ...pictures.map((one) => one.canvas));
    return { values, pictures, words, figure: kit.figure(strip, `${sign}, ${words}`) };
  });
  const facts = kit.facts();

  const draw = () => {
    const frame = model.get("frame"), one = model.get("sample"), t = times[frame];
    for (const { values, pictures, words } of kinds) {
      pictures.forEach((picture, i) => {
        picture.canvas.hidden = one > 0 && i !== one - 1;
        if (picture.canvas.hidden) return;
        picture.paint(values, (frame * n + i) * size, C);
        picture.say(`Sample ${i + 1} at t = ${t}: ${words}`);
      });
    }
    const [seen, thought] = kinds.map((kind) => kind.values);
    const first = one ? (one - 1) * size : 0, count = one ? size : n * size;
    let apart = 0;
    for (let k = first; k < first + count; k++) apart += Math.abs(thought[frame * n * size + k] - seen[last * n * size + k]);
    facts.write([["Time t:", String(t)], ["Mean distance of x̂₀ from the end, per pixel:", kit.number(apart / count)]]);
  };

  const options = ["all samples", ...Array.from({ length: n }, (_, i) => `sample ${i + 1}`)];
  kit.stage(
    place,
    "From noise to images",
    kit.row(
      kit.slider(model, "frame", { label: "progress", min: 0, max: last, text: (frame) => `t = ${times[frame]}` }),
      kit.player(model, "frame", { first: 0, last, pace: 10 }),
      kit.choice(model, "sample", { label: "show", options }),
    ),
    ...kinds.map((kind) => kind.figure),
    facts,
  );
  kit.follow(model, ["frame", "sample"], draw);
});
