"""Run the tests of the installed gradiend plain and with autolog, and compare: `python -m tests.peer [TESTS ...]`.

They come with gradiend's sdist, which pip downloads to build/peer. Fails if a test has another outcome with autolog
than without, or if a run of a training has not ended.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
WORK = ROOT / "build" / "peer"


def main(selection: list[str]) -> int:
    """Run both ways, print what became of the tests; 1 if the two differ."""
    WORK.mkdir(parents=True, exist_ok=True)
    (WORK / "mlflow.db").unlink(missing_ok=True)
    folder = _sdist()
    plain, tracked = _run(folder, selection), _run(folder, selection, database=WORK / "mlflow.db")
    print(f"gradiend {version('gradiend')}: {_counted(plain)}")
    differing = {test for test in plain.keys() | tracked.keys() if _outcome(plain, test) != _outcome(tracked, test)}
    for test in sorted(differing):
        print(f"{test}: {_outcome(plain, test)}, with autolog {_outcome(tracked, test)}")
    runs = {test: result["runs"] for test, result in tracked.items() if "runs" in result}
    for test, left in sorted(runs.items()):
        print(f"{test}: {', '.join(f'{count} {status}' for status, count in left.items())}")
    open_ones = [test for test, left in runs.items() if left.keys() - {"FINISHED", "FAILED"}]
    said = f"{len(differing)} of {len(plain)} tests have another outcome with autolog"
    print(f"{said}; {len(runs)} have left runs, {len(open_ones)} of them one that has not ended")
    return 1 if differing or open_ones or not plain else 0


def _sdist() -> Path:
    """Gradiend's sdist, unpacked."""
    name = f"gradiend-{version('gradiend')}"
    if not (WORK / name).exists():
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "gradiend"]
        subprocess.run([*pip, "--dest", WORK, name.replace("-", "==")], check=True)
        with tarfile.open(WORK / f"{name}.tar.gz") as archive:
            archive.extractall(WORK, filter="data")
    (WORK / name / "tests" / "__init__.py").touch()  # else a package `tests` elsewhere is found first
    return WORK / name


def _run(folder: Path, selection: list[str], database: Path | None = None) -> dict[str, dict[str, Any]]:
    """What became of each test; with a database, trainings are tracked."""
    file = WORK / ("tracked.json" if database else "plain.json")
    file.unlink(missing_ok=True)
    settings = {
        "PEER_OUTCOMES": str(file),
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), str(ROOT)]),
        "HF_HUB_OFFLINE": "1",  # what cannot be downloaded fails both ways, but at once
        "MPLBACKEND": "Agg",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        **({"PEER_DATABASE": str(database)} if database else {}),
    }
    plugins = ["-p", "no:cacheprovider", "-p", "gradiend_outcomes", "-p", "gradiend_fixtures"]
    command = [sys.executable, "-m", "pytest", "-q", *plugins]
    command += ["--continue-on-collection-errors", "--tb=no", "--no-summary", *(selection or ["tests"])]
    subprocess.run(command, cwd=folder, env=os.environ | settings, check=False)
    return dict(json.loads(file.read_text(encoding="utf-8")))


def _outcome(results: Mapping[str, Mapping[str, Any]], test: str) -> str:
    return str(results[test]["outcome"]) if test in results else "not run"


def _counted(results: Mapping[str, Mapping[str, Any]]) -> str:
    counts = Counter(str(result["outcome"]) for result in results.values())
    return ", ".join(f"{count} {outcome}" for outcome, count in counts.most_common())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
