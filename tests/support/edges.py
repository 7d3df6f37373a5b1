"""A few tests with the oldest and the newest direct dependencies: `python -m tests.support.edges [oldest] [newest]`.

Each edge is an environment laid over this one: it holds only what differs, so that it takes half a minute to install.
torch stays as it is, because PyPI's brings gigabytes of CUDA libraries; `make test-oldest` and `make test-newest` make
whole environments and run more.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from importlib.metadata import distributions, requires
from pathlib import Path

from packaging.requirements import Requirement

STAYS = "torch"
TESTS = [
    "tests/test_checkpoints.py",
    "tests/overlap/test_overlap.py",
    "tests/figures/test_heatmap.py",
    "tests/figures/test_groups.py",
    "tests/figures/test_upset.py",
    "tests/tracking/test_autolog.py::TestAutolog",
    "tests/comparison/test_compared.py::TestLogged",
]
# Packages of both environments would register their plugins twice.
PLUGINS = ("xdist.plugin", "pytest_timeout", "_hypothesis_pytestplugin")


def main(edges: list[str]) -> int:
    """Run the tests at each edge that is not this environment itself; how many edges failed."""
    return sum(_fails(edge) for edge in edges or ["oldest", "newest"])


def _fails(edge: str) -> bool:
    python = _laid_over(Path(sys.prefix) / f"edge-{edge}")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-compile"]
    options = ["--upgrade"] if edge == "newest" else []
    # It warns that packages of this environment wanted others: shown only if something went wrong.
    installed = subprocess.run([*pip, *options, *_wanted(edge)], check=False, capture_output=True, text=True)
    if installed.returncode:
        print(installed.stdout, installed.stderr, f"{edge}: pip could not install it, see above", sep="\n")
        return True
    own = sorted(_installed(python.parents[1]))
    print(f"{edge}: {', '.join(own) or 'the versions of this environment, whose tests say all'}", flush=True)
    if not own:
        return False
    plugins = (option for plugin in PLUGINS for option in ("-p", plugin))
    settings = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "OMP_NUM_THREADS": "1"}
    pytest = [python, "-m", "pytest", "-q", "--numprocesses", "auto", "-m", "not long", *plugins, *TESTS]
    return subprocess.run(pytest, check=False, env=settings).returncode != 0


def _laid_over(folder: Path) -> Path:
    """The Python of a new environment in which everything of this one can be imported, unless it has its own."""
    venv.create(folder, clear=True, symlinks=True)
    (own,) = folder.glob("lib/python*/site-packages")
    (own / "below.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    return folder / "bin" / "python"


def _wanted(edge: str) -> Iterator[str]:
    """What pip is asked for: each direct dependency, at its lowest version or at any that is allowed."""
    for requirement in map(Requirement, requires("gradiend-mlflow") or []):
        if requirement.name == STAYS or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        lowest = [bound.version for bound in requirement.specifier if bound.operator == ">="]
        yield f"{requirement.name}=={lowest[0]}" if edge == "oldest" else str(requirement)


def _installed(folder: Path) -> Iterator[str]:
    """What the environment has of its own."""
    for own in distributions(path=[str(next(folder.glob("lib/python*/site-packages")))]):
        yield f"{own.metadata['Name']} {own.version}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
