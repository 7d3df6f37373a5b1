"""Folders and files of ours that only their user may read, whatever the umask says."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

_FOLDER, _FILE = 0o700, 0o600


def private_folder(path: Path) -> Path:
    """Make a directory that only its user may enter; one that is there already becomes so, if it is the user's.

    Directories above it are made as usual.

    Raises:
        OSError: If it cannot be made, or a link or a file is in its place.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        path.mkdir(_FOLDER)
    if not stat.S_ISDIR(path.lstat().st_mode):
        raise NotADirectoryError(f"{path} is not a directory of its own")
    make_private(path)
    return path


def make_private(path: Path) -> None:
    """Keep others from reading an existing file or directory; a link, and what belongs to others, is left alone."""
    with contextlib.suppress(OSError):  # what is not ours cannot be changed, and need not be
        status = path.lstat()
        wanted = _FOLDER if stat.S_ISDIR(status.st_mode) else _FILE
        if not stat.S_ISLNK(status.st_mode) and stat.S_IMODE(status.st_mode) != wanted:
            path.chmod(wanted)


def make_all_private(folder: Path) -> None:
    """The same for a directory and everything in it."""
    make_private(folder)
    with contextlib.suppress(OSError, RecursionError):  # the folder's own mode protects what is below it
        for here, below, names in os.walk(folder):
            for name in (*below, *names):
                make_private(Path(here, name))
