// What widgets with a network need: a worker, and the network's file.

// A worker that has answered, or null if workers are not available. It is made from the text of its bundle, because a page
// that is opened as a file may not load another script. Its first message says that it has started.
export const hire = (/** @type {string} */ text) =>
  new Promise((done) => {
    let worker, patience;
    const refused = (event) => {
      event?.preventDefault?.();
      clearTimeout(patience);
      worker?.terminate();
      done(null);
    };
    try {
      const address = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
      worker = new Worker(address);
      patience = setTimeout(refused, 5000);
      worker.onerror = refused;
      worker.onmessage = () => {
        clearTimeout(patience);
        URL.revokeObjectURL(address);
        done(worker);
      };
    } catch {
      refused();
    }
  });

// The network's file: the book's pages have it in press.js, and in Jupyter Python sends it on request.
export const fetched = (model) => {
  if (model.file) return model.file(model.get("network"));
  return new Promise((done) => {
    model.on("msg:custom", (message) => message.text && done(message));
    model.send("network");
  });
};
