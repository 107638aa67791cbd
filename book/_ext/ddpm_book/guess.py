"""Draw your guess: a button at each guess of a page, and a cover over what shows the result.

Both are written into the page, because a script for so little would weigh more. Without scripts there is no button, and
no figure is covered. The button loads the module, which then starts all guesses of the page.
"""

import json
import re

from ddpm_lite.viz.widgets import DrawGuess

from .widgets import shorten

PLACE = re.compile(r'(<div[^>]* data-widget="draw-guess"[^>]* data-state="([^"]*)".*?</p>)(</div></div>)', re.DOTALL)
TEXTS = re.compile(r"&quot;(hides|key)&quot;:&quot;([^&]*)&quot;")
LOAD = (
    "const s = document.createElement('script'); s.src = '{script}'; s.onerror = () => {{ s.remove(); "
    "this.nextSibling.textContent = ' It could not be loaded. Press again to try once more.'; }}; "
    "document.head.append(s);"
)
BUTTON = (
    '<p class="ddpm-derive-open screen-only"><button type="button" onclick="{load}">{press}</button>'
    '<span role="status"></span></p>'
)
# What is covered keeps its room, in a frame, because a mere gap looks like a mistake; paper and a link to it show it.
STYLE = """<style>
.dw-covered {
  min-height: 3.5rem;
  position: relative;
}

.dw-covered > button {
  background: none;
  border: 1px solid;
  border-radius: 0.3rem;
  color: inherit;
  inset: 0;
  margin: auto;
  max-width: 90%;
  min-height: 2.75rem;
  padding: 0.3rem 0.8rem;
  position: absolute;
  block-size: fit-content;
  inline-size: fit-content;
}

@media print {
  .dw-covered > button {
    display: none;
  }
}

@media screen {
  .dw-covered:not(:target) {
    outline: 1px dashed #888;
  }

  .dw-covered:not(:target) > :not(button) {
    visibility: hidden;
  }
}
</style>"""
# Covered are the figure and what cells print before it, or else the first text that is printed after the guess. Not
# covered is a figure to which a link leads, and what was shown before. See shared/store.js for what is kept.
COVER = """<script>
{
  const key = KEY, figure = document.getElementById(HIDES), store = "ddpm-lite:guess";
  const recall = () => { try { return Object(JSON.parse(localStorage[store] ?? "{}")); } catch { return {}; } };
  const places = [...document.querySelectorAll('[data-widget="draw-guess"]')];
  const place = places.find((one) => one.dataset.state.includes(`"key":"${key}"`));
  const follows = (one, other) => one.compareDocumentPosition(other) & Node.DOCUMENT_POSITION_FOLLOWING;
  const printed = [...document.querySelectorAll(".cell_output > .output.stream")].filter((one) => follows(place, one));
  const covered = figure ? [...printed.filter((one) => follows(one, figure)), figure] : printed.slice(0, 1);
  if (!recall()[key]?.shown && covered.length) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Show this without a guess";
    button.onclick = () => {
      covered.forEach((one) => one.classList.remove("dw-covered"));
      button.remove();
      const all = recall(), now = { guess: [], ...all[key], shown: true };
      try { localStorage[store] = JSON.stringify({ ...all, [key]: now }); } catch {}
    };
    for (const one of covered) {
      one.classList.add("dw-covered");
      one.dataset.guess = key;
    }
    covered.at(-1).append(button);
  }
}
</script>"""


def offer_guesses(body, script):
    """Write the buttons and covers into a page; `script` is the address of the module."""
    covers = []

    def offer(found):
        state = dict(TEXTS.findall(found[2]))
        if "key" in state:
            cover = COVER.replace("KEY", json.dumps(state["key"])).replace("HIDES", json.dumps(state.get("hides", "")))
            covers.append(shorten("cover.js", cover))
        button = BUTTON.format(load=LOAD.format(script=script), press=DrawGuess.press)
        return f"{found[1]}{button}{found[3]}"

    body = PLACE.sub(offer, body)
    return f"{body}{shorten('cover.css', STYLE)}{''.join(covers)}" if covers else body


def write_guesses(app, pagename, templatename, context, doctree):
    if 'data-widget="draw-guess"' in context.get("body", ""):
        script = context["pathto"]("_static/widgets/live/draw-guess.js", 1)
        context["body"] = offer_guesses(context["body"], script)


def setup(app):
    app.connect("html-page-context", write_guesses)
