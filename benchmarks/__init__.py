"""Paired benchmarks: this package, what it replaces, and the limit of the machine, in one run."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))  # which they train, and start servers with
