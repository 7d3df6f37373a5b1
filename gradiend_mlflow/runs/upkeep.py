"""What the cache of pulled sets holds, and how to make it smaller."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from os import PathLike
from pathlib import Path

from gradiend_mlflow.display.results import Shown, html_facts
from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.runs.cache import Cache, KeptFile, open_cache
from gradiend_mlflow.wording import counted


@dataclass(frozen=True, repr=False)
class CacheUse(Shown):
    """What a cache holds, or what was removed from it; a notebook shows it as a table.

    Attributes:
        directory: Where it is; None if there is none. It is made when a first set is kept.
        sets: How many sets.
        bytes: How many bytes they have.
        capacity: How many bytes are kept at most.
        used: When the set was used that was used longest ago (UTC); None if there is none.
    """

    directory: Path | None
    sets: int
    bytes: int
    capacity: int
    used: datetime | None

    def _line(self) -> str:
        place = "no directory" if self.directory is None else str(self.directory)
        return f"{counted(self.sets, 'set')}, {self.bytes:,} bytes of at most {self.capacity:,}: {place}"

    def _html(self) -> Iterator[str]:
        yield html_facts({name: str(value) for name, value in asdict(self).items()})


def cache_info(cache: str | PathLike[str] | None = None) -> CacheUse:
    """What the cache of pulled sets holds; nothing is created.

    Args:
        cache: The directory, as for `load_topk`.

    Raises:
        InvalidInputError: If `cache` is no directory on this machine, or cannot be read.

    Example:
        >>> cache_info("off").sets
        0
    """
    kept = open_cache(cache)
    return _use(kept, _files(kept))


def prune_cache(cache: str | PathLike[str] | None = None, *, size: float | None = None) -> CacheUse:
    """Remove the sets that were used longest ago, until the rest fits.

    Args:
        cache: The directory, as for `load_topk`.
        size: How many gigabytes may be left; default what is kept anyway, GRADIEND_MLFLOW_CACHE_SIZE or 2.

    Returns:
        What was removed.

    Raises:
        InvalidInputError: If `size` is not a number, 0 or more, or `cache` is not acceptable or cannot be changed.
    """
    if size is not None and not (isinstance(size, (int, float)) and 0 <= size < float("inf")):
        raise InvalidInputError(f"size must be a number of gigabytes, 0 or more; got {size!r}")
    kept = open_cache(cache)
    return _shrunk(kept, kept.capacity if size is None else 1e9 * size)


def clear_cache(cache: str | PathLike[str] | None = None) -> CacheUse:
    """Remove every set from the cache; other files in its directory stay.

    Args:
        cache: The directory, as for `load_topk`.

    Returns:
        What was removed.

    Raises:
        InvalidInputError: As for `prune_cache`.
    """
    return _shrunk(open_cache(cache), 0)


def _files(kept: Cache) -> list[KeptFile]:
    try:
        return kept.files()
    except OSError as error:
        raise InvalidInputError(f"the cache in {kept.folder} cannot be read: {error.strerror}") from error


def _shrunk(kept: Cache, most: float) -> CacheUse:
    _files(kept)
    try:
        return _use(kept, kept.shrink(most))
    except OSError as error:
        raise InvalidInputError(f"the cache in {kept.folder} cannot be made smaller: {error.strerror}") from error


def _use(kept: Cache, files: list[KeptFile]) -> CacheUse:
    oldest = datetime.fromtimestamp(files[0].used, tz=timezone.utc) if files else None
    return CacheUse(kept.folder, len(files), sum(file.size for file in files), int(kept.capacity), oldest)
