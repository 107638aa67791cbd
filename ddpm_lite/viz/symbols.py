r"""The book's symbols in the words of a figure: `x_0_hat` in a label becomes \hat{x}_0, and that becomes SVG.

Labels are written with the names of the code. `typeset` replaces these by the LaTeX of the book, between dollars, as
matplotlib reads it; `write_spans` writes such a label as the content of an SVG `<text>`, so that words stay words: they
can be searched and selected, and have the page's fonts.
"""

import re
from html import escape

NAMES = {
    "x_0_hat": r"\hat{x}_0",
    "z_hat": r"\hat{z}",
    "alpha_bar": r"\bar{\alpha}_t",
    "beta_tilde": r"\tilde{\beta}_t",
    "mu_tilde": r"\tilde{\mu}_t",
    "sigma^2": r"\sigma_t^2",
    "beta_T": r"\beta_T",
    "alpha": r"\alpha_t",
    "beta": r"\beta_t",
    "mu": r"\mu",
    "x_0": "x_0",
    "x_s": "x_s",
    "x_t": "x_t",
    "x_T": "x_T",
} | {letter: letter for letter in "Tdkpqtuvwxyz"}
NUMBER = r"\d+(?:\.\d+)?"
NAME = "|".join(map(re.escape, NAMES))
ATOM = rf"(?:sqrt\([^()]*\)|(?:{NAME}|{NUMBER})(?![\w^-]|\.\d))"
FORMULA = re.compile(rf"(?<![\w^.-]){ATOM}(?: (?:=|\+|-|/|\|\|) {ATOM})*")
ROOT = re.compile(r"sqrt\(([^()]*)\)")
WORD = re.compile(rf"(?<![\w\\])(?:{NAME})(?![\w^])")

GREEK = {"alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε"}
GREEK |= {"theta": "θ", "lambda": "λ", "mu": "μ", "nu": "ν", "sigma": "σ", "tau": "τ"}
SIGNS = {
    "|": "‖",
    "cdot": "·",
    "times": "×",
    "to": "→",
    "ldots": "…",
    "mid": "|",
    "dots": "…",
    ",": " ",
    "varnothing": "∅",
}
ACCENTS = {"bar": "ˉ", "hat": "ˆ", "tilde": "˜"}
# Of the letters that carry accents, in em: width, and how far the accent is raised and moved to the right.
WIDTH = {"x": 0.572, "z": 0.465, "α": 0.64, "β": 0.566, "μ": 0.603, "ε": 0.466}
RAISED, SKEWED = {"β": 0.22}, {"x": 0.03, "z": 0.06, "α": 0.03, "β": 0.08, "μ": 0.03}
SUB, SUP, SMALL = 0.17, -0.38, 0.75  # shifts in em, and the size of what is shifted
SCALE = 1.1  # of formulas to words: the letters of Computer Modern are small
CLASSES = (
    f".m,.r{{font-size:{SCALE}em}}.s{{font-size:{SCALE * SMALL:.3g}em}}"
    ".m{font-family:KaTeX_Math,'Latin Modern Math','Cambria Math',serif;font-style:italic}"
    ".r{font-family:KaTeX_Main,'Latin Modern Math','Cambria Math',serif}"
)
TOKEN = re.compile(r"\\([a-z]+|.)|(\s+)|(.)", re.DOTALL)


def typeset(label: str) -> str:
    """Replace the code's names by the book's symbols; a label that has a dollar is left as it is."""
    if "$" in label:
        return label
    label = re.sub(r"(?<=\d) x (?=\d)", " × ", label)
    label = re.sub(r"(?<![\w.)-])-(?=\d)", "−", label)
    return FORMULA.sub(_write_formula, label)


def _write_formula(match: re.Match) -> str:
    code = match[0]
    if not WORD.search(code):
        return code
    tex = WORD.sub(lambda name: NAMES[name[0]], code)
    tex = ROOT.sub(r"\\sqrt{\1}", tex).replace("||", r"\|")
    return f"${tex}$"


def write_spans(label: str) -> str:
    r"""Write a label with formulas between dollars as tspans: class m for variables, r for signs, s for small ones.

    Raises:
        KeyError: a command of LaTeX that figures do not use.
    """
    pen = _Pen()
    for odd, part in enumerate(label.split("$")):
        if odd % 2:
            _set(list(TOKEN.finditer(part)), pen)
        elif part:
            pen.write("", part)
    return "".join(pen.spans)


class _Pen:
    """Writes spans one after the other; what shifts one is taken back by the next."""

    def __init__(self):
        self.spans, self.kind, self.small = [], None, False
        self.shift = self.forward = self.level = 0.0

    def write(self, kind: str, text: str, *, raised: float = 0.0, back: float = 0.0) -> None:
        size = (SMALL if self.small else 1.0) if kind else 1 / SCALE
        down = (self.level - raised * size - self.shift) / size
        right = (self.forward - back * size) / size
        moved = "".join(f' {name}="{x:.3g}em"' for name, x in (("dx", right), ("dy", down)) if abs(x) > 1e-3)
        kind = f"{kind} s".strip() if self.small else kind
        named = f' class="{kind}"' if kind else ""
        text = escape(text, quote=False)
        if not moved and self.spans and kind == self.kind:
            last = self.spans.pop().removesuffix("</tspan>")
            self.spans.append(last + text + "</tspan>" * bool(kind))
        else:
            self.spans.append(f"<tspan{named}{moved}>{text}</tspan>" if named or moved else text)
        self.shift, self.forward, self.kind = self.level - raised * size, 0.0, kind


def _set(tokens: list, pen: _Pen) -> None:
    """Typeset tokens with the pen; groups and scripts are typeset by this function again."""

    def take() -> list:
        """Take the next token, or the tokens of the next group."""
        first = tokens.pop(0)
        if first[0] != "{":
            return [first]
        inside: list[re.Match] = []
        depth = 1
        while True:
            token = tokens.pop(0)
            depth += {"{": 1, "}": -1}.get(token[0], 0)
            if not depth:
                return inside
            inside.append(token)

    while tokens:
        token = tokens[0]
        command, blank, sign = token.groups()
        if sign == "{":
            _set(take(), pen)
            continue
        tokens.pop(0)
        if command in ACCENTS:
            group = take()
            while group[0][0] == "{":
                group = group[1:-1]
            letter = GREEK.get(group[0][1], group[0][0])
            pen.write("m", letter)
            place = WIDTH[letter] / 2 + 0.25 - SKEWED.get(letter, 0)
            pen.write("r", ACCENTS[command], raised=RAISED.get(letter, 0), back=place)
            pen.forward = (WIDTH[letter] / 2 - 0.25 - SKEWED.get(letter, 0)) * (SMALL if pen.small else 1)
        elif command == "sqrt":
            inside = take()
            one = not any(token[0] in ("+", "-") for token in inside)
            pen.write("r", "√" if one else "√(")
            _set(inside, pen)
            if not one:
                pen.write("r", ")")
        elif command in ("mathrm", "text"):
            pen.write("r", "".join(part[0] for part in take()))
        elif sign and sign in "_^":
            before = pen.level, pen.small
            pen.level, pen.small = pen.level + (SUB if sign == "_" else SUP), True
            _set(take(), pen)
            pen.level, pen.small = before
        elif sign == "'":
            before = pen.level, pen.small
            pen.level, pen.small = pen.level + SUP, True
            pen.write("r", "′")
            pen.level, pen.small = before
        elif command:
            text = GREEK.get(command) or SIGNS[command]
            pen.write("m" if command in GREEK else "r", text)
        elif blank:
            pen.write("r", " ")
        else:
            pen.write("m" if sign.isalpha() else "r", {"-": "−"}.get(sign, sign))
