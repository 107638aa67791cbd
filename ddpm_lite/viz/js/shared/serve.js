// Runs the network, in a worker or on the page itself, in slices of some milliseconds.
import { building, drawing } from "./unet.js";

const TRIES = 2; // evaluations at the start; the last one, when the browser has compiled what it runs, is measured

// Returns a function for messages, and posts { job, frames, done, error }. For a file, it makes the network, job 0, whose
// only frame has the milliseconds that an evaluation takes. For a job, which is a number and a list of walks with their
// numbers, it posts their frames as they are computed; a new job ends the one before. While it is told to pause, it waits.
export const serve = (post, slice) => {
  let net, now, work, timer, paused = false;
  function* prepare(file) {
    net = yield* building(file);
    let pass = 0;
    for (let i = 0; i < TRIES; i++) {
      pass = 0;
      for (const parts = net.asking(new Float64Array(net.size), net.schedule.T); ; yield) {
        const start = performance.now(), { done } = parts.next();
        pass += performance.now() - start;
        if (done) break;
      }
    }
    yield { pass };
  }
  function* all(walks) {
    for (const [which, options] of walks) {
      for (const frame of drawing(net, { ...options, parts: true })) yield frame && { which, ...frame };
    }
  }
  const later = () => {
    clearTimeout(timer);
    if (work && !paused) timer = setTimeout(turn, 0);
  };
  const turn = () => {
    const until = performance.now() + slice, frames = [], job = now;
    let done = false, error;
    try {
      while (!done && performance.now() < until) {
        const next = work.next();
        done = next.done;
        if (next.value) frames.push(next.value);
      }
    } catch (wrong) {
      done = true;
      error = /** @type {Error} */ (wrong).message;
    }
    if (done) work = null;
    if (frames.length || done) post({ job, frames, done, error });
    later();
  };
  return (/** @type {{ file?: any, job?: number, walks?: any[], pause?: boolean }} */ { file, job = 0, walks = [], pause }) => {
    if (pause !== undefined) paused = pause;
    else {
      now = job;
      work = file ? prepare(file) : all(walks);
    }
    later();
  };
};
