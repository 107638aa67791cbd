"""Where the built book is, which documents it has, what a file weighs, and when a page is ready to be looked at."""

import gzip
from functools import cache
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "_build" / "html"
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf8"))
DOCUMENTS = [TOC["root"], *(c["file"] for part in TOC["parts"] for c in part["chapters"])]
# Below the page of checks each chapter has one of its own; two of them are looked at.
DOCUMENTS += ["book/checks/ch03", "book/checks/ch12"]
# Fonts are there, and every equation is fitted to the page, as before printing: on a screen book.js fits what is near
# the window, and browsers lay out no more than that.
READY = """async () => {
  const settle = async () => {
    await document.fonts.ready;
    for (let frames = 0; frames < 2; frames++) await new Promise(requestAnimationFrame);
  };
  await settle();
  dispatchEvent(new Event("beforeprint"));
  await settle();
  dispatchEvent(new Event("afterprint"));
  return true;
}"""


@cache
def weigh(path):
    """Bytes of a file, gzipped as a server sends it."""
    return len(gzip.compress(path.read_bytes(), 6))
