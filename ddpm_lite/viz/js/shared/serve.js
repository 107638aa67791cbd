// Runs the network, in a worker or on the page itself, in slices of some milliseconds.
import { finish, takeTurn } from "./turns.js";
import { building, drawing } from "./unet.js";

const TRIES = 2; // evaluations at the start; the last one, when the browser has compiled what it runs, is measured

// Returns a function for messages, and posts { job, frames, done, error }. For a file, it makes the network, job 0, whose
// only frame has the milliseconds that an evaluation takes. For a job, which is a number and a list of walks with their
// numbers, it posts their frames as they are computed; a new job ends the one before. While it is told to pause, it waits.
// With a `port` to another worker, that has no walk of its own, a job with `aid` has the evaluations without the label there.
export const serve = (post, slice) => {
  let net, now, work, timer, waits, link, asked, number = 0, paused = false;
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
  // An answer with another number is one to a job that has ended.
  const lend = (x, t) => new Promise((done) => {
    const mine = ++number;
    link.onmessage = ({ data }) => data.number === mine && done(data.z);
    link.postMessage({ number: mine, x, t });
  });
  // Its own job comes first, because both use the same numbers of the network.
  const answer = () => {
    if (work || !asked) return;
    const { x, t, ...its } = asked;
    asked = null;
    link.postMessage({ ...its, z: finish(net.asking(x, t)).slice() });
  };
  function* all(walks, aid) {
    for (const [which, options] of walks) {
      for (const frame of drawing(net, { ...options, parts: true, aid: aid ? lend : undefined })) {
        yield frame instanceof Promise ? frame : frame && { which, ...frame };
      }
    }
  }
  const later = () => {
    clearTimeout(timer);
    if (work && work !== waits && !paused) timer = setTimeout(turn, 0);
  };
  const turn = () => {
    const frames = [], job = now;
    let done, held, error;
    try {
      ({ done = false, value: held } = takeTurn(work, performance.now() + slice, (frame) => frames.push(frame)));
      if (!done && held) {
        const mine = (waits = work);
        held.then(() => {
          if (waits === mine) waits = null;
          later();
        });
      }
    } catch (wrong) {
      done = true;
      error = /** @type {Error} */ (wrong).message;
    }
    if (done) work = null;
    if (frames.length || done) post({ job, frames, done, error });
    later();
    answer();
  };
  return (/** @type {{ file?: any, job?: number, walks?: any[], aid?: boolean, pause?: boolean, port?: MessagePort }} */ { file, job = 0, walks = [], aid, pause, port }) => {
    if (pause !== undefined) paused = pause;
    else if (port) {
      link = port;
      link.onmessage = ({ data }) => {
        asked = data;
        answer();
      };
    } else {
      now = job;
      waits = null;
      work = file ? prepare(file) : all(walks, aid);
    }
    later();
  };
};
