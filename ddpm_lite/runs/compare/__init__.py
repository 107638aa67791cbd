"""Compare a diffusion program with this book's: each part gets the same inputs, and one line says how to translate it.

`translations` holds what other programs are known to do, `trial` tries it, and `program` has one function for a check.
"""
