// Precision and recall of points in the plane, which the reader moves (eq-among, eq-precision, eq-recall).
import * as kit from "../shared/kit.js";

const COUNT = 12, UNIT = 20, MOST = 60, SETS = ["real", "drawn"];
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

export default kit.widget(({ model, el: place }) => {
  const situations = model.get("situations"), own = situations.length;
  const numbers = (name) => {
    const values = model.get(name);
    if (values?.length !== 4 * COUNT || !values.every((v) => Number.isInteger(v) && Math.abs(v) <= MOST)) throw new Error(`${name}: expected ${4 * COUNT} whole numbers up to ${MOST}`);
    return values;
  };
  const end = MOST / UNIT, words = { xlabel: "first feature", ylabel: "second feature", label: "", height: 350 };
  const plot = kit.plot({ x: [-end, end], y: [-end, end], ...words });
  const unit = (plot.px(1) - plot.px(0)) / UNIT;
  const shape = (tag, kind, more = {}) => plot.svg.appendChild(kit.el(tag, { class: kind, ...more }));
  const balls = Array.from({ length: COUNT }, () => shape("circle", "dw-bars", { style: "fill-opacity: 0.08; pointer-events: none" }));
  // A finger drags a point and scrolls the page everywhere else, so a point is larger for fingers than for eyes.
  const dots = Array.from({ length: 2 * COUNT }, () => {
    const hit = shape("circle", "", { r: 14, fill: "transparent", style: "touch-action: none; cursor: move", onpointerdown: (event) => grab(event) });
    return { hit, dot: shape("path", "dw-marker", { style: "pointer-events: none" }) };
  });
  const frame = shape("circle", "dw-line", { r: 10, style: "pointer-events: none" });
  const facts = kit.facts(), keys = kit.legend([["dw-1", "real: discs"], ["dw-2", "drawn: squares"]]);
  keys.append(kit.el("span", {}, "hollow: in no ball of the other set"));

  const pairs = (points) => Array.from({ length: 2 * COUNT }, (_, i) => points.slice(2 * i, 2 * i + 2));
  let spots = pairs(numbers("points"));
  const at = (i) => spots[i];
  // Squares of distances between whole numbers, so that nothing is rounded.
  const far = (i, j) => {
    const [a, b] = at(i), [c, d] = at(j);
    return (a - c) ** 2 + (b - d) ** 2;
  };
  const members = [0, 1].map((which) => Array.from({ length: COUNT }, (_, i) => which * COUNT + i));
  const measure = () => {
    const k = kit.within(model, "k", 1, 6);
    const radii = members.map((crowd) => crowd.map((i) => crowd.map((j) => far(i, j)).sort((a, b) => a - b)[k]));
    // For each point whether it lies in a ball of the other set.
    const among = members.flatMap((points, which) => points.map((i) => members[1 - which].some((j, n) => far(i, j) <= radii[1 - which][n])));
    return { radii, among };
  };

  const move = (i, x, y) => {
    const points = model.get("points").slice();
    [x, y].forEach((value, axis) => (points[2 * i + axis] = Math.round(Math.min(MOST, Math.max(-MOST, value)))));
    model.set("situation", own);
    model.set("points", points);
    model.save_changes();
  };
  const choose = (i) => {
    model.set("chosen", i);
    model.save_changes();
  };
  let held = false;
  // Where a pointer is, in the unit of the points
  const under = ({ clientX, clientY }) => {
    const box = plot.svg.getBoundingClientRect(), scale = 360 / box.width;
    return [((clientX - box.left) * scale - plot.px(0)) / unit, (plot.py(0) - (clientY - box.top) * scale) / unit];
  };
  // The nearest point, where several lie under a finger.
  const grab = (event) => {
    const [x, y] = under(event), distances = members.flat().map((i) => Math.hypot(at(i)[0] - x, at(i)[1] - y));
    choose(distances.indexOf(Math.min(...distances)));
    pad.focus();
    pad.setPointerCapture(event.pointerId);
    held = true;
    event.preventDefault();
  };
  const drag = (event) => {
    if (!held) return;
    const [x, y] = under(event);
    move(model.get("chosen"), x, y);
  };
  const drop = () => {
    held = false;
  };
  const press = (event) => {
    const way = MOVES[event.key], i = model.get("chosen");
    if (way) move(i, at(i)[0] + 2 * way[0], at(i)[1] + 2 * way[1]);
    else return;
    event.preventDefault();
  };
  const pad = kit.el(
    "div",
    {
      class: "dw-pad", role: "application", tabindex: 0, "data-lm-suppress-shortcuts": "true", onkeydown: press,
      onpointermove: drag, onpointerup: drop, onpointercancel: drop,
      "aria-label": "The chosen point: move it with the arrow keys",
    },
    plot.svg,
  );

  const named = (i) => `${SETS[Math.floor(i / COUNT)]} ${(i % COUNT) + 1}`;
  const draw = () => {
    spots = pairs(numbers("points"));
    const { radii, among } = measure(), around = kit.within(model, "around", 0, 1), chosen = kit.within(model, "chosen", 0, 2 * COUNT - 1);
    const spot = (i) => [plot.px(at(i)[0] / UNIT), plot.py(at(i)[1] / UNIT)];
    const set = (node, values) => Object.entries(values).forEach(([name, value]) => kit.put(node, name, typeof value === "number" ? value.toFixed(1) : value));
    balls.forEach((ball, n) => {
      const [cx, cy] = spot(members[around][n]);
      set(ball, { cx, cy, r: unit * Math.sqrt(radii[around][n]), class: `dw-bars dw-${around + 1}` });
    });
    dots.forEach(({ hit, dot }, i) => {
      const drawn = i >= COUNT, [cx, cy] = spot(i), d = drawn ? "h9v9h-9z" : "a5 5 0 1 0 10 0a5 5 0 1 0-10 0z";
      set(hit, { cx, cy });
      set(dot, { d: `M${(cx - (drawn ? 4.5 : 5)).toFixed(1)} ${(cy - (drawn ? 4.5 : 0)).toFixed(1)}${d}`, class: `dw-marker dw-${drawn ? 2 : 1}${among[i] ? "" : " dw-ring"}` });
    });
    const [cx, cy] = spot(chosen);
    set(frame, { cx, cy });
    const [real, drawn] = members.map((points) => points.filter((i) => among[i]).length);
    facts.write([
      ["Drawn points in a ball of a real one:", `${drawn} of ${COUNT}`],
      ["Precision:", kit.number(drawn / COUNT, 3)],
      ["Real points in a ball of a drawn one:", `${real} of ${COUNT}`],
      ["Recall:", kit.number(real / COUNT, 3)],
      [`Point ${named(chosen)}:`, `at ${at(chosen).map((v) => kit.number(v / UNIT, 3)).join(", ")}, in ${among[chosen] ? "a" : "no"} ball of the other set`],
    ]);
    plot.say(`Real and drawn points, and the balls of the ${SETS[around]} ones: precision ${drawn} of ${COUNT}, recall ${real} of ${COUNT}.`);
  };

  kit.stage(
    place,
    "Which number notices what is wrong with the drawn points?",
    kit.row(
      kit.choice(model, "situation", { label: "situation", options: [...situations.map(([name]) => name), "your own points"] }),
      kit.choice(model, "around", { label: "balls of", options: SETS.map((name) => `the ${name} points`) }),
      kit.slider(model, "k", { label: "neighbour k", min: 1, max: 6 }),
      kit.slider(model, "chosen", { label: "point", min: 0, max: 2 * COUNT - 1, text: named }),
    ),
    kit.row(pad, kit.el("div", { class: "dw-tokens" }, keys, facts)),
  );
  model.on("change:situation", () => {
    const ready = situations[model.get("situation")];
    if (ready) model.set("points", ready[1]);
    model.save_changes();
  });
  kit.follow(model, ["points", "around", "k", "chosen"], draw);
});
