"""A live training becomes a run."""
