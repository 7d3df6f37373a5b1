"""Coverage-guided fuzzing: `python -m tests.fuzz [TARGET ...] [--runs N]`.

Each target runs in a process of its own, which ends at the first finding: an exception that is not the package's, a
second of the processor's time, or 200 MB more than at the start. A finding is kept in `tests/fuzz/found/<target>/`,
where the tests try it again for ever.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.mutations import mutated_json

FOUND = Path(__file__).with_name("found")
_SECONDS_PER_INPUT = 20  # on the clock, which a busy machine stops; a target counts the processor's
_MEGABYTES = 200
_LEAST_LONGEST = 4096  # bytes; no input is longer, or than twice the longest seed: short ones are tried sooner
_AS_JSON = 0.5  # of the inputs that are a JSON document


def main() -> int:
    """Run the targets one after the other, and print a line on each."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="default: all")
    parser.add_argument("--runs", type=int, help="inputs per target; default: as many as the target says")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        _fuzz(options.child, options.runs)
    from tests.fuzz.targets import TARGETS

    failed = []
    for name in options.targets or TARGETS:
        runs = options.runs or TARGETS[name].runs
        begun = time.perf_counter()
        child = [sys.executable, "-m", "tests.fuzz", "--child", name, "--runs", str(runs)]
        done = subprocess.run(child, capture_output=True, text=True, check=False)
        took = time.perf_counter() - begun
        tried, megabytes = (int(_stat(done.stderr, stat)) for stat in ("number_of_executed_units", "peak_rss_mb"))
        end = "ok" if done.returncode == 0 else "FOUND"
        print(f"{name:<12} {tried:>9,} inputs  {took:7.0f} s  {megabytes:>5,} MB at most  {end}", flush=True)
        if done.returncode:
            failed.append(name)
            print(done.stderr[-4000:], flush=True)
    return 1 if failed else 0


def _stat(log: str, name: str) -> str:
    """What libFuzzer says of its run in the end; 0 where it ended before."""
    found = re.search(rf"stat::{name}: +(\d+)", log)
    return found[1] if found else "0"


def _fuzz(name: str, runs: int) -> None:
    import atheris

    with atheris.instrument_imports(include=["gradiend_mlflow"]):
        from gradiend_mlflow.errors import GradiendMLflowError
        from tests.fuzz.targets import TARGETS
    target = TARGETS[name]
    for seed in target.seeds():
        with contextlib.suppress(GradiendMLflowError):
            target.read(seed)  # loads what is loaded late
    (FOUND / name).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(target.seeds()):
            Path(corpus, str(number)).write_bytes(seed)
        at_start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        flags = [
            f"-runs={runs}",
            f"-timeout={_SECONDS_PER_INPUT}",
            f"-rss_limit_mb={at_start + _MEGABYTES}",
            f"-artifact_prefix={FOUND / name}/",
            f"-max_len={max(_LEAST_LONGEST, 2 * max(map(len, target.seeds())))}",
            "-print_final_stats=1",
        ]
        atheris.Setup([sys.argv[0], *flags, corpus], target, custom_mutator=_mutated)
        atheris.Fuzz()


def _mutated(data: bytes, most: int, seed: int) -> bytes:
    """Bytes changed as libFuzzer does, or a JSON document with other values, which then is still one."""
    import atheris

    chance = random.Random(seed)
    with contextlib.suppress(ValueError, RecursionError):
        if chance.random() < _AS_JSON and len(changed := mutated_json(chance, data)) <= most:
            return changed
    return atheris.Mutate(data, most)


if __name__ == "__main__":
    sys.exit(main())
