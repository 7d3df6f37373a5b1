"""Run every benchmark: `python -m benchmarks [--quick]`."""

from __future__ import annotations

from benchmarks import comparing, extraction, figures, importing, overhead, overlap, pulling, size, startup
from benchmarks.harness import run_and_report

if __name__ == "__main__":
    modules = (extraction, pulling, overlap, comparing, figures, importing, overhead, size, startup)
    run_and_report("all", [module.run for module in modules])
