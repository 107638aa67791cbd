// Runs the network, in a worker or on the page itself.
import { drawing, network } from "./unet.js";

// Returns a function for messages. For a file, it posts that the network is ready, or an error. For a job, which is a number
// and a list of walks, it posts their frames as they are computed; a new job ends the one before.
export const serve = (post, slice) => {
  let net, now, work;
  function* all(walks) {
    for (const [which, options] of walks.entries()) {
      for (const frame of drawing(net, options)) yield { which, ...frame };
    }
  }
  const turn = (job) => {
    if (job !== now) return;
    const until = performance.now() + slice, frames = [];
    let done = false, error;
    try {
      while (!done && performance.now() < until) {
        const next = work.next();
        done = next.done;
        if (!done) frames.push(next.value);
      }
    } catch (wrong) {
      done = true;
      error = /** @type {Error} */ (wrong).message;
    }
    post({ job, frames, done, error });
    if (!done) setTimeout(turn, 0, job);
  };
  return (/** @type {{ file?: any, job?: number, walks?: any[] }} */ { file, job, walks }) => {
    if (file) {
      try {
        net = network(file);
        post({ ready: true });
      } catch (wrong) {
        post({ error: /** @type {Error} */ (wrong).message });
      }
      return;
    }
    now = job;
    work = all(walks);
    setTimeout(turn, 0, job);
  };
};
