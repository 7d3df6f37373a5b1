"""What the benchmarks share: alternating timing, the description of the machine, and the report."""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import signal
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
HEADINGS = ("work", "ours", "peer", "peer / ours", "limit", "ours / limit")
_NOT_COMPARABLE = (
    'Only lines of the size "true" can be compared with the table of README.md, and they have fewer rounds here. The '
    "others did less work: their times are shorter, and their ratios differ by up to five times, because what every "
    "call costs weighs more."
)
_BEGUN = time.perf_counter()
_PACKAGES = ("gradiend", "gradiend-mlflow", "torch", "mlflow", "numpy", "pyarrow", "safetensors")


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        work: What was done.
        unit: Of the figures.
        samples: The raw figures of "ours" and, where they exist, "peer" and "limit".
        always_full: Whether the quick mode does the same work, only less often.
    """

    work: str
    unit: str
    samples: Mapping[str, Sequence[float]]
    always_full: bool = False

    def figure(self, name: str) -> float | None:
        """The median of a contender's samples; None if it has none."""
        samples = self.samples.get(name)
        return statistics.median(samples) if samples else None

    def cells(self) -> list[str]:
        """The line's cells, in the order of `HEADINGS`."""
        ours, peer, limit = (self.figure(name) for name in ("ours", "peer", "limit"))
        return [
            self.work,
            _shown(ours, self.unit),
            _shown(peer, self.unit),
            _ratio(peer, ours),
            _shown(limit, self.unit),
            _ratio(ours, limit),
        ]


@dataclass(frozen=True)
class Outcome:
    """What one benchmark found: its lines, sentences that belong under the table, and further raw figures."""

    rows: Sequence[Row]
    notes: Sequence[str] = ()
    details: Mapping[str, Any] = field(default_factory=dict)


def alternate(
    contenders: Mapping[str, Callable[[], Any]],
    repetitions: Mapping[str, int],
    check: Callable[[Mapping[str, Any]], None],
    *,
    processor: dict[str, list[float]] | None = None,
    frozen: bool = True,
) -> dict[str, list[float]]:
    """Time the contenders in turns, so that what else the machine does hits all of them alike.

    Args:
        contenders: What to time, by name, in the order of their turns.
        repetitions: How often each is timed; those with fewer repetitions sit out rounds, evenly spread.
        check: Gets the results of every round by name; raises if they are not equal.
        processor: Gets the processor time of this process per contender, in seconds and in the order of the rounds.
        frozen: Whether collections of garbage pass over what is there before the first round. Not where contenders
            collect themselves, as trainings do: then that is a part of their time.

    Returns:
        Seconds per contender, in the order of the rounds.
    """
    samples: dict[str, list[float]] = {name: [] for name in contenders}
    rounds = max(repetitions.values())
    gc.collect()
    if frozen:
        gc.freeze()  # what is there already need not be looked through before every turn
    for number in range(rounds):
        results: dict[str, Any] = {}
        for name, action in contenders.items():
            if (number * repetitions[name]) % rounds < repetitions[name]:
                progress(f"round {number + 1} of {rounds}: {name}")
                gc.collect()
                start, start_processor = time.perf_counter(), time.process_time()
                results[name] = action()
                samples[name].append(time.perf_counter() - start)
                if processor is not None:
                    processor.setdefault(name, []).append(time.process_time() - start_processor)
        check(results)
    gc.unfreeze()
    return samples


def require(condition: bool, message: str) -> None:
    """Raise an AssertionError with `message` unless `condition` holds; unlike `assert`, also under `python -O`."""
    if not condition:
        raise AssertionError(message)


def progress(message: str) -> None:
    """Say on stderr what is going on, and since how many seconds the process lives."""
    print(f"  {time.perf_counter() - _BEGUN:5.0f} s  {message}", file=sys.stderr, flush=True)


def machine() -> dict[str, Any]:
    """The machine and the versions that the figures belong to."""
    import torch

    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "ram_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{package: version(package) for package in _PACKAGES},
        "torch_threads": torch.get_num_threads(),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def run_and_report(name: str, benchmarks: Sequence[Callable[..., Outcome]]) -> None:
    """The command line of a benchmark: run it, print the table, and store it with the raw samples.

    Args:
        name: What the stored files are called.
        benchmarks: Functions that take `quick` and return an outcome.
    """
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller sizes, for a look or for CI")
    quick = parser.parse_args().quick
    # A terminated run must end the servers that it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    begun = time.perf_counter()
    outcomes = [benchmark(quick=quick) for benchmark in benchmarks]
    seconds = time.perf_counter() - begun
    described = machine()
    mode = "quick" if quick else "full"
    report = _report(outcomes, described, f"{mode} sizes, {seconds:.0f} s in all", quick=quick)
    print(report)
    _store(f"{name}-{mode}", report, outcomes, {"mode": mode, "seconds": seconds, "machine": described})


def _report(outcomes: Sequence[Outcome], described: Mapping[str, Any], how: str, *, quick: bool) -> str:
    rows = [row for outcome in outcomes for row in outcome.rows]
    columns = [HEADINGS, *(row.cells() for row in rows)]
    if quick:
        sizes = ["true" if row.always_full else "quick" for row in rows]
        columns = [[*cells, size] for cells, size in zip(columns, ["size", *sizes], strict=True)]
    lines = [f"| {' | '.join(cells)} |" for cells in columns]
    lines.insert(1, f"| --- |{' ---: |' * (len(columns[0]) - 1)}")
    lines += ["", "Medians of alternating repetitions in one process; every round's results were checked to be equal."]
    if quick:
        lines += ["", _NOT_COMPARABLE]
    lines += ["", *(f"- {note}" for outcome in outcomes for note in outcome.notes)]
    versions = ", ".join(f"{package} {described[package]}" for package in ("python", *_PACKAGES))
    where = (
        f"{described['cpu']}, {described['cores']} cores, {described['ram_gib']} GiB RAM, {described['system']}; "
        f"{versions}; {described['torch_threads']} torch threads; {described['date']}; {how}"
    )
    return "\n".join([*lines, "", f"Machine: {where}."])


def _store(name: str, report: str, outcomes: Sequence[Outcome], facts: Mapping[str, Any]) -> None:
    RESULTS.mkdir(exist_ok=True)
    stem = RESULTS / f"{name}-{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}"
    stem.with_suffix(".md").write_text(report + "\n", encoding="utf-8")
    content = {**facts, "outcomes": [asdict(outcome) for outcome in outcomes]}
    stem.with_suffix(".json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    progress(f"stored as {RESULTS.parent.name}/{RESULTS.name}/{stem.name}.md and .json")


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _shown(figure: float | None, unit: str) -> str:
    return "-" if figure is None else f"{figure:.3g} {unit}"


def _ratio(figure: float | None, other: float | None) -> str:
    return "-" if figure is None or not other else f"{figure / other:.3g} x"
