"""Put into the search index what readers type: numbers of equations, abbreviations, synonyms, Chinese words.

Sphinx's index holds the words of the pages. Into it goes a list of places, each with the words that lead there: an
equation with its number, a term of the glossary with its names (words.toml) and with the first equation of its entry.
assets/search.js shows the places that a query names ahead of the rest. Pages that say `nosearch` leave no trace at all.
"""

import re
import tomllib
from pathlib import Path

from sphinx.errors import ExtensionError

WORDS = Path(__file__).with_name("words.toml")
ABBREVIATION = re.compile(r"^(.+?) \((\S+)\)$")
CITED = re.compile(r"\{eq\}`([\w-]+)`")
TAG = re.compile(r"<[^>]+>")  # around the number of a chapter
ENTRY = re.compile(r"^(\S.*)\n((?: {2}\S.*\n?)+)", re.MULTILINE)


def terms(glossary):
    """{term: label of the first equation that its entry names, or None} of a glossary's source."""
    inside = glossary.partition("```{glossary}\n")[2].partition("```")[0]
    found = {}
    for term, entry in ENTRY.findall(inside):
        cited = CITED.search(entry)
        found[term] = cited and cited[1]
    return found


def places(env, words):
    """(words, page, anchor, title, kind) of everything that can be found by a name of its own.

    Raises:
        ExtensionError: words.toml names a term or a page that the book does not have.
    """
    equations = env.get_domain("math").equations
    for label, (page, number) in equations.items():
        yield [number], page, f"equation-{label}", f"({number})", "equation"
    pages = {page for page in words["pages"] if page in env.found_docs}
    known = {}
    for page in sorted(env.found_docs):
        if page.endswith("glossary"):
            known |= {term: (page, label) for term, label in terms(Path(env.doc2path(page)).read_text("utf8")).items()}
    anchors = {name: (page, anchor) for name, _, _, page, anchor, _ in env.get_domain("std").get_objects()
               if anchor.startswith("term-")}  # fmt: skip
    if known and (lost := (set(words["terms"]) - set(known)) | (set(words["pages"]) - pages)):
        raise ExtensionError(f"{WORDS.name} names {', '.join(sorted(lost))}: no such term or page")
    for term, (page, label) in known.items():
        names = [term, *words["terms"].get(term, [])]
        if parts := ABBREVIATION.match(term):
            names += parts.groups()
        yield names, page, anchors[term][1], term, "glossary"
        if label in equations:
            there, number = equations[label]
            yield names, there, f"equation-{label}", f"({number})", f"equation of {term}"
    for page in sorted(pages):
        yield words["pages"][page], page, "", None, "chapter"


def forget(index, gone):
    """Take the pages with these numbers out of a search index."""

    def rest(found):
        return [place for place in found if (place[0] if isinstance(place, list | tuple) else place) not in gone]

    for kind in ("alltitles", "indexentries"):
        index[kind] = {name: kept for name, found in index[kind].items() if (kept := rest(found))}
    for kind in ("terms", "titleterms"):
        lists = {name: found if isinstance(found, list) else [found] for name, found in index[kind].items()}
        index[kind] = {name: kept for name, found in lists.items() if (kept := rest(found))}


def extend(app):
    """Let the index that Sphinx writes have the places, before it is written."""
    indexer, env = getattr(app.builder, "indexer", None), app.env
    if indexer is None:
        return []
    words, plain = tomllib.loads(WORDS.read_text(encoding="utf8")), indexer.freeze

    def freeze():
        index = plain()
        numbers = {page: number for number, page in enumerate(index["docnames"])}
        index["titles"] = [TAG.sub("", title) for title in index["titles"]]
        forget(index, {number for page, number in numbers.items() if "nosearch" in env.metadata.get(page, {})})
        index["places"] = [
            [[name.lower() for name in names], numbers[page], anchor, title, kind]
            for names, page, anchor, title, kind in places(env, words)
            if page in numbers
        ]
        return index

    indexer.freeze = freeze
    return []


def add_script(app, pagename, templatename, context, doctree):
    if pagename == "search":
        app.add_js_file("search.js", loading_method="defer")


def setup(app):
    app.connect("html-collect-pages", extend)
    app.connect("html-page-context", add_script)
