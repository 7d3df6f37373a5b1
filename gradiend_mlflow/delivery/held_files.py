"""The contents of files that wait to be uploaded, kept in memory, because their directory may vanish first."""

from __future__ import annotations

import contextlib
import threading
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from gradiend_mlflow.disk.temporary import temporary_folder
from gradiend_mlflow.disk.trees import read_regular
from gradiend_mlflow.errors import StoreError
from gradiend_mlflow.sets.parts import PARTS, Part
from gradiend_mlflow.sets.topk import TopKSet

_LARGEST = 16 * 2**20  # bytes of a file that is held
_MOST = 128 * 2**20  # bytes of all that are held by one recorder
_MOST_READ = 2**30  # bytes of a file that is read from the disk: as much as that of a set may have


class LostFileError(StoreError):
    """A file that was to be uploaded is gone, and its content was not held."""


class HeldFiles:
    """The contents of the files of each run, as far as they fit; files that are larger are left to the disk.

    One thread may hold files while another reads and releases them.
    """

    def __init__(self) -> None:
        self._held: dict[str, dict[Path, bytes]] = defaultdict(dict)
        self._size = 0
        self._lock = threading.Lock()

    def hold(self, key: str, file: Path) -> None:
        """Keep the content of a file of the run `key` until `release`."""
        with contextlib.suppress(OSError), self._lock:  # a directory, or gone already
            if file.stat().st_size <= min(_LARGEST, _MOST - self._size):
                content = self._held[key][file] = file.read_bytes()
                self._size += len(content)

    def release(self, *keys: str) -> None:
        """Forget the files of these runs, or of all if none is named: they are uploaded, or never will be."""
        with self._lock:
            for key in keys or tuple(self._held):
                self._size -= sum(map(len, self._held.pop(key, {}).values()))

    def read(self, key: str, file: Path) -> bytes:
        """The content of a file, from memory or else from the disk.

        Raises:
            LostFileError: If it is in neither.
            StoreError: If it has more than 1 GB.
        """
        held = self._held.get(key, {}).get(file)
        try:
            return read_regular(file, most=_MOST_READ) if held is None else held
        except ValueError as error:
            raise StoreError(f"{file} is not read: {error}") from None
        except FileNotFoundError:
            raise LostFileError(f"{file.name} is gone: {file.parent} was removed before MLflow had it") from None

    def sets(self, key: str, directory: Path) -> dict[Part, TopKSet]:
        """The sets whose files are in a directory.

        Raises:
            LostFileError: If none is left.
            ArtifactError: If one cannot be read.
        """
        from gradiend_mlflow.sets.artifact import parse_topk

        found: dict[Part, TopKSet] = {}
        for part in PARTS:
            file = directory / f"{part}.parquet"
            with contextlib.suppress(LostFileError):  # a part that this GRADIEND does not have
                found[part] = parse_topk(self.read(key, file), origin=str(file))
        if not found:
            raise LostFileError(f"the sets are gone: {directory} was removed before MLflow had them")
        return found

    @contextlib.contextmanager
    def on_disk(self, key: str, file: Path) -> Iterator[Path]:
        """The file or directory within the block: as it lies there, or else a copy of what is held of it.

        Raises:
            LostFileError: If it is gone and not held.
        """
        if file.exists():
            yield file
            return
        content = self.read(key, file)
        with temporary_folder() as folder:
            copy = folder / file.name
            copy.write_bytes(content)
            yield copy
