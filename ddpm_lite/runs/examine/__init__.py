"""Examine a diffusion program: each part is asked a question whose answer is known, and one line says what is wrong.

A program has few parts, and for each of them a small calculation settles whether it is right: no samples have to be
looked at, and nothing is trained. `tables`, `training`, `network` and `sampler` have the checks, and `program` calls
those whose parts are there.
"""
