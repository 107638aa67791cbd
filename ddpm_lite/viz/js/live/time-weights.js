// Which times a weight trains: the weight, the loss and its floor over t, and each range's share of the sums
// (eq-weighted-noise-loss, eq-simple-loss, eq-bound-terms). The sums over all times come from Python.
import * as kit from "../shared/kit.js";

const DATA = ["digits, shipped network", "three blobs, small networks"], WEIGHTS = ["simple", "bound", "min-SNR"];
const LAST = [1, 10, 100, 1000], RANGES = ["t = 1", "2 to 10", "11 to 100", "101 to 1000"];
const LOW = 1e-4, LEFT = 96, WIDE = 252, HIGH = 24;

export default kit.widget(({ model, el: place }) => {
  const times = model.get("times"), [first, end] = model.get("ends"), N = times?.length;
  if (!LAST.every((t) => times?.includes(t)) || ![first, end].every(Number.isFinite)) throw new Error("times, ends: expected numbers, with the ends of the ranges");
  const cut = (name, rows) => {
    const all = kit.numbers(model, name, Float32Array, rows * N);
    return Array.from({ length: rows }, (_, i) => all.subarray(i * N, (i + 1) * N));
  };
  const curves = cut("curves", 10), sums = cut("sums", 13), logs = times.map(Math.log10);
  const plot = kit.plot({ x: [0, 3], y: [LOW, 1], logy: true, xlabel: "t", ylabel: "weight, loss", label: "" });
  // The axis is logarithmic, so its marks are powers of ten.
  [1, 32, 1000].forEach((t, i) => (plot.svg.querySelectorAll("text")[i].textContent = String(t)));
  const kinds = ["dw-4 dw-dash", "dw-exact dw-dots", "dw-2"];
  const lines = kinds.map((kind) => plot.line(kind)), drawn = /** @type {any[]} */ ([]);
  const dots = ["dw-4", "dw-exact", "dw-2"].map((kind) => plot.marker(kind)), facts = kit.facts();
  const shown = (values) => values.map((v) => Math.max(v, LOW));

  // A stack for each sum: four bars side by side, with their shares, and a mark at the chosen time.
  const svg = kit.el("svg", { class: "dw-plot", role: "img", "aria-label": "", viewBox: "0 0 360 124" });
  const stacks = [0, 1, 2].map((row) => {
    const top = 8 + row * (HIGH + 14), put = (tag, attributes, ...words) => svg.appendChild(kit.el(tag, attributes, ...words));
    const name = put("text", { x: LEFT - 6, y: top + 16, "text-anchor": "end" }, "");
    const bars = LAST.map((_, i) => put("polygon", { class: `dw-bars dw-${i + 1}` }));
    const words = LAST.map(() => put("text", { y: top + 16, "text-anchor": "middle" }, ""));
    const mark = put("path", { class: "dw-line" });
    return (/** @type {string} */ title, /** @type {ArrayLike<number>} */ upto, /** @type {number} */ at) => {
      const part = (i) => upto[i] / upto[N - 1];
      let from = 0;
      kit.tell(name.firstChild, title);
      LAST.forEach((t, i) => {
        const to = part(times.indexOf(t)), [a, b] = [from, to].map((share) => (LEFT + WIDE * share).toFixed(1));
        kit.put(bars[i], "points", `${a} ${top} ${b} ${top} ${b} ${top + HIGH} ${a} ${top + HIGH}`);
        const word = to - from > 0.13 ? percent(to - from) : "";
        // A text is laid out again when it is moved, so one without words stays.
        if (word) kit.put(words[i], "x", (LEFT + (WIDE * (from + to)) / 2).toFixed(1));
        kit.tell(words[i].firstChild, word);
        from = to;
      });
      kit.put(mark, "d", `M${(LEFT + WIDE * part(at)).toFixed(1)} ${top - 4}v${HIGH + 8}`);
    };
  });
  const percent = (share) => `${kit.number(100 * share, share < 0.1 ? 2 : 3)}\u00a0%`;
  // The words for each sum stay the same, so they are made once.
  const ranges = sums.map((upto) => {
    const ends = LAST.map((t) => upto[times.indexOf(t)] / upto[N - 1]);
    return ends.map((share, i) => `${RANGES[i]}: ${percent(share - (i ? ends[i - 1] : 0))}`).join(", ");
  });
  const byRange = (upto) => ranges[sums.indexOf(upto)];

  const draw = () => {
    const at = kit.within(model, "at", 0, N - 1), which = kit.within(model, "data", 0, 1), w = kit.within(model, "weight", 0, 2), t = times[at];
    const weight = curves[w], floor = curves[3 + which], loss = curves[which ? 6 + w : 5];
    const all = sums[w], weightedLoss = sums[3 + 3 * which + w], above = sums[9 + w], bits = sums[12];
    [weight, floor, loss].forEach((values, i) => {
      // A curve that stays is not drawn again.
      if (drawn[i] !== values) lines[i](logs, shown(values));
      drawn[i] = values;
      dots[i](logs[at], Math.max(values[at], LOW));
    });
    const whole = bits[N - 1] + end;
    stacks[0]("weight", all, at);
    stacks[1]("weighted loss", weightedLoss, at);
    stacks[2](which ? "above floor" : "bits of L", which ? above : bits, at);
    kit.tell(keys.children[1].firstChild, which ? "least possible loss" : "least loss, Gaussian data");
    const upto = (values) => percent(values[at] / values[N - 1]);
    facts.write([
      ["At t:", String(t)],
      ["weight:", kit.number(weight[at], 3)],
      ["network's loss:", kit.number(loss[at], 3)],
      [which ? "floor:" : "least loss for Gaussian data:", kit.number(floor[at], 3)],
      which ? ["loss above the floor:", kit.number(loss[at] - floor[at], 2)] : ["term of the bound, in bits:", kit.number(curves[9][at], 3)],
      ["Up to t, share of the weight:", upto(all)],
      ["of the weighted loss:", upto(weightedLoss)],
      which ? ["of the weighted loss above the floor:", upto(above)] : ["bits of the bound:", `${kit.number(bits[at], 3)} of ${kit.number(whole, 3)}, with L₀ = ${kit.number(first, 2)} and L_T = ${kit.number(end, 2)}`],
      ["Weighted loss by range:", byRange(weightedLoss)],
      which ? ["Above the floor by range:", byRange(above)] : ["Bits by range:", byRange(bits)],
    ]);
    plot.say(`Weight ${WEIGHTS[w]}, loss and floor over t, logarithmic; at t = ${t} the weight is ${kit.number(weight[at], 3)}, the loss ${kit.number(loss[at], 3)}.`);
    kit.put(svg, "aria-label", `Shares by range. Weight: ${byRange(all)}. Weighted loss: ${byRange(weightedLoss)}.`);
  };

  // A pointer on the plot chooses the nearest time; a finger does so with a tap, and scrolls the page.
  const point = ({ clientX }) => {
    const box = plot.svg.getBoundingClientRect(), x = ((clientX - box.left) / box.width) * 360;
    const far = logs.map((v) => Math.abs(plot.px(v) - x));
    model.set("at", far.indexOf(Math.min(...far)));
    model.save_changes();
  };
  plot.svg.addEventListener("click", point);
  plot.svg.addEventListener("pointermove", (event) => event.buttons && event.pointerType !== "touch" && point(event));
  const keys = kit.legend([["dw-4", "weight"], ["dw-exact", "floor"], ["dw-2", "network's loss"]]);
  const side = (...parts) => kit.el("div", { style: "flex: 1 1 20rem; max-width: 30rem; min-width: 0" }, ...parts);
  kit.stage(
    place,
    "Which t does this weight train?",
    kit.row(
      kit.choice(model, "data", { label: "data", options: DATA }),
      kit.choice(model, "weight", { label: "weight", options: WEIGHTS }),
      kit.slider(model, "at", { label: "time t", min: 0, max: N - 1, text: (at) => `t = ${times[at]}` }),
    ),
    kit.row(side(plot.svg, keys), side(svg, kit.legend(RANGES.map((words, i) => [`dw-${i + 1}`, words])))),
    facts,
  );
  kit.follow(model, ["at", "data", "weight"], draw);
});
