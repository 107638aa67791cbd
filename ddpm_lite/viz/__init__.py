"""Figures, widgets, and the checks of exercises.

What they show is computed by the rest of the package, which does not import this wing, except for the command
`export-page`.
"""
