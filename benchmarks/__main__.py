"""Run every benchmark: `python -m benchmarks [--quick]`."""

from __future__ import annotations

from benchmarks import comparing, extraction, importing, overhead, pulling
from benchmarks.harness import run_and_report

if __name__ == "__main__":
    run_and_report("all", [extraction.run, pulling.run, comparing.run, importing.run, overhead.run])
