"""Forked children that were killed: their parent says at its end what they have left, because they cannot.

They share a file without a name: a child writes down where its journals are, and for which server, and at its end the
parent looks there.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import BinaryIO

from gradiend_mlflow.delivery.journals.journal import count_left
from gradiend_mlflow.errors import logger
from gradiend_mlflow.store import pending
from gradiend_mlflow.store.secrets import masked
from gradiend_mlflow.store.uris import absolute, missing_password, sync_command
from gradiend_mlflow.wording import counted


class _Notes:
    """Where forked children of this process have made journals, in the order of the writing: directory, server."""

    def __init__(self) -> None:
        self._file: BinaryIO | None = None
        self._made: os.stat_result | None = None
        self._is_own = True  # whether it is this process that reads them

    def share(self) -> None:
        """Before a fork: let the child inherit the file."""
        if self._file is None:
            with contextlib.suppress(OSError):  # a full disk does not hinder a fork
                self._file = tempfile.TemporaryFile("a+b", buffering=0)  # noqa: SIM115  # open until the end
                self._made = os.fstat(self._file.fileno())
                pending.call_at_exit(self.report)

    def begin_in_child(self) -> None:
        """The parent reads what this process and its own children write."""
        self._is_own = False

    def _opened(self) -> BinaryIO | None:
        """The file; None if there is none, or if a daemon has closed what it inherited and opened another one."""
        with contextlib.suppress(OSError):
            if self._file and self._made and os.path.samestat(self._made, os.fstat(self._file.fileno())):
                return self._file
        return None

    def add(self, experiment_dir: Path, tracking_uri: str) -> None:
        """Write down where this process makes a journal, if it is a child; secrets of the address become ***."""
        file = None if self._is_own else self._opened()
        if file is not None:
            with contextlib.suppress(OSError):
                file.write(os.fsencode(experiment_dir) + b"\0" + os.fsencode(masked(absolute(tracking_uri))) + b"\0")

    def report(self) -> None:
        """Warn of the journals that children have left, with the command that sends them."""
        file = self._opened() if self._is_own else None
        if file is None:
            return
        file.seek(0)
        written = os.fsdecode(file.read()).split("\0")
        left: dict[str, dict[Path, int]] = defaultdict(dict)
        for directory, uri in sorted(set(zip(written[::2], written[1::2], strict=False))):
            if count := count_left(Path(directory)):
                left[uri][Path(directory)] = count
        for uri, counts in left.items():
            commands = [sync_command(path, uri) for path in pending.joined(counts)]
            logger.warning(
                "Child processes have left the records of %s, which MLflow on %s does not have yet; "
                "send them with: %s%s",
                counted(sum(counts.values()), "training"),
                uri,
                " && ".join(commands),
                missing_password(uri),
            )


notes = _Notes()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=notes.share, after_in_child=notes.begin_in_child)
