// Several copies of a network that train together, each in a worker of its own: one leads, and the others help it. A helper
// gets the weights with each task, and returns the gradient that it has summed. Both travel in the same array, which is
// handed over there and back, and not copied.

// Divides `count` things among so many, as evenly as they can be; the first has no fewer than any other.
/** @param {number} count @param {number} among @returns {[number, number][]} the first of each share, and the first after it */
export const cut = (count, among) => {
  const start = (/** @type {number} */ i) => Math.ceil((i * count) / among);
  return Array.from({ length: among }, (_, i) => [start(i), start(i + 1)]);
};

// A helper, as the lead sees it: what it is asked, by a task and what belongs to that, it answers with a promise.
/** @param {MessagePort} port @param {number} length how many weights there are */
export const reach = (port, length) => {
  /** @type {Float32Array | null} */
  let here = new Float32Array(length);
  /** @type {(() => void) | null} */
  let later = null;
  return (/** @type {object} */ request, /** @type {Float32Array} */ weights) =>
    new Promise((done) => {
      const send = () => {
        const numbers = /** @type {Float32Array} */ (here);
        here = later = null;
        numbers.set(weights);
        port.onmessage = ({ data }) => {
          here = data.numbers;
          // What was asked for a run that has ended since is of no use.
          if (later) later();
          else done(data);
        };
        port.postMessage({ ...request, numbers }, [numbers.buffer]);
      };
      if (here) send();
      else later = send;
    });
};

// The helper's end of the port. A task is a generator, so that the lead, which has a share of its own, can do it in parts.
/** @param {MessagePort} port @param {any} net from `trainable` @param {Record<string, (request: any) => Generator<any, any>>} tasks */
export const help = (port, net, tasks) => {
  port.onmessage = ({ data: { task, numbers, ...request } }) => {
    let answer;
    try {
      net.weights.set(numbers);
      net.renew();
      const work = tasks[task](request);
      let next = work.next();
      while (!next.done) next = work.next();
      answer = next.value;
    } catch (wrong) {
      answer = { error: /** @type {Error} */ (wrong).message };
    }
    numbers.set(net.gradient);
    net.gradient.fill(0);
    port.postMessage({ ...answer, numbers }, [numbers.buffer]);
  };
};
