"""Rank a GRADIEND's weights: their importances, the k largest of them in one pass, and their order."""
