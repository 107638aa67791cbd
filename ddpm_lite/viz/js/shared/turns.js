// Long work in turns. It is a generator that stops after every few milliseconds' work, and a turn ends with the part in which
// its time has passed. So a slower machine does fewer parts at a time, and the page or the worker may do something
// else between two turns.

// The milliseconds that a page works at a time, where workers are refused. Drawing may follow, which adds to a block.
export const SLICE = 18;

// Does parts of some work until `until`, the end, or a promise; what other parts yield is given to `take`.
/**
 * @template T @param {Generator<any, T>} work @param {number} until by performance.now() @param {(value: any) => void} [take]
 * @returns {{ done?: boolean, value?: any }} at the end what the work returns, or the promise that it waits for
 */
export const takeTurn = (work, until, take) => {
  do {
    const { value, done } = work.next();
    if (done || value instanceof Promise) return { done, value };
    if (value) take?.(value);
  } while (performance.now() < until);
  return {};
};

// Lets the page do what waits, such as a layout.
export const rest = () => new Promise((done) => setTimeout(done, 0));

// What a generator returns in the end, for work that nothing else waits for.
/** @template T @param {Generator<any, T>} parts @returns {T} */
export const finish = (parts) => {
  for (;;) {
    const { done, value } = parts.next();
    if (done) return value;
  }
};
