r"""Small typos made on purpose: each rule changes one place of a display, like a typical slip.

A corruption is named by what it does and to which occurrence, so that a chapter can name the harmless ones:
`\alpha_t -> \bar{\alpha}_t, 2nd`.
"""

from collections import Counter
from collections.abc import Iterator

from . import symbols

BAR = [r"\bar", "{", r"\alpha", "}"]
TILDE = [r"\tilde", "{", r"\beta", "}"]
ORDINAL = {1: "1st", 2: "2nd", 3: "3rd"}


def corruptions(tex: str) -> Iterator[tuple[str, str]]:
    """(name, corrupted LaTeX) for each place where a rule applies."""
    seq = symbols.tokens(tex)
    counts = Counter()
    for start, end, new in _changes(seq):
        what = f"{_plain(seq[start:end])} -> {_plain(new) or 'nothing'}"
        counts[what] += 1
        name = f"{what}, {ORDINAL.get(counts[what], f'{counts[what]}th')}"
        yield name, " ".join(seq[:start] + new + seq[end:])


def _plain(seq):
    """Tokens as the author would write them."""
    text = ""
    for token in seq:
        needs_space = text and text[-1].isalpha() and token[0].isalpha() and "\\" in text.split("{")[-1]
        text += " " * bool(needs_space or token in "+-=") + token + " " * (token in ("+", "-", "="))
    return text.replace("  ", " ").strip()


def _changes(seq):
    """(start, end, what stands there instead)."""
    subscripts = _inside_subscripts(seq)
    for i, token in enumerate(seq):
        if token == "_" and i and not _is_limit(seq, i):
            yield from _index(seq, i)
        elif i in subscripts:
            continue
        elif token in ("+", "-"):
            yield i, i + 1, ["-" if token == "+" else "+"]
        elif token == r"\sqrt":
            inner, end = symbols.argument(seq, i + 1)
            yield i, end, ["(", *inner, ")"]
        elif token in (r"\frac", r"\tfrac", r"\dfrac"):
            yield from _fraction(seq, i)
        elif token == "2" and seq[i - 1 : i] != ["^"] and seq[i - 2 : i] != ["^", "{"]:
            if seq[i - 1 : i] != ["{"] or seq[i + 1 : i + 2] != ["}"]:  # \frac{1}{2} has rules of its own
                yield i, i + 1, []
        elif token == "^" and symbols.argument(seq, i + 1)[0] == ["2"]:
            yield i, symbols.argument(seq, i + 1)[1], []
        elif token == "1" and seq[i + 1 : i + 2] == ["-"]:
            yield i, i + 2, []
        elif token == r"\int":
            yield from _turned(seq, i)
        elif token in (r"\sum", r"\prod"):
            yield from _limits(seq, i)
        elif token == r"\nabla" and seq[i + 1 : i + 2] != ["_"]:
            yield i, i + 1 + (seq[i + 1 : i + 2] == [r"\cdot"]), []
        else:
            yield from _letter(seq, i)


def _inside_subscripts(seq):
    inside = set()
    for i, token in enumerate(seq):
        if token == "_" and i + 1 < len(seq):
            inside.update(range(i + 1, symbols.argument(seq, i + 1)[1]))
    return inside


def _is_limit(seq, i):
    return seq[i - 1] in (r"\sum", r"\prod", r"\nabla", "}") and seq[i - 1] != "}" or _of_word(seq, i)


def _of_word(seq, i):
    """Does this subscript belong to \\underbrace, \\mathbb{E} or the like, and not to a symbol?"""
    if seq[i - 1] != "}":
        return seq[i - 1] == "D"
    depth, k = 0, i - 1
    while k >= 0:
        depth += (seq[k] == "}") - (seq[k] == "{")
        if depth == 0:
            break
        k -= 1
    return seq[k - 1] in (r"\underbrace", r"\mathbb") or seq[k - 1] == "_"


def _index(seq, i):
    """A wrong index; for x also the other end of the path. The symbol is shown with it."""
    inner, end = symbols.argument(seq, i + 1)
    place = symbols.index("".join(inner))
    begin = i - 4 if seq[i - 1] == "}" else i - 1
    wrong = _neighbour(place)
    if seq[i - 1] == "x" and place in ("0", "t"):
        wrong.append("t" if place == "0" else "0")
    for other in wrong:
        yield begin, end, [*seq[begin:i], "_", *_group(other)]


def _neighbour(place):
    """A wrong index for a right one: one step away, and 1 for 2."""
    if place in ("1", "2"):
        return ["2" if place == "1" else "1"]
    if place is None or place.isdigit():
        return []
    if place == "T":
        return ["t"]
    return [place + "-1" if len(place) == 1 else symbols.index(place + ("+1" if "-" in place else "-1"))]


def _group(text):
    return [text] if len(text) == 1 else ["{", *symbols.tokens(text), "}"]


def _fraction(seq, i):
    top, middle = symbols.argument(seq, i + 1)
    bottom, end = symbols.argument(seq, middle)
    if top != bottom:
        yield i, end, [seq[i], "{", *bottom, "}", "{", *top, "}"]
    if (top, bottom) != (["1"], ["2"]):
        return
    yield i, end, ["1"]
    if end < len(seq) and seq[end] in ("(", "["):
        close = symbols.closing(seq, end)
        terms, signs = symbols.split(seq[end + 1 : close], {"+", "-"})
        if len(terms) > 1 and terms[0]:  # the note's slip: the half stands on the first term only
            rest = [part for sign, term in zip(signs, terms[1:], strict=True) for part in (sign, *term)]
            yield i, close + 1, [seq[end], *seq[i:end], *terms[0], *rest, seq[close]]


def _limits(seq, i):
    """A sum that begins or ends one too late or too early."""
    k = i + 1
    while k < len(seq) and seq[k] in "_^":
        inner, end = symbols.argument(seq, k + 1)
        if seq[k] == "_" and inner[-1:] in (["1"], ["2"]):
            yield k, end, ["_", "{", *inner[:-1], "2" if inner[-1] == "1" else "1", "}"]
        if seq[k] == "^" and inner in (["t"], ["T"]):
            yield k, end, ["^", "{", *inner, "-", "1", "}"]
        k = end


def _turned(seq, i):
    """An integral from its upper limit to its lower one."""
    if seq[i + 1 : i + 2] == ["_"]:
        low, k = symbols.argument(seq, i + 2)
        high, end = symbols.argument(seq, k + 1)
        yield i, end, [seq[i], "_", "{", *high, "}", "^", "{", *low, "}"]


def _letter(seq, i):
    """Another symbol: the bar lost or put on, the tilde lost, alpha for beta and beta for alpha."""
    if seq[i : i + 4] == BAR:
        yield i, i + 4, [r"\alpha"]
    elif seq[i : i + 4] == TILDE:
        yield i, i + 4, [r"\beta"]
    elif seq[i] == r"\alpha":
        if seq[i - 2 : i + 2] != BAR:
            yield i, i + 1, BAR
            yield i, i + 1, [r"\beta"]
    elif seq[i] == r"\beta" and seq[i - 2 : i + 2] != TILDE:
        yield i, i + 1, [r"\alpha"]
