// The attention of one pixel under two labels, from the recorded queries and keys (eq-attention-weights).
import * as kit from "../shared/kit.js";
import { checksum } from "../shared/science.js";

const PIXELS = 28, SIZE = 208; // of the picture, and its width on the page

// On a page the record comes with the module, in Jupyter with the widget.
/** @param {kit.Model} model */
const read = (model) => {
  if (!model.file) return JSON.parse(model.get("record"));
  const { sum, text } = model.file("label-attention");
  if (checksum(text) !== sum) throw new Error("records/label-attention.js is damaged.");
  return JSON.parse(text);
};
/** @param {string} text */
const bytes = (text) => Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));

export default kit.widget(({ model, el: place }) => {
  const { side, rank, white, reach, which, moved, ...coded } = read(model), cells = side * side;
  const pictures = Float64Array.from(bytes(coded.pictures), (grey) => grey / 127.5 - 1), tokens = bytes(coded.tokens);
  const [queries, keys] = [coded.queries, coded.keys].map((text) => new Int8Array(bytes(text).buffer));
  const scale = new Float32Array(bytes(coded.scale).buffer);
  const times = model.get("times"), layers = model.get("layers"), words = model.get("words");
  if (times.length !== which.length || layers.length !== which[0].length || words.length !== which[0][0].length) throw new Error("times, layers, words: not those of the record");

  // The weights of one query: softmax of its scores, the largest of which is subtracted first (eq-softmax-shift).
  const weights = (/** @type {number} */ map, /** @type {number} */ query) => {
    const scores = Float64Array.from({ length: cells }, (_, key) => {
      let score = 0;
      for (let c = 0; c < rank; c++) score += scale[map * rank + c] * queries[(map * cells + query) * rank + c] * keys[(map * cells + key) * rank + c];
      return score;
    });
    const top = Math.max(...scores), powers = scores.map((score) => Math.exp(score - top)), sum = powers.reduce((a, b) => a + b);
    return powers.map((power) => power / sum);
  };

  const named = (/** @type {number} */ n) => (n < words.length - 1 ? `label ${words[n]}` : words[n]);
  const set = (/** @type {number} */ row, /** @type {number} */ column) => {
    model.set("row", Math.min(side - 1, Math.max(0, Math.floor(row))));
    model.set("column", Math.min(side - 1, Math.max(0, Math.floor(column))));
    model.save_changes();
  };
  const point = (/** @type {any} */ event) => {
    const box = event.currentTarget.getBoundingClientRect();
    set(((event.clientY - box.top) / box.height) * side, ((event.clientX - box.left) / box.width) * side);
  };
  const press = (/** @type {KeyboardEvent} */ event) => {
    const row = model.get("row"), column = model.get("column");
    const to = {
      ArrowUp: [row - 1, column], ArrowDown: [row + 1, column], ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1],
      Home: [row, 0], End: [row, side - 1], PageUp: [0, column], PageDown: [side - 1, column],
    }[event.key];
    if (!to) return;
    event.preventDefault();
    set(to[0], to[1]);
  };
  // A picture with a frame around the query cell. All can be clicked, and the first takes the keys; a finger taps and scrolls.
  const framed = (/** @type {any} */ picture, attributes = {}) => {
    const frame = kit.el("div", { class: "dw-cell", style: `width: ${100 / side}%; height: ${100 / side}%; forced-color-adjust: none` });
    const drag = (/** @type {any} */ event) => event.buttons && event.pointerType !== "touch" && point(event);
    const figure = kit.figure(kit.el("div", { class: "dw-pick", onclick: point, onpointermove: drag, ...attributes }, picture.canvas, frame), "");
    figure.style.padding = "0";
    return { picture, frame, figure, caption: figure.lastChild.firstChild };
  };
  const seen = framed(kit.picture(PIXELS, PIXELS, "", SIZE), {
    tabindex: 0, role: "application", "aria-label": "The query pixel: move it with the arrow keys",
    "data-lm-suppress-shortcuts": "true", onkeydown: press,
  });
  const maps = [0, 1].map(() => framed(kit.picture(side, side, "", SIZE)));
  // Two maps side by side on a phone, too
  for (const { picture } of maps) picture.canvas.style.width = `min(${SIZE}px, 38vw)`;

  const STEPS = 64, ramp = kit.picture(6, STEPS, `The scale of all maps: black for a weight of 0, white for ${white} or more`, 160);
  ramp.paint(Float64Array.from({ length: 6 * STEPS }, (_, i) => (2 * (i % STEPS)) / (STEPS - 1) - 1));
  // Black must end somewhere on a black ground.
  for (const { canvas } of [ramp, ...maps.map(({ picture }) => picture)]) canvas.style.outline = "1px solid #888";
  const key = kit.el("div", { class: "dw-control" }, "Weight: 0", ramp.canvas, `${white} or more, in all maps`);
  const lines = [1, 2, 3, 4].map((n) => {
    const name = `token ${n}`, bar = kit.el("progress", { max: 1, "aria-label": name }), word = kit.el("span", {}, "");
    return { bar, word, line: kit.el("div", { class: "dw-control" }, name, bar, word) };
  });
  const heading = kit.el("p", {}, ""), facts = kit.facts();
  // What the pictures show, and where their frame is: what stays is not painted again.
  const painted = [-1, -1, -1];
  let framedAt = -1;

  const draw = () => {
    const frame = kit.within(model, "frame", 0, times.length - 1), layer = kit.within(model, "layer", 0, layers.length - 1);
    const row = kit.within(model, "row", 0, side - 1), column = kit.within(model, "column", 0, side - 1), query = row * side + column;
    const chosen = ["label", "other"].map((name) => kit.within(model, name, 0, words.length - 1)), [label, other] = chosen;
    if (framedAt !== query) {
      framedAt = query;
      for (const { frame: { style } } of [seen, ...maps]) Object.assign(style, { left: `${(100 * column) / side}%`, top: `${(100 * row) / side}%` });
    }
    if (painted[2] !== frame) {
      painted[2] = frame;
      seen.picture.paint(pictures, frame * PIXELS * PIXELS);
      kit.tell(seen.caption, `noisy pullover, t = ${times[frame]}`);
      seen.picture.say(`The noisy pullover at t = ${times[frame]}`);
    }

    const rows = chosen.map((n) => weights(which[frame][layer][n], query));
    const found = rows.map((values, i) => {
      const best = values.indexOf(Math.max(...values)), near = values.reduce((sum, value, cell) => {
        const far = Math.max(Math.abs(Math.floor(cell / side) - row), Math.abs((cell % side) - column));
        return far > reach ? sum : sum + value;
      }, 0);
      const most = `largest weight ${kit.number(values[best], 2)} (row ${Math.floor(best / side) + 1}, column ${(best % side) + 1})`;
      const now = which[frame][layer][chosen[i]] * cells + query;
      if (painted[i] !== now) maps[i].picture.paint(values.map((value) => 2 * Math.min(1, value / white) - 1));
      painted[i] = now;
      kit.put(maps[i].picture.canvas, "aria-label", `Weights of the query, ${named(chosen[i])}: ${most}`);
      kit.tell(maps[i].caption, named(chosen[i]));
      return `${most}, ${near.toFixed(2)} within ${reach} cells`;
    });
    const apart = rows[0].reduce((sum, value, cell) => sum + Math.abs(value - rows[1][cell]), 0) / 2;
    // A label that changes no map of a layer enters the network after it.
    const late = which[frame][layer].every((/** @type {number} */ map, /** @type {number} */ _, /** @type {number[]} */ all) => map === all[0]);
    facts.write([
      ["Query:", `row ${row + 1}, column ${column + 1} of ${side} × ${side}`],
      ...chosen.map((n, i) => [`${named(n)}:`, found[i]]),
      ["Weight that moves with the label:", `${apart.toFixed(2)}${late ? ", as the label enters after this layer" : ""}`],
      ["Mean over all queries:", moved[frame][layer][label][other].toFixed(2)],
      ["Equal weights would be:", kit.number(1 / cells, 2)],
    ]);

    kit.tell(heading.firstChild, `Cross-attention after this layer, ${named(label)}: what the query gives to each of the four tokens`);
    const first = (((frame * layers.length + layer) * words.length + label) * cells + query) * 4, four = tokens.subarray(first, first + 4);
    const sum = four.reduce((a, b) => a + b, 0);
    lines.forEach(({ bar, word }, n) => {
      const share = four[n] / sum;
      if (bar.value !== share) bar.value = share;
      kit.tell(word.firstChild, share.toFixed(2));
    });
  };

  kit.stage(
    place,
    "Does the label change what a pixel attends to?",
    kit.row(
      kit.choice(model, "layer", { label: "layer", options: layers }),
      kit.slider(model, "frame", { label: "time", min: 0, max: times.length - 1, text: (frame) => `t = ${times[frame]}` }),
      kit.choice(model, "label", { label: "label", options: words }),
      kit.choice(model, "other", { label: "compared with", options: words }),
    ),
    kit.row(seen.figure, ...maps.map(({ figure }) => figure)),
    key,
    facts,
    heading,
    kit.row(...lines.map(({ line }) => line)),
  );
  kit.follow(model, ["frame", "layer", "label", "other", "row", "column"], draw);
});
