// Shared parts of the widgets: controls, pictures, curves.

/** @typedef {Record<string, any>} Attributes */

/**
 * @typedef {object} Model anywidget's model, or that of host.js, as a widget has it.
 * @property {(name: string) => any} get
 * @property {(name: string, value: any) => void} set
 * @property {() => void} save_changes
 * @property {(event: string, listener: (...values: any[]) => void) => void} on
 * @property {(content: any) => void} [send] in Jupyter: a message to Python
 * @property {(name: string) => any} [file] on a page: a file that came with the widget
 * @property {AbortSignal} signal aborted when the widget is removed
 */

// A widget in anywidget's form, `{ render }`, made from a function that puts it into an element. A model may outlive many
// views, so a view's listeners are removed with it; timers and workers have to listen to `model.signal`.
/** @param {(place: { model: Model, el: HTMLElement }) => void | Promise<void>} put */
export const widget = (put) => ({
  render: (/** @type {{ model: any, el: HTMLElement }} */ { model, el }) => {
    const scope = new AbortController(), { signal } = scope, leave = () => scope.abort();
    /** @type {any} */
    const watched = {
      signal,
      on: (event, listener) => {
        model.on(event, listener);
        signal.addEventListener("abort", () => model.off(event, listener));
      },
    };
    for (const name of ["get", "set", "save_changes", "send", "file"]) watched[name] = model[name]?.bind(model);
    const standing = put({ model: watched, el });
    return standing ? standing.then(() => leave) : leave;
  },
});

let names = 0;

// An element with attributes and children; `on...` are listeners, undefined and false are left out.
// JupyterLab would take the arrow keys, Enter and more from a control that does not ask for its keys.
export const el = (tag, attributes = {}, ...children) => {
  const svg = /^(svg|path|line|circle|text$|poly)/.test(tag);
  const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  if (["button", "input", "select"].includes(tag)) made.setAttribute("data-lm-suppress-shortcuts", "true");
  made.append(...children);
  return made;
};

// Set an attribute if it is another, because even the same one is laid out and painted again.
export const put = (part, name, value) => part.getAttribute(name) !== value && part.setAttribute(name, value);

// Set the text of a node if it is another.
export const tell = (node, text) => node.textContent !== text && (node.textContent = text);

// The frame of a widget: a group with a name.
export const stage = (place, label, ...children) => {
  place.append(el("div", { class: "ddpm-widget", role: "group", "aria-label": label }, ...children));
};

export const row = (...children) => el("div", { class: "dw-row" }, ...children);

export const number = (value, digits = 4) => String(Number(value.toPrecision(digits))).replaceAll("-", "\u2212");

// A number beside an axis, in the six signs that there is room for: 4e−5, 0.0012, 32, 3.2e5.
/** @param {number} value */
const tick = (value) => {
  const size = Math.abs(value), plain = !size || (size >= 1e-3 && size < 1e4);
  const power = (/** @type {number} */ digits) => value.toExponential(digits).split("e").map((part) => number(Number(part))).join("e");
  const spelt = [plain ? number(value, size < 100 ? 2 : 4) : power(1), power(1)];
  return spelt.find((text) => text.length <= 6) ?? power(0);
};

// A trait that must be a number from `low` to `high`, and whole unless `whole` is false.
export const within = (model, name, low, high, whole = true) => {
  const value = model.get(name);
  if (!Number.isFinite(value) || value < low || value > high || (whole && value % 1)) {
    throw new Error(`${name}: expected a ${whole ? "whole " : ""}number in ${low}..${high}, got ${value}`);
  }
  return value;
};

// A control whose value is the model's trait `name`: it follows the model, and the model follows it.
const bind = (model, name, input, read, show) => {
  input.addEventListener("input", () => {
    model.set(name, read());
    model.save_changes();
  });
  model.on(`change:${name}`, show);
  show();
};

// A labelled slider; `text` turns its value into words, for the page and for screen readers.
export const slider = (model, name, { label, min, max, step = 1, text = number }) => {
  const id = `dw-${name}-${names++}`;
  const input = el("input", { type: "range", id, min, max, step });
  // A screen reader reads the slider's own words, and not its output as well.
  const output = el("output", { for: id, "aria-live": "off" }, "");
  bind(model, name, input, () => Number(input.value), () => {
    input.value = within(model, name, min, max, step === 1);
    output.firstChild.data = text(Number(input.value));
    input.setAttribute("aria-valuetext", output.firstChild.data);
  });
  // A finger that only scrolls the page may begin on a slider, which jumps there: it goes back to its value.
  let before;
  input.addEventListener("pointerdown", () => (before = input.value));
  input.addEventListener("pointercancel", () => {
    input.value = before;
    input.dispatchEvent(new Event("input"));
  });
  const made = el("div", { class: "dw-control" }, el("label", { for: id }, label), input, output);
  made.limit = (last) => {
    input.max = last;
  };
  return made;
};

// A labelled list of choices; the trait is the number of the choice.
/** @param {any} model @param {string} name @param {{ label: string, options: string[] }} words */
export const choice = (model, name, { label, options }) => {
  const id = `dw-${name}-${names++}`;
  const input = el("select", { id }, ...options.map((option, i) => el("option", { value: i }, option)));
  bind(model, name, input, () => Number(input.value), () => {
    input.value = within(model, name, 0, options.length - 1);
  });
  return el("div", { class: "dw-control" }, el("label", { for: id }, label), input);
};

// A labelled switch; the trait is true or false.
export const toggle = (model, name, { label }) => {
  const id = `dw-${name}-${names++}`;
  const input = el("input", { type: "checkbox", id });
  bind(model, name, input, () => input.checked, () => {
    const value = model.get(name);
    if (typeof value !== "boolean") throw new Error(`${name}: expected true or false, got ${value}`);
    input.checked = value;
  });
  return el("div", { class: "dw-control" }, input, el("label", { for: id }, label));
};

// While a widget is busy, playing or drawing, its facts are not read out.
export const busy = (part, now) => part.closest(".ddpm-widget")?.toggleAttribute("data-busy", now);

// Play, pause and single steps for a whole-number trait, from `first` to `last`, at `pace` steps a second. What the reader
// touches in the widget stops it. With reduced motion there are only the single steps.
export const player = (model, name, { first, last, by = 1, pace = 20 }) => {
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const forward = Math.sign(last - first) * by;
  let timer = 0;
  const move = (delta) => {
    const low = Math.min(first, last), high = Math.max(first, last);
    model.set(name, Math.min(high, Math.max(low, model.get(name) + delta)));
    model.save_changes();
  };
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    busy(play, false);
    play.textContent = "Play";
  };
  const onward = () => {
    if (!play.isConnected || model.get(name) === last) stop();
    else move(forward);
  };
  const toggled = () => {
    if (timer) return stop();
    if (model.get(name) === last) move(first - last);
    timer = setInterval(onward, 1000 / pace);
    busy(play, true);
    for (const event of ["pointerdown", "input"]) made.closest(".ddpm-widget").addEventListener(event, touched);
    play.textContent = "Pause";
  };
  const play = el("button", { type: "button", onclick: toggled }, "Play");
  const steps = [-1, 1].map((sign) =>
    el("button", { type: "button", onclick: () => (stop(), move(sign * forward)) }, sign < 0 ? "Step back" : "Step forward"),
  );
  const obey = () => {
    if ((play.hidden = still.matches)) stop();
  };
  still.addEventListener("change", obey, { signal: model.signal });
  model.signal.addEventListener("abort", stop);
  obey();
  const made = el("div", { class: "dw-control" }, play, ...steps);
  const touched = ({ target }) => made.contains(target) || stop();
  return made;
};

// The numbers of a trait that is sent as bytes, multiplied by `scale`; a wrong count is an error.
export const numbers = (model, name, Type, count, scale = 1, shift = 0) => {
  const view = model.get(name);
  const size = Type.BYTES_PER_ELEMENT;
  if (!(view instanceof DataView) || view.byteLength !== count * size) {
    throw new Error(`${name}: expected ${count * size} bytes, got ${view?.byteLength ?? typeof view}`);
  }
  const values = new Type(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
  const result = Float64Array.from(values, (value) => value * scale + shift);
  if (!result.every(Number.isFinite)) throw new Error(`${name}: expected finite numbers`);
  return result;
};

// Images as the package stores them: grey levels 0..255 for [-1, 1].
export const images = (model, name, count) => numbers(model, name, Uint8Array, count, 1 / 127.5, -1);

// A canvas for an image of height x width pixels; `paint` fills it with channels-first values in [-1, 1].
export const picture = (height, width, label, size = 160) => {
  const canvas = el("canvas", { width, height, role: "img", "aria-label": label, class: "dw-picture" });
  canvas.style.width = `${size}px`;
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(width, height);
  pixels.data.fill(255);
  // The array of pixels rounds and clamps by itself.
  const paint = (values, offset = 0, channels = 1) => {
    const n = width * height, data = pixels.data, next = channels === 3 ? n : 0;
    for (let i = 0; i < n; i++) {
      for (let c = 0; c < 3; c++) data[4 * i + c] = (values[offset + i + c * next] + 1) * 127.5;
    }
    context.putImageData(pixels, 0, 0);
  };
  return { canvas, paint, say: (text) => canvas.setAttribute("aria-label", text) };
};

// Coordinates in words, to a fiftieth: a curve is hundreds of them, and writing out a number is slow.
const fiftieths = {};

// Axes with lines, bars and a marker, in SVG: sharp on every screen, coloured by the style sheet.
export const plot = ({ x, y, xlabel, ylabel, label, logy = false, width = 360, height = 220 }) => {
  const left = 48, right = width - 12, top = 10, bottom = height - 40;
  const up = logy ? Math.log10 : (v) => v;
  const px = (v) => left + ((v - x[0]) / (x[1] - x[0])) * (right - left);
  const py = (v) => bottom - ((up(v) - up(y[0])) / (up(y[1]) - up(y[0]))) * (bottom - top);
  const svg = el("svg", { viewBox: `0 0 ${width} ${height}`, class: "dw-plot", role: "img", "aria-label": label });
  const ticks = (low, high) => [0, 0.5, 1].map((f) => low + f * (high - low));
  const write = (words, cx, cy, anchor, more) => svg.append(el("text", { x: cx, y: cy, "text-anchor": anchor, ...more }, words));
  for (const [i, v] of ticks(...x).entries()) write(number(v, 3), px(v), bottom + 15, i < 2 ? "middle" : "end");
  for (const v of ticks(up(y[0]), up(y[1])).map((t) => (logy ? 10 ** t : t))) {
    const at = py(v);
    svg.append(el("line", { x1: left, x2: right, y1: at, y2: at, class: "dw-grid" }));
    write(tick(v), left - 5, at + 4, "end");
  }
  write(xlabel, (left + right) / 2, height - 6, "middle");
  write(ylabel, -(top + bottom) / 2, 12, "middle", { transform: "rotate(-90)" });
  const add = (tag, kind) => {
    const made = el(tag, { class: kind });
    svg.append(made);
    return made;
  };
  const short = (v) => (fiftieths[(v = Math.round(v * 50))] ??= `${v / 50}`);
  const across = (vs) => Array.from(vs, (v) => short(px(v))), inside = (v) => short(Math.min(9999, Math.max(-9999, py(v))));
  return {
    svg,
    px,
    py,
    spot: (vx, vy) => `${short(px(vx))} ${inside(vy)}`, // in a path
    add,
    say: (text) => svg.setAttribute("aria-label", text),
    // kind: "dw-1" to "dw-4", a colour; "dw-fill" fills below. Returns a function that draws.
    // A polyline, because changing its points, unlike a path's, does not recompute styles.
    line: (kind) => {
      const shape = add("polyline", `dw-line ${kind}`);
      let known, at; // the same list of xs is written out once
      return (xs, ys) => {
        if (known !== xs) at = across((known = xs));
        put(shape, "points", at.map((word, i) => `${word} ${inside(ys[i])}`).join(" "));
      };
    },
    bars: (kind) => {
      const shape = add("polygon", `dw-bars ${kind}`), base = short(py(y[0]));
      return (edges, heights) => {
        const at = across(edges), tops = Array.from(heights, (h, i) => `${at[i]} ${(h = inside(h))} ${at[i + 1]} ${h}`);
        put(shape, "points", `${at[0]} ${base} ${tops.join(" ")} ${at.at(-1)} ${base}`);
      };
    },
    marker: (kind) => {
      const circle = add("circle", `dw-marker ${kind}`);
      circle.setAttribute("r", 5);
      return (vx, vy) => {
        put(circle, "cx", short(px(vx)));
        put(circle, "cy", inside(vy));
      };
    },
  };
};

// Which colour is which: pairs of a kind and a word.
/** @param {[string, string][]} pairs */
export const legend = (pairs) => row(...pairs.map(([kind, word]) => el("span", { class: `dw-key ${kind}` }, word)));

export const figure = (canvas, caption) => el("figure", { class: "dw-figure" }, canvas, el("figcaption", {}, caption));

// A list of words and numbers; `write` takes pairs, or what makes them. New ones appear a moment later, after the frame with
// the picture that they belong to, which the layout of text would delay. When they have settled, a screen reader reads once
// what changed, unless the list is `silent`.
export const facts = (silent = false) => {
  const list = el("dl", { class: "dw-facts" }), said = el("p", { class: "dw-said", role: "status" });
  let told, now, asked, timer, later;
  const settle = () => {
    if (list.closest("[data-busy]")) return wait();
    said.textContent = now.filter((line) => !told.includes(line)).join("; ");
    told = now;
  };
  const wait = () => {
    clearTimeout(timer);
    timer = setTimeout(settle, 700);
  };
  const show = () => {
    later = 0;
    const pairs = asked.call?.() ?? asked;
    now = pairs.map((pair) => pair.join(" "));
    // New text in the old cells, so that the page lays out only what changed.
    const { children } = list, n = pairs.length;
    while (children.length < n) list.append(el("div", {}, el("dt", {}, ""), el("dd", {}, "")));
    while (children[n]) children[n].remove();
    pairs.flat().forEach((text, i) => tell(children[i >> 1].children[i & 1].firstChild, text));
    list.offsetHeight; // has them laid out now, not in the next frame
    if (told && !silent && `${now}` !== `${told}`) {
      if (!said.isConnected) list.after(said);
      wait();
    }
    told ??= now;
  };
  list.write = (pairs) => {
    asked = pairs;
    if (told) later ||= setTimeout(show, 50);
    else show();
  };
  return list;
};

// Call `draw` now and whenever one of the traits changes. And ten times more in idle time, so that the browser has compiled
// it before the first change, which took three times as long as later ones.
export const follow = (model, traits, draw) => {
  for (const trait of traits) model.on(`change:${trait}`, draw);
  draw();
  let left = 9;
  const warm = () => {
    draw();
    if (left--) requestIdleCallback(warm);
  };
  window.requestIdleCallback?.(warm);
};
