"""Pictures of arrays, widgets, and the check cells of exercises. What they show is computed by the package; nothing
else in it imports this wing, except the command that exports a page."""
