r"""The words of a formula: tokens, brackets, and the canonical names of symbols.

A canonical name is the LaTeX of a symbol in one spelling: \bar{\alpha}_{t-1}, x_{0}, z_\theta(x_{t},t),
q(x_{t}\mid x_{0}). An index (t-1, s, 0) stands in braces; a label such as \theta is a part of the name.
"""

import re

# These take arguments in brackets, which are part of their name; after any other symbol a bracket is a factor.
CALLS = {
    "q", "p", r"p_\theta", r"z_\theta", r"\mu_\theta", r"x_\theta", r"v_\theta", r"s_\theta", "s", "C", "P", "f", "g",
    r"D_\theta", r"F_\theta",
    r"u_\theta", r"\tilde{\mu}", r"\hat{x}", r"\hat{z}", r"\Sigma_\theta", r"\phi", r"q_\sigma",
}  # fmt: skip

TOKEN = re.compile(r"\\[a-zA-Z]+|\\.|:=|\d+(?:\.\d+)?|\S", re.S)
SPACES = {
    r"\,", r"\;", r"\:", r"\!", "\\ ", r"\quad", r"\qquad", "~", r"\left", r"\right", r"\middle", r"\displaystyle",
    r"\big", r"\Big", r"\bigl", r"\bigr", r"\Bigl", r"\Bigr", r"\bigg", r"\biggl", r"\biggr", r"\nonumber",
}  # fmt: skip
OPENING = {"(": ")", "[": "]", "{": "}", r"\{": r"\}", r"\lVert": r"\rVert", r"\lvert": r"\rvert"}
ACCENTS = {
    r"\bar", r"\tilde", r"\hat", r"\check", r"\dot", r"\mathbf", r"\boldsymbol", r"\mathrm", r"\mathcal", r"\text",
    r"\operatorname", r"\mathbb",
}  # fmt: skip
INDEX = re.compile(r"([a-zA-Z])?((?:[+-]?\d+)*)")
INDEX_LETTERS = set("tsTrkijn")


class NotUnderstood(Exception):
    """LaTeX outside the documented subset."""


def tokens(tex):
    """The tokens that mean something; spaces and the sizes of brackets do not."""
    tex = re.sub(r"\\(?:begin|end)\{(?:aligned|split|gathered)\}|\{\s*\}", " ", tex)
    tex = re.sub(r"\\(bar|tilde|hat)\s*(\\?[a-zA-Z]+)", r"\\\1{\2}", tex)  # \bar\alpha is \bar{\alpha}
    tex = re.sub(r"\\\\\s*\[[\d.]+[a-z]+\]", r"\\\\", tex)  # a new row with room above it
    return [token for token in TOKEN.findall(tex) if token not in SPACES]


def closing(seq, start):
    """The position of the bracket that closes the one at `start`."""
    close, depth = OPENING[seq[start]], 0
    for i in range(start, len(seq)):
        depth += (seq[i] == seq[start]) - (seq[i] == close)
        if depth == 0:
            return i
    raise NotUnderstood(f"{seq[start]} is never closed in: {' '.join(seq)}")


def split(seq, separators):
    """(pieces, separators found) of seq at the separators that stand outside all brackets."""
    pieces, found, i = [[]], [], 0
    while i < len(seq):
        if seq[i] in OPENING:
            end = closing(seq, i)
            pieces[-1] += seq[i : end + 1]
            i = end + 1
            continue
        if seq[i] in separators:
            found.append(seq[i])
            pieces.append([])
        else:
            pieces[-1].append(seq[i])
        i += 1
    return pieces, found


def argument(seq, i):
    """The tokens of the argument at i, a group or one token, and the position after it."""
    if i >= len(seq):
        raise NotUnderstood(f"something is missing at the end of: {' '.join(seq)}")
    if seq[i] == "{":
        end = closing(seq, i)
        return seq[i + 1 : end], end + 1
    return seq[i : i + 1], i + 1


# ---- symbols


def index(text):
    """`t-1`, `s`, `0`, `T` in one spelling, or None if the subscript is no index: `t-1-1` is `t-2`."""
    found = INDEX.fullmatch(text)
    if not found or not text or (found[1] and found[1] not in INDEX_LETTERS):
        return None
    offset = sum(int(part) for part in re.findall(r"[+-]?\d+", found[2]))
    return f"{found[1] or ''}{offset:+d}" if found[1] and offset else found[1] or str(offset)


def symbol(seq, i):
    """The canonical name of the symbol at i, and the position after it."""
    token = seq[i]
    i += 1
    if token in ACCENTS:
        inner, i = argument(seq, i)
        token = f"{token}{{{name_of(inner)}}}"
    elif not re.fullmatch(r"[a-zA-Z]|\\[a-zA-Z]+", token):
        raise NotUnderstood(f"{token} in: {' '.join(seq)}")
    sub = ""
    while i < len(seq) and seq[i] in ("'", "_", r"\prime"):
        if seq[i] == "_":
            inner, i = argument(seq, i + 1)
            place = index("".join(inner))
            if place is None:
                text = name_of(inner)
                # A label such as \theta is a part of the name and needs no braces.
                token += f"_{text}" if len(inner) == 1 else f"_{{{text}}}"
            else:
                sub = f"_{{{place}}}"
        else:
            token += "'"
            i += 1
    if token in CALLS and i < len(seq) and seq[i] == "(":
        end = closing(seq, i)
        sub += f"({name_of(seq[i + 1 : end])})"
        i = end + 1
    return token + sub, i


def name_of(seq):
    """Tokens as one text, with every symbol in its canonical spelling."""
    text, i = "", 0
    while i < len(seq):
        if re.fullmatch(r"[a-zA-Z]|\\[a-zA-Z]+", seq[i]) and seq[i] not in (r"\mid",):
            part, i = symbol(seq, i)
        else:
            part, i = seq[i], i + 1
        text += part
    return text


def canonical(tex):
    """The canonical name of one symbol written in LaTeX."""
    name, end = symbol(seq := tokens(tex), 0)
    if end != len(seq):
        raise NotUnderstood(f"{tex} is not one symbol")
    return name


def renamed(name, letter, place):
    """The symbol's name at another time: renamed("x_{t-1}", "t", "t-1") is "x_{t-2}"."""
    moved = re.sub(rf"(?<![a-zA-Z\\]){letter}(?![a-zA-Z{{])", place, name)
    return re.sub(r"_\{([^{}]*)\}", lambda m: f"_{{{index(m[1]) or m[1]}}}", moved)
