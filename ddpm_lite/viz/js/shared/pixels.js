// Pictures of 8x8 pixels as strings of 64 letters, from A for paper to Q for ink: their file, and what they are made from.
import { el } from "./kit.js";

export const SIDE = 8, COUNT = SIDE * SIDE, INK = 16, MOST = 300;
const FORM = "ddpm-lite pictures 8x8, version 1", FINE = SIDE ** 2;

/** @param {ArrayLike<number>} levels from 0 to 16 @returns {string} */
export const spell = (levels) => Array.from(levels, (level) => String.fromCharCode(65 + Math.round(level))).join("");
/** @param {string} picture @returns {number[]} levels from 0 to 16 */
export const levels = (picture) => Array.from(picture, (letter) => letter.charCodeAt(0) - 65);
/** @param {string} picture @returns {number[]} values from -1 to 1 */
export const values = (picture) => levels(picture).map((level) => level / 8 - 1);

/** @param {string[]} pictures */
export const writeSet = (pictures) => `${JSON.stringify({ form: FORM, pictures }, null, 1)}\n`;

// The pictures of a file; the error of another file is one line.
/** @param {string} text @returns {string[]} */
export const readSet = (text) => {
  const fail = (/** @type {string} */ got) => {
    throw new Error(`file: expected a set that was saved here, got ${got}; choose another file`);
  };
  let found;
  try {
    found = JSON.parse(text);
  } catch {
    fail("a text that is not JSON");
  }
  if (found?.form !== FORM) fail("a file of another kind");
  const { pictures } = found;
  if (!(pictures?.length <= MOST && [...pictures].every((one) => /^[A-Q]{64}$/.test(one)))) fail("damaged pictures");
  return [...pictures];
};

// The root-mean-square distance per pixel of a sample, clipped as it is shown, from each picture: the nearest, and how near.
/** @param {ArrayLike<number>} sample @param {number[][]} pictures values from -1 to 1 */
export const nearest = (sample, pictures) => {
  let which = 0, apart = Infinity;
  const seen = Array.from(sample, (v) => Math.max(-1, Math.min(1, v)));
  pictures.forEach((picture, n) => {
    const mean = seen.reduce((sum, v, i) => sum + (v - picture[i]) ** 2, 0) / COUNT;
    if (mean < apart) [which, apart] = [n, mean];
  });
  return { which, apart: Math.sqrt(apart) };
};

// A black square to draw on.
const board = () => {
  const context = /** @type {CanvasRenderingContext2D} */ (el("canvas", { width: FINE, height: FINE }).getContext("2d", { willReadFrequently: true }));
  context.fillRect(0, 0, FINE, FINE);
  return context;
};

// The mean brightness of each of its cells, scaled so that the brightest cell is ink.
const shrink = (/** @type {CanvasRenderingContext2D} */ context) => {
  const { data } = context.getImageData(0, 0, FINE, FINE), sums = new Float64Array(COUNT);
  for (let i = 0; i < FINE ** 2; i++) {
    const at = Math.floor(i / FINE / SIDE) * SIDE + Math.floor((i % FINE) / SIDE);
    sums[at] += data[4 * i] + data[4 * i + 1] + data[4 * i + 2];
  }
  const most = Math.max(1, ...sums);
  return spell(sums.map((sum) => (INK * sum) / most));
};

// A picture file, scaled to a square.
/** @param {Blob} blob @returns {Promise<string>} */
export const fromImage = async (blob) => {
  let image;
  try {
    image = await createImageBitmap(blob);
  } catch {
    throw new Error(`image: expected a picture, got ${blob.type || "another file"}; choose a PNG or JPEG file`);
  }
  const context = board();
  context.drawImage(image, 0, 0, FINE, FINE);
  image.close();
  return shrink(context);
};

// A letter, symbol or emoji in the reader's own font, as large as the square allows.
/** @param {string} sign @param {string} font @returns {string} */
export const fromSign = (sign, font) => {
  const context = board();
  context.fillStyle = "white";
  context.font = `bold ${FINE}px ${font}`;
  const { actualBoundingBoxLeft: left, actualBoundingBoxRight: right, actualBoundingBoxAscent: up, actualBoundingBoxDescent: down } = context.measureText(sign);
  const scale = (FINE - 4) / Math.max(1, left + right, up + down);
  context.translate(FINE / 2, FINE / 2);
  context.scale(scale, scale);
  context.fillText(sign, (left - right) / 2, (up - down) / 2);
  return shrink(context);
};

/** @param {string} text @returns {string[]} the signs of a text, without spaces, each once */
export const splitSigns = (text) => {
  const parts = Array.from(new Intl.Segmenter().segment(text), ({ segment }) => segment);
  return [...new Set(parts.filter((sign) => sign.trim()))];
};
