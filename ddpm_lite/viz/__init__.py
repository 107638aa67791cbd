"""Pictures of arrays. Nothing here computes the science, and nothing else in the package imports this."""
