"""Draw your guess: a button at each guess of a page, and a cover over the figure that shows the result.

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
# A figure to which a link leads is not covered, nor one that was shown before. See shared/store.js for what is kept.
COVER = """<script>
{
  const figure = document.currentScript.parentNode, key = KEY, store = "ddpm-lite:guess";
  const button = document.createElement("button");
  const recall = () => { try { return Object(JSON.parse(localStorage[store] ?? "{}")); } catch { return {}; } };
  if (!recall()[key]?.shown) {
    button.type = "button";
    button.textContent = "Show this figure without a guess";
    button.onclick = () => {
      figure.classList.remove("dw-covered");
      button.remove();
      const all = recall();
      const now = { guess: [], ...all[key], shown: true };
      try { localStorage[store] = JSON.stringify({ ...all, [key]: now }); } catch {}
    };
    figure.classList.add("dw-covered");
    figure.append(button);
  }
}
</script>"""


def offer_guesses(body, script):
    """Write the buttons and covers into a page; `script` is the address of the module."""
    covered = {}

    def offer(found):
        state = dict(TEXTS.findall(found[2]))
        if state.get("hides"):
            covered[state["hides"]] = state["key"]
        button = BUTTON.format(load=LOAD.format(script=script), press=DrawGuess.press)
        return f"{found[1]}{button}{found[3]}"

    body = PLACE.sub(offer, body)
    for figure, key in covered.items():
        cover = shorten("cover.js", COVER.replace("KEY", json.dumps(key)))
        body = re.sub(rf'<figure[^>]* id="{re.escape(figure)}"[^>]*>', lambda tag, cover=cover: tag[0] + cover, body)
    return body


def write_guesses(app, pagename, templatename, context, doctree):
    if 'data-widget="draw-guess"' in context.get("body", ""):
        script = context["pathto"]("_static/widgets/live/draw-guess.js", 1)
        context["body"] = offer_guesses(context["body"], script)


def setup(app):
    app.connect("html-page-context", write_guesses)
