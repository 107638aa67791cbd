"""Pictures of arrays, and widgets. What they show is computed by the package; nothing else in it imports this wing."""
