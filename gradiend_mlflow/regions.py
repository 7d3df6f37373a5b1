"""Which weights lie in exactly which sets, for any number of sets."""

from __future__ import annotations

import numpy as np

from gradiend_mlflow.ranked import RankedSets


def exclusive_regions(sets: RankedSets) -> dict[tuple[str, ...], int]:
    """How many weights lie in exactly these sets and no other, for every combination where any do, largest first.

    Only combinations that occur are visited: 100 sets do not enumerate 2^100.
    """
    labels, shared = sets.labels, sets.shared
    alone = sets.sizes - np.bincount(shared.indices, minlength=len(labels))
    found: dict[tuple[str, ...], int] = {
        (label,): int(size) for label, size in zip(labels, alone, strict=True) if size
    }
    packed = np.zeros((shared.shape[1], (len(labels) + 7) // 8), dtype=np.uint8)
    columns = np.repeat(np.arange(shared.shape[1]), np.diff(shared.indptr))
    np.bitwise_or.at(packed, (columns, shared.indices // 8), (1 << (shared.indices % 8)).astype(np.uint8))
    patterns, sizes = np.unique(packed, axis=0, return_counts=True)
    for row, size in zip(np.unpackbits(patterns, axis=1, bitorder="little"), sizes, strict=True):
        found[tuple(labels[index] for index in np.flatnonzero(row))] = int(size)
    return dict(sorted(found.items(), key=lambda item: (-item[1], len(item[0]), item[0])))
