// The forward process of an image (eq-forward-closed): x_t, the histogram of its values, and the signal-to-noise ratio.
import * as kit from "./shared/kit.js";
import { alphaBar, closed, density } from "./shared/science.js";

export default kit.widget(({ model, el: place }) => {
  const [names, rules, T, shapes] = ["names", "schedules", "T", "shapes"].map((name) => model.get(name));
  const sizes = shapes.map(([c, h, w]) => c * h * w), lengths = T.map((end) => end + 1);
  const start = (parts, i) => parts.slice(0, i).reduce((a, b) => a + b, 0);
  const total = start(sizes);
  const clean = kit.images(model, "images", total);
  const z = kit.numbers(model, "noise", Int16Array, total, 1 / 4096);
  const beta = kit.numbers(model, "beta", Float32Array, start(lengths));
  const bars = T.map((_, i) => alphaBar(beta.slice(start(lengths, i), start(lengths, i + 1))));
  const snrs = bars.map((bar) => bar.map((share) => share / (1 - share)));

  // One canvas for each image, because sizes differ.
  const pictures = shapes.map(([, h, w]) => kit.picture(h, w, "", 224));
  const shown = kit.el("div");
  // What x_t is made of, beside it: the image and its noise, which t does not change.
  const parts = shapes.map(([c, h, w], i) =>
    Object.entries({ "x₀": clean, z }).map(([part, values]) => {
      const { canvas, paint } = kit.picture(h, w, `${part} of ${names[i]}`, 105);
      paint(values, start(sizes, i), c);
      return kit.figure(canvas, part);
    }),
  );
  const x = new Float64Array(Math.max(...sizes)), counts = new Float64Array(41);
  const edges = Array.from({ length: 42 }, (_, i) => i / 5 - 4.1);
  const near = kit.plot({ x: [-4, 4], y: [0, 1], xlabel: "value", ylabel: "density (cut at 1)", label: "" });
  const heights = near.bars("dw-1");
  near.line("dw-exact")(edges, edges.map((v) => density(v)));

  const decade = (v) => Math.floor(Math.log10(Math.min(1e12, Math.max(1e-12, v))));
  const low = decade(Math.min(...snrs.map((snr) => snr.at(-1)))), high = decade(Math.max(...snrs.map((snr) => snr[1]))) + 1;
  const fall = kit.plot({
    x: [0, Math.max(...T)], y: [10 ** low, 10 ** high], logy: true, xlabel: "t", ylabel: "signal-to-noise ratio", label: "",
  });
  // Without t = 0, where the ratio is infinite.
  const curves = snrs.map((snr, i) => {
    fall.line("dw-2 dw-dash")(snr.map((_, t) => t).subarray(1), snr.subarray(1));
    fall.svg.lastChild.style.strokeDasharray = 2 + 5 * i;
    return fall.svg.lastChild.getAttribute("points");
  });
  const chosen = fall.add("polyline", "dw-line dw-2"), point = fall.add("polygon", "dw-marker dw-2");

  const time = kit.slider(model, "t", { label: "time t", min: 0, max: Math.max(...T) });
  const facts = kit.facts();
  // One line for each fact, so that the layout does not change.
  facts.style.display = "block";
  let image, rule;

  const draw = () => {
    const i = kit.within(model, "image_number", 0, pictures.length - 1);
    const s = kit.within(model, "schedule_number", 0, T.length - 1), t = model.get("t");
    if (rule !== s) {
      rule = s;
      time.limit(T[s]);
      chosen.setAttribute("points", curves[s]);
    }
    if (t > T[s]) {
      model.set("t", T[s]);
      model.save_changes();
      return;
    }
    const picture = pictures[i];
    if (image !== i) shown.replaceChildren(kit.figure(picture.canvas, "xₜ"), kit.row(...parts[(image = i)]));

    const n = sizes[i], offset = start(sizes, i), { signal, spread, noised } = closed(bars[s][t]);
    let sum = 0, squares = 0;
    counts.fill(0);
    for (let k = 0; k < n; k++) {
      const v = (x[k] = noised(clean[offset + k], z[offset + k]));
      sum += v;
      squares += v ** 2;
      // A typed array ignores an index outside it.
      counts[Math.floor((v + 4.1) * 5)]++;
    }
    picture.paint(x, 0, shapes[i][0]);
    heights(edges, counts.map((count) => (count * 5) / n));
    const px = fall.px(t), py = Math.max(-99, fall.py(snrs[s][t]));
    point.setAttribute("points", [px - 6, py, px, py - 6, px + 6, py, px, py + 6].map((v) => v.toFixed(1)).join(" "));
    const [a, b, mean, deviation] = [signal, spread, sum / n, Math.sqrt(Math.max(0, squares / n - (sum / n) ** 2))].map((v) => kit.number(v));
    const ratio = t ? kit.number(snrs[s][t]) : "infinite";
    facts.write([["Weights √ᾱ, √(1 − ᾱ):", `${a}, ${b}`], ["SNR:", ratio], ["Mean, deviation:", `${mean}, ${deviation}`]]);
    picture.say(`${names[i]} at t = ${t}: weight ${a} of the image, ${b} of the noise.`);
    near.say(`Histogram of its ${n} values beside a standard Gaussian: mean ${mean}, deviation ${deviation}.`);
    fall.say(`Signal-to-noise ratio over t, schedule ${rules[s]}: ${ratio} at t = ${t}.`);
  };

  const chooser = (name, label, options) => (options.length > 1 ? [kit.choice(model, name, { label, options })] : []);
  kit.stage(
    place,
    "From an image to noise",
    kit.row(
      shown,
      kit.el(
        "div",
        { style: "flex: 1 1 16rem; min-width: 0" },
        ...chooser("image_number", "image", names),
        ...chooser("schedule_number", "schedule", rules),
        time,
        facts,
      ),
    ),
    kit.row(near.svg, fall.svg),
    kit.legend([["dw-1", "values of the image"], ["dw-exact", "standard Gaussian"], ["dw-2", `SNR (dashes, short to long: ${rules.join(", ")})`]]),
  );
  kit.follow(model, ["image_number", "schedule_number", "t"], draw);
});
