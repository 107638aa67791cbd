// The script of the worker: it serves the page's messages, and posts one when it has started.
import { serve } from "./serve.js";

const tell = serve((message) => postMessage(message), 30);
onmessage = ({ data }) => tell(data);
postMessage("here");
