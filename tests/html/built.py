"""Where the built book is, which documents it has, and when a page is ready to be looked at."""

from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "_build" / "html"
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf8"))
DOCUMENTS = [TOC["root"], *(c["file"] for part in TOC["parts"] for c in part["chapters"])]
# Below the page of checks each chapter has one of its own; two of them are looked at.
DOCUMENTS += ["book/checks/ch03", "book/checks/ch12"]
# book.js has fitted the equations to the page when the fonts are there.
READY = "() => document.fonts.ready.then(() => true)"
