"""Zip archives that anybody may have written, read in time and memory that their own size bounds."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Sequence

from gradiend_mlflow.untrusted import MOST_QUOTED
from gradiend_mlflow.wording import visible

# What zipfile raises for files that are not as they should be.
_FAULTS = (zipfile.BadZipFile, KeyError, RuntimeError, EOFError, OSError, ValueError, OverflowError, struct.error)
# The end of an archive without a comment: its mark, the size of its table of contents.
_END = struct.Struct("<4s8xL6x")
_END_64 = b"PK\6\7"
_LONGEST_ENTRY = 1000  # bytes in the table of contents, name and all


def stored_files(archive: bytes, names: Sequence[str]) -> list[bytes]:
    """The files of these names in an archive that holds them, and nothing else, uncompressed.

    Raises:
        ValueError: If it is none.
    """
    try:
        _check_contents(archive, len(names))
        with zipfile.ZipFile(io.BytesIO(archive)) as files:
            members = [files.getinfo(name) for name in names]
            # A small file could else unfold to a large one, or be read again and again.
            if any(member.compress_type for member in members) or sum(m.file_size for m in members) > len(archive):
                raise ValueError("its files must be stored as they are, once")
            return [files.read(member) for member in members]
    except _FAULTS as error:
        raise ValueError(visible(str(error))[:MOST_QUOTED]) from None


def _check_contents(archive: bytes, files: int) -> None:
    """Refuse a table of contents that is longer than so many files need: zipfile reads it in whole."""
    if len(archive) < _END.size:
        raise ValueError("it is no archive")
    mark, size = _END.unpack_from(archive, len(archive) - _END.size)
    if mark != b"PK\5\6" or _END_64 in archive[-_END.size - 20 : -_END.size] or size > files * _LONGEST_ENTRY:
        raise ValueError(f"it does not end as an archive of {files} files does")
