"""How long a user waits before anything happens: `python -m benchmarks.startup [--quick]`.

Fresh processes in turns: the command's help, the package's import, MLflow's import as the peer, and an interpreter
that does nothing as the limit.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from typing import Any

from benchmarks.harness import Outcome, Row, alternate, require, run_and_report

_HELP = "from gradiend_mlflow.cli import main; main(['--help'], prog_name='gradiend-mlflow')"  # what pip's script does
_COMMANDS = {
    "help": _HELP,
    "import": "import gradiend_mlflow",
    "peer": "import mlflow",
    "limit": "pass",
}


def run(*, quick: bool) -> Outcome:
    """Time 21 starts of each (quick: 5), and 5 of MLflow (quick: 3)."""
    repetitions = dict.fromkeys(_COMMANDS, 5 if quick else 21) | {"peer": 3 if quick else 5}
    for command in _COMMANDS.values():
        _start(command)  # so that nobody has to go to the disk
    contenders = {name: partial(_start, command) for name, command in _COMMANDS.items()}
    samples = alternate(contenders, repetitions, _check)
    peers = {name: samples[name] for name in ("peer", "limit")}
    rows = [
        Row(
            "start gradiend-mlflow --help; peer: import mlflow",
            "s",
            {"ours": samples["help"], **peers},
            always_full=True,
        ),
        Row(
            "start Python and import gradiend_mlflow; peer: import mlflow",
            "s",
            {"ours": samples["import"], **peers},
            always_full=True,
        ),
    ]
    return Outcome(
        rows, ["Starting: whole processes, files in the page cache; the limit is an interpreter that does nothing."]
    )


def _start(command: str) -> str:
    return subprocess.run([sys.executable, "-c", command], check=True, capture_output=True, text=True).stdout


def _check(results: Mapping[str, Any]) -> None:
    require("Commands:" in results["help"], "the command did not print its help")


if __name__ == "__main__":
    run_and_report("startup", [run])
