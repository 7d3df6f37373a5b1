"""Run every benchmark: `python -m benchmarks [--quick]`; quick leaves out what means something at full size only."""

from __future__ import annotations

import sys

from benchmarks import (
    billion,
    buckets,
    comparing,
    extraction,
    figures,
    growth,
    importing,
    loops,
    overhead,
    overlap,
    pulling,
    scale,
    searching,
    size,
    startup,
)
from benchmarks.harness import run_and_report

_MODULES = (startup, extraction, size, pulling, buckets, searching, overlap, comparing, figures, importing, overhead)
_FULL_SIZE_ONLY = (billion, growth, loops, scale)

if __name__ == "__main__":
    modules = _MODULES if "--quick" in sys.argv else (*_MODULES, *_FULL_SIZE_ONLY)
    run_and_report("all", [module.run for module in modules])
