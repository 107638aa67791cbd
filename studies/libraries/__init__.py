"""The rows of `rosetta`, a room for each library."""
