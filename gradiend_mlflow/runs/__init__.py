"""Logged runs: found, and their sets pulled."""
