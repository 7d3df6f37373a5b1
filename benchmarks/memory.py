"""Peak anonymous memory of one call in a process of its own; Linux only.

Anonymous memory is what a process allocated; pages of mapped files, which the system can drop, are not in it.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

_ROOT = Path(__file__).parents[1]
_STATUS = Path("/proc/self/status")
_INTERVAL = 0.005


def is_measurable() -> bool:
    """Whether this system tells a process its anonymous memory."""
    return _STATUS.is_file() and "RssAnon:" in _STATUS.read_text(encoding="utf-8")


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


def _peak_while(call: Callable[[], object]) -> int:
    """The most anonymous memory seen while `call` runs, looking every few milliseconds."""
    seen = [_anonymous_bytes()]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_INTERVAL):
            seen[0] = max(seen[0], _anonymous_bytes())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        result = call()
    finally:
        done.set()
        watcher.join()
    peak = max(seen[0], _anonymous_bytes())
    del result
    return peak


def _anonymous_bytes() -> int:
    for line in _STATUS.read_text(encoding="utf-8").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"{_STATUS} has no RssAnon")


def _main() -> None:
    module, function, *arguments = sys.argv[1:]
    call = getattr(importlib.import_module(module), function)
    baseline = _anonymous_bytes()
    print(json.dumps({"baseline": baseline, "peak": _peak_while(lambda: call(*arguments))}))


if __name__ == "__main__":
    _main()
