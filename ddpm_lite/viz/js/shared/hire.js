// What widgets with a network need: workers, and the network's file.
import { rest, SLICE } from "./turns.js";

const MOST = 8; // workers that train one network

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

// The workers that train a network together, as many as the processor has cores, and one of them leads (school.js); or the
// page itself, in slices that leave it responsive, where workers are refused. Their script is `text`, and `local` is the name of
// its function for the page. `hear` gets what the lead posts, `tell` reaches it, and `about` is what it says of the file.
/** @param {any} model @param {string} text @param {"ddpmTeach" | "ddpmTeachSet"} local @param {(message: any) => void} hear @param {object} [more] */
export const hireTeam = async (model, text, local, hear, more) => {
  const wanted = Math.max(1, Math.min(navigator.hardwareConcurrency || 1, MOST));
  const hired = (await Promise.all(Array.from({ length: wanted }, () => hire(text)))).filter(Boolean);
  // Where workers are refused, the script is long work too.
  if (!hired.length) await rest();
  const team = hired.length ? hired : [page(text, local)], [lead, ...others] = team, of = team.length;
  const close = () => hired.forEach((worker) => worker.terminate());
  model.signal.addEventListener("abort", () => {
    lead.postMessage({ go: false });
    close();
  });
  const file = await fetched(model), channels = others.map(() => new MessageChannel());
  const open = (/** @type {any} */ member, /** @type {object} */ message, /** @type {MessagePort[]} */ ports) =>
    new Promise((done, failed) => {
      member.onmessage = ({ data }) => (data.error ? failed(new Error(data.error)) : done(data));
      member.postMessage({ file, of, ...message, ...more }, ports);
    });
  const ports = channels.map(({ port1 }) => port1), helping = others.map((worker, i) => open(worker, { lead: channels[i].port2 }, [channels[i].port2]));
  const [about] = await Promise.all([open(lead, { ports }, ports), ...helping]).catch((wrong) => {
    close();
    throw wrong;
  });
  lead.onmessage = ({ data }) => hear(data);
  for (const worker of hired) worker.onerror = () => hear({ error: "A worker stopped. Load the page again to train.", news: [], done: true });
  return { tell: (/** @type {any} */ message) => lead.postMessage(message), about };
};

// The page instead of a worker.
const page = (/** @type {string} */ text, /** @type {"ddpmTeach" | "ddpmTeachSet"} */ local) => {
  if (!window[local]) document.head.append(Object.assign(document.createElement("script"), { text }));
  const self = { onmessage: (/** @type {{ data: any }} */ _) => {}, postMessage: (/** @type {any} */ _) => {} };
  self.postMessage = window[local]((data) => self.onmessage({ data }), SLICE);
  return self;
};
