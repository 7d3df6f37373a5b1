"""Which runs a comparison is of: selected, with their sets, and in groups."""
