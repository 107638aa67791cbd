// The script of the worker that learns a reader's own pictures; where workers are refused, the page runs it itself
// (lesson-worker.js).
import { setLesson } from "./own-set.js";
import { teach } from "./school.js";

if (typeof document === "undefined") {
  const tell = teach((message) => postMessage(message), 60, setLesson);
  onmessage = ({ data }) => tell(data);
  postMessage("here");
} else window.ddpmTeachSet = (post, slice) => teach(post, slice, setLesson);
