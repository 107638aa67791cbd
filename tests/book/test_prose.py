"""The prose linter finds what it should, leaves alone what it should, and holds the chapters."""

import json
import re

import notebooks
import prose
import pytest

CHAPTERS = [path for path in notebooks.chapters() if path.stem[:2].isdigit()]
# One sentence for each kind, and what of it is found. In chapters, "the note" is a page that no reader has seen.
CAUGHT = {
    "Use the mean in the place of the sample.": "in the place of",
    "Who squares a mean gets too much.": "Who ",
    "The result shall have variance 1.": "shall",
    "Mind the square root.": "Mind the",
    "It is faster by the clock.": "by the clock",
    "We check the type at the door.": "at the door",
    "The two steps melt into one.": "melt into",
    "We have to undo the paling.": "paling",
    "The two curves are one to the eye.": "one to the eye",
    "A norm, then a bend, then an addition.": "a bend",
    "The loss comes no nearer.": "comes no nearer",
    "The root does nothing for the mean.": "does nothing for",
    "What is left is noise.": "What is left is",
    "These samples are shown as they come.": "as they come",
    "Here is the old friend.": "old friend",
    "The variable stands before the semicolon.": "stands before",
    "Weights stand in one table.": "stand in",
    "The network tells the noise.": "network tells the noise",
    "It must put out nearly its own input.": "put out",
    "We leave the common factor away.": "leave the common factor away",
    "Now we make a wish.": "make a wish",
    "No pixel knows of another.": "knows of another",
    "The loss knows each time by itself.": "loss knows",
    "This is the whole secret.": "the whole secret",
    "The black path ends between the blobs.": "black path",
    "The color changes.": "color",
    "We normalize the image.": "normalize",
    "As {eq}`eq-alpha` told, the mean is exact.": "As X told",
    "Attention is a look around.": "a look around",
    "How far it sees is measured.": "How far it sees",
    "The next section says how.": "section says",
    "This is exact, not only a likeness.": "not only a likeness",
    "All bells are narrow.": "bells",
    "The norm, shortly.": ", shortly.",
    "It is the best network of the world.": "network of the world",
    "This holds for no network of any size.": "network of any size",
    "The note gives 0.002.": "The note",
    "It is in the note's formula.": "the note's",
}
# Sentences that look alike and are right.
LEFT = [
    "Who wrote this model?",
    "The symbol stands for noise, and its width stands out.",
    "Keep the mind of a beginner.",
    "We want the result to have variance 1.",
    "As before, the network is told the time.",
    "Note the square root, and what is left of the image.",
    "The network bends the space, and `in the place of` is code.",
    "We leave the house, far away.",
    "Take $shall$ as a formula.",
    "The notebook is a notation, and a footnote follows.",
    "The colour of the neighbour is grey, and the size of the prize is 3.",
]


@pytest.fixture
def page(tmp_path):
    """Reads Markdown as a page of the book; chapter by its name."""

    def read(text, name="01_test.md"):
        path = tmp_path / name
        path.write_text(text, encoding="utf8")
        return prose.read_page(path)

    return read


@pytest.mark.parametrize(("text", "words"), CAUGHT.items())
def test_a_phrase_is_found_with_what_to_say(page, text, words):
    found = prose.find_phrases(page(text))
    assert [match for _, match, _ in found if match.startswith(words)], found
    assert all(advice for _, _, advice in found)


def test_every_phrase_of_the_list_has_an_example(page):
    text = "\n\n".join(CAUGHT)
    plain = [sentence for block in page(text).blocks for sentence in prose.sentences(block.text)]
    unused = [
        p.pattern
        for p, _ in prose.phrases("everywhere", "pages", "chapters")
        if not any(p.search(sentence) for sentence in plain)
    ]
    assert unused == []


@pytest.mark.parametrize("text", LEFT)
def test_a_good_sentence_is_left_alone(page, text):
    assert prose.find_phrases(page(text)) == []


def test_only_chapters_must_not_speak_of_the_note(page):
    assert prose.find_phrases(page("The note says 0.002.", "errata.md")) == []


def test_common_mistakes_are_found_but_not_between_formulas(page):
    assert prose.find_common(page("The the mean is 0."))
    assert prose.find_common(page("The weights $a$ $a$ and `b` and `b` are very small.")) == []


def test_what_is_no_prose_is_not_counted(page):
    text = """# A title of five words

One two $x_0 = 1$ four.

```python
shall = "in the place of"
```

$$
x = \\text{shall}
$$ (eq-shall)

:::{exercise}
:label: ex-shall
:class: dropdown

Five words are in here.
:::

| shall | be |
|---|---|
| a cell | no sentence |

- a fragment
- This item is a sentence.
"""
    found = page(text)
    assert found.sentences == [4, 5, 5]
    assert (found.equations, found.exercises) == (1, 1)
    assert [match for _, match, _ in prose.find_phrases(found)] == ["shall"]  # in the table: a reader sees it


def test_a_sentence_that_goes_on_after_a_display_is_one(page):
    assert page("The mean is\n\n$$\nx\n$$ (eq-x)\n\nwhere all is known. It is 0.").sentences == [7, 3]


def test_where_a_sentence_ends(page):
    text = "Ho et al. (2020) take $T$. That is long, e.g. 1,000 steps! By D. P. Kingma. Is $x$ at 0.5? No. Yes."
    assert page(text).sentences == [6, 6, 4, 4, 1, 1]


def test_a_heading_that_runs_on_is_no_sentence(page):
    assert page("**What to see.** The curve falls at once.").sentences == [5]


def test_captions_and_code_are_searched_but_not_counted(tmp_path):
    path = tmp_path / "02_cells.ipynb"
    code = {
        "cell_type": "code",
        "source": "shall = 'it shall'  # the note",
        "metadata": {"mystnb": {"figure": {"caption": "Mind the gap."}, "image": {"alt": "a curve by the clock"}}},
    }
    hidden = code | {"source": "x", "metadata": {"tags": ["hide-input"]}}
    path.write_text(json.dumps({"cells": [code, hidden]}), encoding="utf8")
    found = prose.read_page(path)
    assert {match for _, match, _ in prose.find_phrases(found)} == {"shall", "the note", "Mind the", "by the clock"}
    assert (found.words, found.visible_cells) == (0, 1)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.py", '"""It shall be.\n\nThe color."""\nx = f"shall {1}"  # mind the gap\n'),
        ("a.js", '// It shall be. The color.\nlet x = "we shall"; const y = `mind the ${x}`;\n'),
    ],
)
def test_comments_and_strings_of_code_are_read(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf8")
    found = [words for _, words, _ in prose.find_phrases(prose.read_page(tmp_path / name))]
    assert sorted(found, key=str.lower) == ["mind the", "shall", "shall"]


def test_minutes_are_written_where_the_box_says_them(tmp_path):
    path = tmp_path / "03_box.md"
    path.write_text("**Time**: a few minutes to read, a second to run.\n\n" + "Word " * 1800 + ".", encoding="utf8")
    assert prose.set_minutes(path)
    assert path.read_text(encoding="utf8").startswith("**Time:** about 10 minutes to read, a second to run.")
    assert not prose.set_minutes(path)


def test_a_bad_page_fails_and_says_where(tmp_path, capsys):
    path = tmp_path / "04_bad.md"
    path.write_text("It shall be.", encoding="utf8")
    assert prose.main([str(path)]) == 1
    printed = capsys.readouterr().out
    assert "'shall' -> should" in printed
    assert "words a sentence -> 15 to 20" in printed


def test_what_cannot_be_read_is_named(tmp_path, capsys):
    (tmp_path / "page.rst").write_text("Text.", encoding="utf8")
    for path in (tmp_path / "page.rst", tmp_path / "missing.md"):
        assert prose.main([str(path)]) == 2
        assert path.name in capsys.readouterr().err


def test_the_words_of_the_code_are_clean():
    assert [line for path in prose.sources() for line in prose.judge(prose.read_page(path))] == []


def test_no_number_of_an_equation_stands_in_two_pairs_of_parentheses():
    """The number brings its own: "({eq}`...`)" would be "((1.20))"."""
    found = [
        (page.name, text) for page in prose.pages() for text in re.findall(r"\({eq}`[^`]*`", page.read_text("utf8"))
    ]
    assert found == []


@pytest.mark.parametrize("path", prose.pages(), ids=lambda path: path.stem)
def test_the_book_is_clean(path):
    assert prose.judge(prose.read_page(path)) == []


def test_visible_code_that_is_wider_than_a_page_is_found(tmp_path):
    line = f"x = {'1' * 69}"
    cell = {"cell_type": "code", "source": [line], "metadata": {}}
    path = tmp_path / "wide.ipynb"
    path.write_text(json.dumps({"cells": [cell, cell | {"metadata": {"tags": ["hide-input"]}}]}), encoding="utf8")
    (found,) = prose.judge(prose.read_page(path))
    assert line in found
    path.write_text(json.dumps({"cells": [cell | {"source": [line[:-1]]}]}), encoding="utf8")
    assert prose.judge(prose.read_page(path)) == []


@pytest.mark.parametrize("fence", ["```python\n{}\n```\n", ":::{{solution}} ex\n:label: sol\n\n```\n{}\n```\n:::\n"])
def test_code_in_text_is_no_wider_than_a_page(tmp_path, fence):
    line = f"x = {'1' * 69}"
    path = tmp_path / "wide.ipynb"
    for code, wide in [(line, [line]), (line[:-1], [])]:
        cell = {"cell_type": "markdown", "source": [fence.format(code)], "metadata": {}}
        path.write_text(json.dumps({"cells": [cell]}), encoding="utf8")
        assert [said for _, said in prose.read_page(path).wide] == wide
