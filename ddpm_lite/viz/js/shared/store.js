// What a reader did is kept in the browser, under one name for each kind of thing, and sent nowhere. A browser may refuse to
// store, or hold what somebody else wrote.

export const GUESSES = "ddpm-lite:guess";

/** @param {string} store @returns {Record<string, any>} */
export const recall = (store) => {
  try {
    return Object(JSON.parse(localStorage[store] ?? "{}"));
  } catch {
    return {};
  }
};

/** @param {string} store @param {string} name @param {any} value */
export const keep = (store, name, value) => {
  try {
    localStorage[store] = JSON.stringify({ ...recall(store), [name]: value });
  } catch {
    // Then nothing is remembered.
  }
};
