"""The book's displayed equations as data: read from the notebooks, parsed, and compared with the package.

source.py       the displays of the chapters, with their labels
symbols.py      the words of a formula: tokens, brackets, the names of symbols
latex.py        from LaTeX to SymPy
calculus.py     the same for derivatives, integrals and inner products
values.py       what the symbols are worth: the tables of a schedule, a random path, random numbers
evaluate.py     a SymPy expression in float64, for all t at once
fields.py       the same for derivatives, integrals and inner products
algebra.py      two expressions compared as formulas, without numbers
verify.py       whether a link of a chain holds
checks.py       what a check can say: identity, matches, definition, ...
corruptions.py  small typos, made on purpose, that the checks must notice
ch02.py ...     the checks of each chapter
"""
