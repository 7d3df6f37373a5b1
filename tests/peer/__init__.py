"""gradiend's own tests, with tracking and without."""
