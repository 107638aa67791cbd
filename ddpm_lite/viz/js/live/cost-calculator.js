// What a training costs: operations, memory and time of a U-Net (eq-training-flops, eq-step-memory, eq-training-days).
import * as kit from "../shared/kit.js";
import { countUnet } from "../shared/cost.js";

const SIDES = [8, 16, 32, 64, 128, 256], STEPS = [1000, 10000, 100000, 800000];
const WIDENING = ["the same", "doubled once", "doubled each time"];
const ATTENTION = ["nowhere", "at the coarsest level", "at the second level", "at every level"];
/** @type {[string, number][]} */
const UNITS = [["years", 365 * 86400], ["days", 86400], ["hours", 3600], ["minutes", 60], ["seconds", 1], ["milliseconds", 1e-3]];

export default kit.widget(({ model, el: place }) => {
  const plot = kit.plot({ x: [0, 256], y: [0.001, 1000], logy: true, xlabel: "images at a time", ylabel: "gigabytes", label: "" });
  const whole = plot.line("dw-1"), own = plot.line("dw-2 dw-dash"), dot = plot.marker("dw-1"), facts = kit.facts();
  const lasting = (seconds) => {
    const [unit, size] = UNITS.find(([, length]) => seconds >= length) ?? UNITS[UNITS.length - 1];
    return `${kit.number(seconds / size, 3)} ${unit}`;
  };
  const full = (value) => value.toLocaleString("en");
  const large = (value) => value.toExponential(2).replace(/e\+(\d+)/, (_, power) => ` × 10${power.replace(/\d/g, (digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit])}`);
  const bytes = (gigabytes) => (gigabytes < 1 ? `${kit.number(gigabytes * 1000, 3)} MB` : `${kit.number(gigabytes, 3)} GB`);

  const draw = () => {
    const levels = model.get("levels"), attention = model.get("attention"), images = model.get("images");
    const channels = Array.from({ length: levels }, (_, i) => model.get("width") * [1, i ? 2 : 1, 2 ** i][model.get("widening")]);
    const attends = (level) => attention === 3 || (attention && level === (attention === 1 ? levels - 1 : Math.min(1, levels - 1)));
    const costs = countUnet({
      side: SIDES[model.get("side")], colours: 3, channels, blocks: model.get("blocks"),
      attends, middle: attention > 0, groups: 16, dropout: true,
    });
    const [P, F, A] = [0, 1, 2].map((i) => costs.reduce((sum, cost) => sum + cost[i], 0));
    const memory = (n) => (20 * P + A * n) / 1e9, work = 3 * F * images * STEPS[model.get("steps")];
    const shares = (i, sum) => costs.slice(0, -1).map((cost) => `${Math.round((100 * cost[i]) / sum)} %`).join(", ");
    const xs = Array.from({ length: 65 }, (_, i) => 4 * i), time = lasting(work / 10 ** model.get("speed"));
    whole(xs, xs.map(memory));
    own([0, 256], [memory(0), memory(0)]);
    dot(images, memory(images));
    facts.write([
      ["Weights P:", full(P)],
      ["weights by level:", shares(0, P)],
      ["Operations F, one image:", full(F)],
      ["operations by level:", shares(1, F)],
      ["20 P:", bytes(memory(0))],
      ["A, each image:", bytes(A / 1e9)],
      ["Memory of a step:", bytes(memory(images))],
      ["Operations W of the training:", large(work)],
      ["Time of the training:", time],
    ]);
    plot.say(`Memory of a step over the images at a time: ${bytes(memory(images))} for ${images}, of which ${bytes(memory(0))} belong to the weights.`);
  };

  const speed = (power) => {
    const [unit, size] = [["PFLOP/s", 15], ["TFLOP/s", 12], ["GFLOP/s", 9]].find(([, least]) => power >= least) ?? ["", 0];
    return `${kit.number(10 ** (power - Number(size)), 2)} ${unit}`;
  };
  kit.stage(
    place,
    "What does your training cost?",
    kit.row(
      kit.choice(model, "side", { label: "image size", options: SIDES.map((side) => `${side} × ${side}, in colour`) }),
      kit.slider(model, "levels", { label: "levels", min: 1, max: 4 }),
      kit.slider(model, "width", { label: "channels", min: 16, max: 256, step: 16 }),
      kit.choice(model, "widening", { label: "channels below", options: WIDENING }),
      kit.slider(model, "blocks", { label: "blocks", min: 1, max: 4 }),
      kit.choice(model, "attention", { label: "attention", options: ATTENTION }),
      kit.slider(model, "images", { label: "batch", min: 1, max: 256 }),
      kit.choice(model, "steps", { label: "steps", options: STEPS.map((steps) => steps.toLocaleString("en")) }),
      kit.slider(model, "speed", { label: "speed r", min: 9, max: 16, step: 0.1, text: speed }),
    ),
    plot.svg,
    kit.legend([["dw-1", "memory of a step"], ["dw-2", "of it for the weights"]]),
    facts,
  );
  kit.follow(model, ["side", "levels", "width", "widening", "blocks", "attention", "images", "steps", "speed"], draw);
});
