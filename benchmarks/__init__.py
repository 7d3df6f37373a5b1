"""Paired benchmarks: this package, what it replaces, and the limit of the machine, in one run."""
