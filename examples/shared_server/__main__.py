"""Start a lab's MLflow, train as one of its accounts, compare as another, and keep it running until Ctrl-C.

    PYTHONPATH=examples python -m shared_server          # or: make demo-server
    PYTHONPATH=examples python -m shared_server --once   # stop when the comparison is there

Everything listens on the loopback only, and nothing is kept: passwords, runs and artifacts end with the demo.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from shared_server.lab import Lab, lab

PAIRS = [("3SG", "3PL"), ("1SG", "1PL")]


def main() -> None:
    """Start, train, compare, wait, stop."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--once", action="store_true", help="stop when the comparison is there")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers end with us
    try:
        with tempfile.TemporaryDirectory(prefix="lab-") as folder:
            _say("Starting PostgreSQL, S3 and an MLflow server with accounts ...")
            with lab(Path(folder)) as started:
                _use(started)
                if not options.once:
                    _say("\nCtrl-C stops everything.")
                    signal.pause()
    except KeyboardInterrupt:
        _say("\nStopped.")


def _use(started: Lab) -> None:
    _say("\nTo log to it, a client sets:\n")
    for name, value in started.environment(started.writer).items():
        _say(f"    export {name}={shlex.quote(value)}")
    _say(f"\nTraining two GRADIENDs at once as {started.writer.name} ...")
    writer = os.environ | started.environment(started.writer)
    trainings = [subprocess.Popen([*_client("train"), *pair], env=writer) for pair in PAIRS]
    failed = [training.returncode for training in trainings if training.wait()]
    if failed:
        sys.exit(f"a training failed with {failed[0]}")
    _say(f"\nComparing them as {started.reader.name}, who may read all runs, and write to experiments of her own:\n")
    subprocess.run(_client("compare"), env=os.environ | started.environment(started.reader), check=True)
    _say(f'\nThe MLflow UI is {started.url} (its runs are under "Model training"). Log in as one of:\n')
    for account in (started.admin, started.writer, started.reader):
        _say(f"    {account.name}  {account.password}")


def _client(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "shared_server.client", *arguments]


def _say(text: str) -> None:
    print(text, flush=True)  # before what the trainings print


if __name__ == "__main__":
    main()
