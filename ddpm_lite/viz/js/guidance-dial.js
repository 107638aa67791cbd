// The effect of guidance: recorded samples of one label at one scale, and what was measured at that scale.
import * as kit from "./shared/kit.js";

export default kit.widget(({ model, el: place }) => {
  const labels = model.get("labels"), scales = model.get("scales"), n = model.get("count"), measured = model.get("measured");
  const [C, H, W] = model.get("size"), size = C * H * W;
  const values = kit.images(model, "images", labels * scales.length * n * size);
  const pictures = Array.from({ length: n }, () => kit.picture(H, W, ""));
  const strip = kit.el("div", { class: "dw-strip" }, ...pictures.map((one) => one.canvas));
  const shown = kit.figure(strip, ""), facts = kit.facts();
  const named = (i) => `w = ${kit.number(scales[i])}`;

  const draw = () => {
    const label = model.get("label"), i = model.get("chosen"), w = scales[i];
    pictures.forEach((picture, k) => {
      picture.paint(values, ((label * scales.length + i) * n + k) * size, C);
      picture.say(`Sample ${k + 1}: label ${label}, ${named(i)}`);
    });
    const how = w === -1 ? "unconditional" : w ? "guided" : "conditional, no guidance";
    shown.lastChild.textContent = `Label ${label}, ${named(i)}: ${how}`;
    const row = measured[i], scale = ["s = w + 1:", kit.number(w + 1)];
    if (!measured.some((one) => one.length)) return facts.write([scale]);
    const [right, varied, far] = row.length ? [`${kit.number(row[0] * 100)} %`, ...row.slice(1).map((v) => kit.number(v))] : Array(3).fill("not measured");
    facts.write([scale, ["Label agreement:", right], ["Diversity:", varied], ["Distance:", far]]);
  };

  kit.stage(
    place,
    "Guidance by label and scale",
    kit.row(
      kit.slider(model, "label", { label: "label", min: 0, max: labels - 1, text: String }),
      kit.slider(model, "chosen", { label: "scale", min: 0, max: scales.length - 1, text: named }),
    ),
    shown,
    facts,
  );
  kit.follow(model, ["label", "chosen"], draw);
});
