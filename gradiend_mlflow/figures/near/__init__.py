"""Figures of who is near whom: a map and a tree of runs."""
