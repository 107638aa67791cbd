"""Training into a folder that goes on after a kill, and what the command line trains."""
