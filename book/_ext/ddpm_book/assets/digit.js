// A digit that the first page samples by itself: front.js loads this file, and it the network, when its button is pressed.
(() => {
  // The network's file passes its name, a checksum and its text to `file`.
  const files = {};
  (window.ddpmWidgets ??= {}).file ??= (name, sum, text) => (files[name] = { sum, text });
  let network, seed = Math.floor(Math.random() * 100);

  window.ddpmDigit = async ({ begin, calm, canvas, load, PACE, paper, show, status, STEPS }) => {
    const paintGrey = (values) => {
      const side = Math.sqrt(values.length), image = paper.createImageData(side, side);
      canvas.width = canvas.height = side;
      values.forEach((value, i) => {
        const grey = Math.round(((Math.max(-1, Math.min(1, value)) + 1) / 2) * 255);
        image.data.set([grey, grey, grey, 255], 4 * i);
      });
      paper.putImageData(image, 0, 0);
    };
    await load("widgets/live/draw");
    await load("widgets/networks/digits-by-label");
    network ??= window.ddpmDraw.network(files["digits-by-label"]);
    seed = (seed + 1) % 100;
    const label = Math.floor(Math.random() * 10), frames = [], times = [];
    begin({ times, what: `a ${label}`, paint: (frame) => paintGrey(frames[frame]) });
    status.textContent = `Drawing a ${label}.`;
    // One evaluation of the network for each picture that is shown.
    for (const { t, x } of window.ddpmDraw.drawing(network, { steps: STEPS, seed, label, sampler: "ddim", clip: true })) {
      frames.push(Float64Array.from(x));
      times.push(t);
      if (!calm.matches) {
        show(frames.length - 1);
        await new Promise((done) => setTimeout(done, PACE));
      }
    }
    show(frames.length - 1);
    status.textContent = `A ${label}, drawn by this page in ${STEPS} steps.`;
  };
})();
