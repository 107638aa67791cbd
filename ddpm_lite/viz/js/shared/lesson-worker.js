// The script of the worker that trains a network: it takes the page's messages, and posts one when it has started.
import { teach } from "./lesson.js";

const tell = teach((message) => postMessage(message), 60);
onmessage = ({ data }) => tell(data);
postMessage("here");
