"""Sets over common columns in rank order, and what follows from their order alone."""
