// For the book's first page, which loads it on a reader's press: the network and its walk, without a widget around them.
import { drawing, network } from "../shared/unet.js";

window.ddpmDraw = { drawing, network };
