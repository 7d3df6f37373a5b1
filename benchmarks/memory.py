"""Peak anonymous memory of one call in a process of its own, or of a whole script; Linux only.

Anonymous memory is what a process allocated; pages of mapped files, which the system can drop, are not in it.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).parents[1]
_STATUS = "/proc/{}/status"
_INTERVAL = 0.005


def is_measurable() -> bool:
    """Whether this system tells a process its anonymous memory."""
    own = Path(_STATUS.format("self"))
    return own.is_file() and "RssAnon:" in own.read_text(encoding="utf-8")


def peak_above_baseline(module: str, function: str, *arguments: str) -> int:
    """Bytes that a call needs at its peak beyond what a fresh process has after importing `module`.

    Args:
        module: The module that has the function.
        function: The function's name; it gets the arguments as strings.
        arguments: What to call it with.
    """
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", module, function, *arguments],
        cwd=_ROOT,
        check=True,
        stdout=subprocess.PIPE,
    )
    figures = json.loads(done.stdout.splitlines()[-1])
    return int(figures["peak"] - figures["baseline"])


@dataclass(frozen=True)
class Taken:
    """What a process took from its start to its end: seconds, and the most anonymous memory seen, in bytes."""

    seconds: float
    peak: int


def script_takes(script: str, *arguments: str) -> Taken:
    """Run a script in a fresh interpreter, watched from outside.

    Raises:
        RuntimeError: If it fails.
    """
    begun = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", script, *arguments], cwd=_ROOT, stdout=subprocess.DEVNULL)
    peak = 0
    try:
        while process.poll() is None:
            peak = max(peak, anonymous_bytes(process.pid))
            time.sleep(_INTERVAL)
    finally:
        process.kill()  # which does nothing to one that has ended
    if process.returncode:
        raise RuntimeError(f"the script ended with {process.returncode}")
    return Taken(time.perf_counter() - begun, peak)


def _peak_while(call: Callable[[], object]) -> int:
    """The most anonymous memory seen while `call` runs, looking every few milliseconds."""
    seen = [anonymous_bytes()]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_INTERVAL):
            seen[0] = max(seen[0], anonymous_bytes())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        result = call()
    finally:
        done.set()
        watcher.join()
    peak = max(seen[0], anonymous_bytes())
    del result
    return peak


def anonymous_bytes(process: int | str = "self") -> int:
    """What a process has allocated now; 0 of one that is ending."""
    for line in Path(_STATUS.format(process)).read_text(encoding="utf-8").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0


def _main() -> None:
    module, function, *arguments = sys.argv[1:]
    call = getattr(importlib.import_module(module), function)
    baseline = anonymous_bytes()
    print(json.dumps({"baseline": baseline, "peak": _peak_while(lambda: call(*arguments))}))


if __name__ == "__main__":
    _main()
