// Which pixels of the input one pixel of the answer depends on, from recorded gradients.
import * as kit from "../shared/kit.js";
import { picker } from "../shared/pick.js";
import { checksum } from "../shared/science.js";

const SIDE = 8, CELLS = SIDE * SIDE;

// On a page the record comes with the module, in Jupyter with the widget.
/** @param {kit.Model} model */
const read = (model) => {
  if (!model.file) return JSON.parse(model.get("record"));
  const { sum, text } = model.file("receptive-field");
  if (checksum(text) !== sum) throw new Error("records/receptive-field.js is damaged.");
  return JSON.parse(text);
};
/** @param {string} text */
const bytes = (text) => Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
/** @param {string} text */
const floats = (text) => new Float32Array(bytes(text).buffer);
/** @param {string} text */
const images = (text) => Float64Array.from(bytes(text), (grey) => grey / 127.5 - 1);

export default kit.widget(({ model, el: place }) => {
  const { low, high, most, digits, ...coded } = read(model), fields = bytes(coded.fields), greys = images(coded.fields);
  const counts = bytes(coded.counts), shares = floats(coded.shares), errors = floats(coded.errors);
  const noisy = images(coded.noisy), noise = images(coded.noise), answers = images(coded.answers);
  const times = model.get("times"), cuts = model.get("cuts");
  if (noisy.length !== times.length * CELLS || fields.length !== times.length ** 2 * cuts.length * CELLS ** 2) throw new Error("times, cuts: not those of the record");

  const pick = picker(model, SIDE, SIDE);
  const panel = (words = "", label = "") => {
    const picture = kit.picture(SIDE, SIDE, "");
    // Two side by side on a phone, too; and black must end somewhere on a black ground.
    Object.assign(picture.canvas.style, { width: "min(150px, 38vw)", outline: "1px solid #888" });
    const figure = kit.figure(pick.framed(picture.canvas, label), words);
    return { ...picture, figure, caption: figure.lastChild };
  };
  const input = panel(), truth = panel("the noise in it"), field = panel("influence on the pixel");
  const answer = panel("answer: point at a pixel", "The pixel of the answer: move it with the arrow keys");
  truth.paint(noise);
  truth.say("The noise that was added");
  const STEPS = 64, ramp = kit.picture(6, STEPS, `The scale of all influences, from black, ${10 ** low} or less, to white, ${10 ** high}`);
  ramp.paint(Float64Array.from({ length: 6 * STEPS }, (_, i) => (2 * (i % STEPS)) / (STEPS - 1) - 1));
  ramp.canvas.style.outline = "1px solid #888";
  const key = kit.el("div", { class: "dw-control" }, `Influence: ${10 ** low} or less`, ramp.canvas, `${10 ** high}, on a logarithmic scale`);
  const facts = kit.facts();

  const draw = () => {
    const frame = kit.within(model, "frame", 0, times.length - 1), told = kit.within(model, "told", 0, times.length - 1);
    const skips = kit.within(model, "skips", 0, cuts.length - 1), { row, column } = pick.show();
    const setting = (frame * times.length + told) * cuts.length + skips, pixel = setting * CELLS + row * SIDE + column;
    const mine = fields.subarray(pixel * CELLS, (pixel + 1) * CELLS), top = Math.max(...mine), best = mine.indexOf(top);
    const mean = shares.subarray(setting * CELLS, (setting + 1) * CELLS).reduce((a, b) => a + b, 0) / CELLS;
    input.paint(noisy, frame * CELLS);
    answer.paint(answers, setting * CELLS);
    field.paint(greys, pixel * CELLS);
    const percent = (/** @type {number} */ share) => `${(100 * share).toFixed(1)} %`, spot = (/** @type {number} */ i) => `row ${Math.floor(i / SIDE) + 1}, column ${(i % SIDE) + 1}`;
    const size = kit.number(10 ** (low + ((high - low) * top) / 255), 2), same = percent(shares[pixel]);
    kit.tell(input.caption, `input, t = ${times[frame]}`);
    input.say(`The noisy digit at t = ${times[frame]}`);
    answer.say(`The network's answer, told t = ${times[told]}, skips ${cuts[skips]}`);
    field.say(`Influence of each pixel of the input on ${spot(row * SIDE + column)} of the answer: the same pixel has ${same} of it, and the largest is at ${spot(best)}`);
    facts.write([
      ["Pixel of the answer:", spot(row * SIDE + column)],
      ["Influence that the same pixel has:", same],
      ["Mean over all pixels:", percent(mean)],
      [`Pixels with ${100 * most} % of the influence:`, `${counts[pixel]} of ${CELLS}`],
      ["Largest influence:", `about ${size} at ${spot(best)}`],
      ["Mean squared error, this digit:", kit.number(errors[2 * setting], 3)],
      [`Mean squared error, ${digits} digits:`, kit.number(errors[2 * setting + 1], 3)],
    ]);
  };

  kit.stage(
    place,
    "Which pixels does one pixel of the answer see?",
    kit.row(
      kit.choice(model, "frame", { label: "image at t =", options: times.map(String) }),
      kit.choice(model, "told", { label: "network is told t =", options: times.map(String) }),
      kit.choice(model, "skips", { label: "skips", options: cuts }),
    ),
    kit.row(answer.figure, field.figure, input.figure, truth.figure),
    key,
    facts,
  );
  kit.follow(model, ["frame", "told", "skips", "row", "column"], draw);
});
