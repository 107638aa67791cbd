"""Training runs in a folder, which resume after a kill, and the presets of the command line."""
