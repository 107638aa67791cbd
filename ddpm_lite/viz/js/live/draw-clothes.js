// Sampling of clothes: one picture as it comes out of the noise, the same noise in all kinds, or pictures between two noises.
import * as kit from "../shared/kit.js";
import { atelier } from "../shared/stage.js";

const VIEWS = ["one picture", "one noise in all kinds", "between two noises"], SHARES = 12;

export default kit.widget(({ model, el: place }) => {
  const labels = kit.within(model, "labels", 1, 1000), [C, H, W] = model.get("size"), words = model.get("words");
  const scales = model.get("scales"), choices = model.get("choices"), stops = kit.within(model, "stops", 2, 20);
  kit.within(model, "label", 0, labels - 1);
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const kinds = [["x", "xₜ", "the noisy image"], ["image", "x̂₀", "the estimated image"], ["z", "ẑ", "the estimated noise"]];
  const pictures = kinds.map(() => kit.picture(H, W, "nothing drawn yet", 168)), facts = kit.facts(true);
  const strip = Array.from({ length: Math.max(labels, stops) }, () => {
    const picture = kit.picture(H, W, "nothing drawn yet", 64);
    const figure = kit.figure(picture.canvas, "\u00a0");
    return { picture, figure, caption: figure.lastChild.firstChild, drawn: true };
  });
  const blank = new Float64Array(C * H * W).fill(-1), nothing = new Float64Array(C * H * W);
  const named = (label) => words[label] ?? `label ${label}`;
  const degrees = (turn) => `${kit.number(90 * turn, 2)}°`;
  let ends = [], walks = [], steps = 0;

  // What is drawn, in each view: the walks, and what is below the picture of each.
  const listed = () => {
    const one = { label: model.get("label"), turn: model.get("share") / SHARES };
    const view = model.get("view"), share = (i, n) => i / (n - 1);
    if (view === 1) return Array.from({ length: labels }, (_, label) => ({ walk: { ...one, label }, below: named(label) }));
    if (view === 2) return Array.from({ length: stops }, (_, i) => ({ walk: { ...one, turn: share(i, stops) }, below: degrees(share(i, stops)) }));
    return [{ walk: one, below: named(one.label) }];
  };
  const pairs = (t) => [["Time t:", t], ["Pictures:", `${ends.filter(Boolean).length} of ${walks.length}`]];

  // The row of small pictures, each with its words and empty; `laid` is the view whose row is there, or 0.
  let laid = 0;
  const lay = () => strip.forEach((one, i) => {
    one.figure.hidden = !walks[i];
    if (!walks[i]) return;
    kit.tell(one.caption, walks[i].below);
    kit.put(one.picture.canvas, "aria-label", `${walks[i].below}: not drawn yet`);
    if (one.drawn) one.picture.paint(blank, 0, C);
    one.drawn = false;
  });

  const work = atelier({
    model,
    traits: ["view", "label", "chosen", "seed", "other", "share", "steps"],
    next: "Draw another",
    many: 2,
    plan: () => {
      const scale = scales[model.get("chosen")], seed = model.get("seed"), view = model.get("view");
      steps = choices[model.get("steps")];
      walks = listed();
      const what = [`${named(model.get("label"))} from seed ${seed}`, `${labels} kinds from seed ${seed}`, `${stops} times ${named(model.get("label"))} from seed ${seed} to seed ${model.get("other")}`][view];
      return {
        // The cosine schedule leaves nothing of the image at t = T, where x_0 would be estimated by a division by almost 0.
        walks: walks.map(({ walk }) => ({ ...walk, steps, scale, seed, spacing: "leading", towards: model.get("other") })),
        frames: walks.length * (steps + 1),
        passes: walks.length * steps * (scale ? 2 : 1),
        halves: scale ? 2 : 1,
        words: `${what} at w = ${kit.number(scale)} in ${steps} steps`,
      };
    },
    begin: () => {
      ends = [];
      const view = model.get("view");
      // With one picture it is large already, and between two noises the share is that of each picture.
      share.hidden = view === 2;
      kind.querySelector("select").disabled = view === 1;
      // Another row comes with its first picture, so that the answer to a choice comes at once.
      laid = view === laid ? view : 0;
      if (laid) lay();
      below.hidden = !laid;
    },
    heard: (frames) => {
      if (walks.length > 1 && !laid) {
        lay();
        laid = model.get("view");
        below.hidden = false;
      }
      // Of the frames that arrive together the reader sees each walk's last.
      const last = new Map(frames.filter(({ t }) => !calm.matches || t === 0).map((frame) => [frame.which, frame])).values();
      let large, ready = false;
      for (const frame of last) {
        const { which, t, image } = frame, one = strip[which], { picture } = one;
        if (walks.length > 1) {
          picture.paint(image, 0, C);
          one.drawn = true;
        }
        // Two walks are drawn at a time; the first worker's is the one that is shown large.
        if (which % 2 === 0) large = frame;
        if (t > 0) continue;
        picture.say(`${walks[which].below}, drawn`);
        ends[which] = image;
        ready = true;
      }
      if (large) kinds.forEach(([part, sign, said], i) => {
        pictures[i].paint(large[part] ?? nothing, 0, C);
        pictures[i].say(large[part] ? `${sign}, ${said}, at t = ${large.t}: ${walks[large.which].below}` : "no noise at t = 0");
      });
      if (large || ready) facts.write(pairs(String(large?.t ?? 0)));
    },
    ended: () => "",
  });

  const kind = kit.choice(model, "label", { label: "kind", options: Array.from({ length: labels }, (_, label) => named(label)) });
  const share = kit.slider(model, "share", { label: "turned towards it", min: 0, max: SHARES, text: (i) => degrees(i / SHARES) });
  const below = kit.row(...strip.map(({ figure }) => figure));
  below.hidden = true;
  kit.stage(
    place,
    "Draw clothes",
    kit.row(
      kit.choice(model, "view", { label: "draw", options: VIEWS }),
      kind,
      kit.slider(model, "chosen", { label: "scale", min: 0, max: scales.length - 1, text: (i) => `w = ${kit.number(scales[i])}` }),
      kit.choice(model, "steps", { label: "steps", options: choices.map(String) }),
      kit.slider(model, "seed", { label: "seed", min: 0, max: 99, text: String }),
      kit.slider(model, "other", { label: "another seed", min: 0, max: 99, text: String }),
      share,
    ),
    work.controls,
    kit.row(...kinds.map(([, sign, said], i) => kit.figure(pictures[i].canvas, `${sign}, ${said}`))),
    below,
    facts,
    work.status,
  );
  return work.open();
});
