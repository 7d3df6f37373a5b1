"""Directories that others have filled: searched without end or circles, read without leaving them or waiting.

A link is followed only if what it leads to lies in the directory that the user has named, its root.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

MOST_LEVELS = 100
_PIECE = 2**20  # bytes that are read at once
LEADS_OUT = "it is a link that leads out of {}, so it is not followed"

Found = tuple[Path, str]


@dataclass
class Walk:
    """The directories of a tree, each once.

    While they are passed, `faults` collects those that cannot be read, and `links` the links to directories outside,
    each with the reason.

    Attributes:
        start: Where to begin; may be a link itself.
        root: Links that lead out of it are not followed; default `start`.
        follow: Whether the others are.
    """

    start: Path
    root: Path | None = None
    follow: bool = True
    faults: list[Found] = field(default_factory=list)
    links: list[Found] = field(default_factory=list)

    def __iter__(self) -> Iterator[tuple[Path, list[str], list[str]]]:
        """Each directory with the sorted names of the directories and of all else in it.

        Who removes names of directories from the list keeps them from being searched.
        """
        waiting = [(self.start, 0)]
        seen: set[tuple[int, int]] = set()
        while waiting:
            here, level = waiting.pop()
            try:
                status = here.stat()
                with os.scandir(here) as entries:
                    found = sorted(entries, key=lambda entry: entry.name)
            except OSError as error:
                self.faults.append((here, f"it cannot be read: {error.strerror or error}"))
                continue
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            below = [entry.name for entry in found if _is_directory(entry)]
            linked = {entry.name for entry in found if entry.is_symlink()}
            others = set(below)
            yield here, below, [entry.name for entry in found if entry.name not in others]
            below = [name for name in below if name not in linked or self._is_followed(here / name)]
            if below and level == MOST_LEVELS:
                self.faults.append((here, f"what is more than {MOST_LEVELS} levels down is not searched"))
            else:
                waiting += [(here / name, level + 1) for name in reversed(below)]

    def _is_followed(self, link: Path) -> bool:
        root = self.root or self.start
        if not is_inside(link, root):
            self.links.append((link, LEADS_OUT.format(root)))
            return False
        return self.follow


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def is_inside(path: Path, root: Path) -> bool:
    """Whether there is something at a path, and it lies in `root` when all links are followed."""
    try:
        real = os.path.realpath(path, strict=True)
        around = os.path.realpath(root, strict=True)
        return os.path.commonpath([real, around]) == around
    except (OSError, ValueError):  # a circle of links; a name with NUL; another drive
        return False


def leads_out(path: Path, root: Path) -> bool:
    """Whether there is something at a path, but reached only by a link that leads out of `root`."""
    try:
        return path.exists() and not is_inside(path, root)
    except (OSError, ValueError):
        return False


def open_regular(file: Path) -> BinaryIO:
    """Open a file to read it, but none that can block or has no end, such as a pipe or a device.

    Raises:
        OSError: If it cannot be read, or is not a regular file.
    """
    descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{file} is not a regular file")
    return os.fdopen(descriptor, "rb")


def read_regular(file: Path, *, most: int) -> bytes:
    """The content of such a file.

    Raises:
        OSError: If it cannot be read, or is not a regular file.
        ValueError: If it is longer than `most` bytes.
    """
    with open_regular(file) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > most:
            raise ValueError(f"it has {size:,} bytes; at most {most:,} are read")
        return stream.read(size)


def sha256_of(file: Path) -> bytes:
    """The digest of such a file, which need not fit into memory.

    Raises:
        OSError: If it cannot be read, or is not a regular file.
    """
    digest = hashlib.sha256()
    with open_regular(file) as content:
        while piece := content.read(_PIECE):
            digest.update(piece)
    return digest.digest()


def files_in(directory: Path, root: Path) -> tuple[list[Path], list[Path]]:
    """The files below a directory that may be sent, and what may not."""
    files: list[Path] = []
    left_out: list[Path] = []
    walk = Walk(directory, root)
    for here, _, names in walk:
        for name in names:
            (files if (here / name).is_file() and is_inside(here / name, root) else left_out).append(here / name)
    return files, left_out + [path for path, _ in (*walk.links, *walk.faults)]
