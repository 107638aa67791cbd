// The attention of one pixel. Each row of weights is sent as bytes; divided by its sum, it adds up to 1.
import * as kit from "./shared/kit.js";

export default kit.widget(({ model, el: place }) => {
  const times = model.get("times"), layers = model.get("layers"), [C, H, W] = model.get("size");
  const images = kit.images(model, "images", times.length * C * H * W);
  const starts = [];
  let total = 0;
  for (const [, heads, h, w, tokens] of layers) {
    starts.push(total);
    total += times.length * heads * h * w * (tokens || h * w);
  }
  const maps = kit.numbers(model, "maps", Uint8Array, total);
  const facts = kit.facts(), most = Math.max(...layers.map((layer) => layer[4]));
  const bars = Array.from({ length: most }, (_, i) => {
    const name = `token ${i + 1}`, bar = kit.el("progress", { max: 1, "aria-label": name }), word = kit.el("span");
    return { bar, word, line: kit.el("div", { class: "dw-control" }, name, bar, word) };
  });
  const seen = kit.picture(H, W, "", 224), map = kit.picture(H, W, "", 224);
  const values = new Float64Array(H * W);

  // A picture with a frame around the query pixel, which a pointer or the arrow keys move.
  const set = (row, column) => {
    model.set("row", Math.min(H - 1, Math.max(0, Math.floor(row))));
    model.set("column", Math.min(W - 1, Math.max(0, Math.floor(column))));
    model.save_changes();
  };
  const point = (event) => {
    const box = pick.getBoundingClientRect();
    set(((event.clientY - box.top) / box.height) * H, ((event.clientX - box.left) / box.width) * W);
  };
  const press = (event) => {
    const key = ["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight"].indexOf(event.key);
    if (key < 0) return;
    event.preventDefault();
    const by = key % 2 ? 1 : -1;
    set(model.get("row") + (key < 2 ? by : 0), model.get("column") + (key < 2 ? 0 : by));
  };
  const framed = (picture, attributes) => {
    const frame = kit.el("div", { class: "dw-cell", style: "forced-color-adjust: none" });
    return [kit.el("div", { class: "dw-pick", ...attributes }, picture.canvas, frame), frame];
  };
  const [pick, here] = framed(seen, {
    tabindex: 0, role: "application", "aria-label": "The query pixel: move it with the arrow keys",
    "data-lm-suppress-shortcuts": "true", onkeydown: press,
    // A finger chooses with a tap, and scrolls the page.
    onclick: point, onpointermove: (event) => event.buttons && event.pointerType !== "touch" && point(event),
  });
  const [looked, there] = framed(map, {});
  const left = kit.figure(pick, ""), right = kit.figure(looked, "");
  const head = kit.slider(model, "head", { label: "head", min: 0, max: Math.max(...layers.map((layer) => layer[1])) - 1, text: (v) => String(v + 1) });

  const draw = () => {
    const layer = model.get("layer"), frame = model.get("frame"), t = times[frame], h0 = model.get("head");
    const [name, heads, h, w, tokens] = layers[layer], keys = tokens || h * w;
    if (h0 >= heads) {
      model.set("head", heads - 1);
      model.save_changes();
      return;
    }
    head.limit(heads - 1);
    head.hidden = heads === 1;
    const tall = H / h, wide = W / w, row = Math.floor(kit.within(model, "row", 0, H - 1) / tall), column = Math.floor(kit.within(model, "column", 0, W - 1) / wide);
    const start = starts[layer] + (frame * heads + h0) * h * w * keys;
    const asked = (query) => {
      const part = maps.subarray(start + query * keys, start + (query + 1) * keys);
      const sum = part.reduce((a, b) => a + b, 0);
      return part.map((v) => v / sum);
    };
    const mine = asked(row * w + column), top = Math.max(...mine), best = mine.indexOf(top);
    const cells = tokens ? Array.from({ length: h * w }, (_, query) => asked(query)[best]) : mine.map((v) => v / top);
    for (let i = 0; i < H * W; i++) values[i] = 2 * cells[Math.floor(i / W / tall) * w + Math.floor((i % W) / wide)] - 1;
    map.paint(values);
    seen.paint(images, frame * C * H * W, C);
    for (const { style } of [here, there]) {
      Object.assign(style, { left: `${(100 * column) / w}%`, top: `${(100 * row) / h}%`, width: `${100 / w}%`, height: `${100 / h}%` });
    }
    bars.forEach(({ bar, word, line }, i) => {
      line.hidden = i >= tokens;
      bar.value = mine[i] ?? 0;
      kit.tell(word, bar.value.toFixed(3));
    });
    const target = tokens ? `token ${best + 1}` : `row ${Math.floor(best / w) + 1}, column ${(best % w) + 1}`;
    facts.write([
      ["Query:", `row ${row + 1}, column ${column + 1} of ${h} × ${w}`],
      ["Largest weight:", `${target}, ${kit.number(top, 5)}`],
      ["Uniform weight:", kit.number(1 / keys)],
    ]);
    kit.tell(left.lastChild, `input of the network, t = ${t}`);
    kit.tell(right.lastChild, tokens ? `weight of token ${best + 1} for each pixel (white: 1)` : "weights of the query (white: largest)");
    seen.say(`The image at t = ${t}`);
    map.say(`${name}: the largest weight of the query is at ${target}`);
  };

  kit.stage(
    place,
    "Attention of one pixel",
    kit.row(
      kit.choice(model, "layer", { label: "layer", options: layers.map((layer) => layer[0]) }),
      kit.slider(model, "frame", { label: "time", min: 0, max: times.length - 1, text: (frame) => `t = ${times[frame]}` }),
      head,
    ),
    kit.row(left, right, kit.el("div", { class: "dw-tokens" }, ...bars.map((one) => one.line))),
    facts,
  );
  kit.follow(model, ["layer", "head", "frame", "row", "column"], draw);
});
