"""The command line: what it can be asked, what it does, and what it reports."""
