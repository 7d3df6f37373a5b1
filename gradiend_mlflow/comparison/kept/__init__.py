"""Comparisons that MLflow has: found, loaded, exported."""
