// What a worker runs: it draws what it is told, and says so once it is there.
import { serve } from "./serve.js";

const tell = serve((message) => postMessage(message), 30);
onmessage = ({ data }) => tell(data);
postMessage("here");
