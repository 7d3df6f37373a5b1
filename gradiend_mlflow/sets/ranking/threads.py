"""Work on many numbers, a slice of them for each thread; NumPy lets go of Python's lock while it computes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

THREADS = min(8, os.cpu_count() or 1)
LEAST = 1 << 18  # numbers to sort or to move that are worth another thread

Item = TypeVar("Item")
T = TypeVar("T")


def by_slices(of_slice: Callable[[int, int], T], length: int, *, least: int, step: int = 1) -> list[T]:
    """What `of_slice(start, stop)` makes of each thread's slice, in their order.

    Args:
        of_slice: Called by several threads at once.
        length: Of all slices together.
        least: How long a slice is at least, if it is not the last one.
        step: What the length of each but the last is a multiple of.
    """
    size = -(-max(least, -(-length // THREADS)) // step) * step
    slices = [(start, min(start + size, length)) for start in range(0, length, size)]
    return in_threads(lambda each: of_slice(*each), slices)


def in_threads(of_item: Callable[[Item], T], items: Sequence[Item], most: int = THREADS) -> list[T]:
    """What `of_item` makes of each, in their order; it is called by up to `most` threads at once."""
    if min(most, len(items)) < 2:  # noqa: PLR2004
        return list(map(of_item, items))
    with ThreadPoolExecutor(min(most, THREADS)) as pool:
        return list(pool.map(of_item, items))
