"""The book's one Sphinx extension: what makes its pages whole without a network.

maths.py      typesets the formulas with KaTeX while the book is built
hygiene.py    takes out of a page what it does not need, and mends what the theme leaves inaccessible
light.py      leaves out of a page what it does not use: icons, scripts, the search index
checks.py     links each equation to the code that checks it
cards.py      writes what the cards over links show
numbers.py    numbers equations by chapter
quoted.py     lists the numbers of the prose that no cell computes
look.py       draws figures and diagrams in the page, in the palette's colours
search.py     puts equation numbers, synonyms and Chinese words into the search index
widgets.py    puts the widgets' scripts on the pages that hold widgets
records.py    stops the build where a recorded run is gone
api.py        makes the appendix of docstrings, and links the names in the chapters to it
guess.py      puts a button at each guess, and covers the figure with its result
quick.py      puts a button below an exercise that the page can judge: a number, a choice or a formula
derive.py     puts a button at each derivation that a reader can do in the page
kept.py       lists on the page of progress what a reader can do in the pages, and has done
front.py      makes the first page: a walk from noise to an image, typos to try, a card for each chapter
reach.py      describes each page to those who share or search it, and makes the page for wrong links
addresses.py  takes the project's addresses from pyproject.toml
assets/       the book's own style sheet and script
"""

from . import (
    addresses,
    api,
    cards,
    checks,
    derive,
    front,
    guess,
    hygiene,
    kept,
    light,
    look,
    maths,
    numbers,
    quick,
    quoted,
    reach,
    records,
    search,
    widgets,
)


def setup(app):
    addresses.setup(app)
    api.setup(app)
    cards.setup(app)
    checks.setup(app)
    derive.setup(app)
    front.setup(app)
    guess.setup(app)
    maths.setup(app)
    numbers.setup(app)
    quick.setup(app)
    quoted.setup(app)
    hygiene.setup(app)
    kept.setup(app)
    look.setup(app)
    light.setup(app)
    search.setup(app)
    widgets.setup(app)
    reach.setup(app)
    records.setup(app)
    return {"version": "0.1.0", "parallel_read_safe": True, "parallel_write_safe": True}
