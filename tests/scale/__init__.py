"""Tests of datasets of many runs, and of their overlap in blocks."""
