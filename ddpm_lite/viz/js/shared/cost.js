// What a U-Net costs, by formula, as in ddpm_lite.runs.cost.

/**
 * @typedef {object} Config A U-Net with one head of attention and no context, as in ddpm_lite.unet.
 * @property {number} side of the image
 * @property {number} colours
 * @property {number[]} channels
 * @property {number} blocks
 * @property {(level: number) => boolean} attends
 * @property {boolean} middle whether the middle attends
 * @property {number} groups
 * @property {boolean} dropout
 */

// For each level, and as the last entry for the rest: weights, operations of a forward pass, and bytes kept for each image.
/** @param {Config} config @returns {[number, number, number][]} */
export const countUnet = ({ side, colours, channels, blocks, attends, middle, groups, dropout }) => {
  const last = channels.length, time = 4 * channels[0], pixels = channels.map((_, level) => (side * side) / 4 ** level);
  /** @type {[number, number, number][]} */
  const costs = [...channels, 0].map(() => [0, 0, 0]);
  const add = (place, weights, operations, bytes) => [weights, operations, bytes].forEach((value, i) => (costs[place][i] += value));
  // eq-conv-count, eq-conv-flops; `keeps` numbers are kept
  const convolve = (place, from, to, window, n, keeps = 0) => add(place, (window * from + 1) * to, 2 * window * from * to * n, 4 * keeps);
  const normalise = (place, width, maps) => add(place, 2 * width, 0, 4 * (width * maps + 2 * groups));
  const block = (place, from, to, n, attention) => {
    normalise(place, from, 3 * n);
    convolve(place, from, to, 9, n);
    convolve(place, time, to, 1, 1, time);
    normalise(place, to, 3 * n);
    convolve(place, to, to, 9, n);
    if (dropout) add(place, 0, 0, 4 * to * n);
    if (from !== to) convolve(place, from, to, 1, n);
    if (!attention) return;
    normalise(place, to, 2 * n);
    for (let i = 0; i < 4; i++) convolve(place, to, to, 1, n);
    add(place, 0, 4 * to * n * n, 4 * (6 * to + 1) * n);
  };

  let width = channels[0];
  const skips = [width];
  convolve(last, width, time, 1, 1, width + time);
  convolve(last, time, time, 1, 1, 2 * time);
  convolve(last, colours, width, 9, pixels[0], colours * pixels[0]);
  channels.forEach((wide, level) => {
    for (let i = 0; i < blocks; i++) {
      block(level, width, wide, pixels[level], attends(level));
      width = wide;
      skips.push(width);
    }
    if (level === last - 1) return;
    convolve(level, width, width, 9, pixels[level + 1], width * (side / 2 ** level + 1) ** 2);
    skips.push(width);
  });
  for (const attention of [middle, false]) block(last, width, width, pixels[last - 1], attention);
  for (let level = last - 1; level >= 0; level--) {
    for (let i = 0; i <= blocks; i++) {
      block(level, width + (skips.pop() ?? 0), channels[level], pixels[level], attends(level));
      width = channels[level];
    }
    if (level) convolve(level, width, width, 9, pixels[level - 1], width * pixels[level - 1]);
  }
  normalise(last, width, 3 * pixels[0]);
  convolve(last, width, colours, 9, pixels[0]);
  return costs;
};
