// The script of the worker: it serves the page's messages, and posts one when it has started. Where a page may have no worker,
// the page runs this script itself, so that it need not carry the network twice.
import { serve } from "./serve.js";

if (typeof document === "undefined") {
  const tell = serve((message) => postMessage(message), 30);
  onmessage = ({ data }) => tell(data);
  postMessage("here");
} else window.ddpmServe = serve;
