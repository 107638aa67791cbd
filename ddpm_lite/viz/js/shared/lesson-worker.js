// The script of the worker that trains a network: it takes the page's messages, and posts one when it has started. Where
// workers are refused, the page runs the same script itself, and takes `ddpmTeach` from it, so that it is loaded only once.
import { lesson } from "./lesson.js";
import { teach } from "./school.js";

if (typeof document === "undefined") {
  const tell = teach((message) => postMessage(message), 60, lesson);
  onmessage = ({ data }) => tell(data);
  postMessage("here");
} else window.ddpmTeach = (post, slice) => teach(post, slice, lesson);
