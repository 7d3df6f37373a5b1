"""Which combinations of sets an UpSet plot shows, and what it says of the others."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.overlap.overlap import Overlap
from gradiend_mlflow.wording import counted

NAMED_UP_TO = 60  # sets


@dataclass(frozen=True, eq=False)
class Regions:
    """What is drawn.

    Attributes:
        labels: The sets that have a row.
        sizes: Their sizes.
        matrix: Which set (row) is in which combination (column).
        counts: The weights, or neurons, in each combination.
        rest: Whether the last combination is the sum of all others, in which no set is marked.
        footnotes: What is left out, a sentence each.
        unit: What is counted: "weight" or "neuron".
    """

    labels: tuple[str, ...]
    sizes: tuple[int, ...]
    matrix: npt.NDArray[np.bool_]
    counts: tuple[int, ...]
    rest: bool
    footnotes: tuple[str, ...]
    unit: str

    @property
    def sizes_heading(self) -> str:
        """What stands above the sets' sizes."""
        return f"{self.unit}s\nper set"

    @property
    def highest(self) -> int:
        """The most weights of a single combination."""
        return max(self.counts[: len(self.counts) - self.rest])


def selected(overlap: Overlap, most: int, min_sets: int | None) -> Regions:
    """The largest combinations, at most `most`, and the sum of the others; arguments as for `plot_upset`.

    Raises:
        InvalidInputError: If no weight is in `min_sets` sets, or there is none at all.
    """
    regions, alone = _candidates(overlap, most, min_sets)
    # A last bar for a single combination would say less than the combination itself.
    split = len(regions) if len(regions) <= most + 1 else most
    together: Iterator[set[str]] = accumulate((set(members) for members, _ in regions[:split]), operator.or_)
    split = sum(len(members) <= NAMED_UP_TO for members in together) or split
    own, rest = regions[:split], regions[split:]
    in_own = set().union(*(members for members, _ in own))
    rows = [index for index, label in enumerate(overlap.labels) if label in in_own]
    labels = tuple(overlap.labels[row] for row in rows)
    matrix = np.array([[label in members for members, _ in own] + [False] * bool(rest) for label in labels])
    counts = [size for _, size in own] + [sum(size for _, size in rest)] * bool(rest)
    left_out = len(overlap.labels) - len(labels)
    footnotes = {
        f"{len(labels)} sets, a row each in their order, are too many to be named: overlap.regions names them": len(
            labels
        )
        > NAMED_UP_TO,
        f"last bar: {counted(len(rest), 'other combination')}": rest,
        f"{overlap.unit}s of one set alone, not shown: {alone:,}": alone,
        f"sets in none of these combinations: {left_out}": left_out,
    }
    return Regions(
        labels,
        tuple(overlap.sizes[rows].tolist()),
        matrix,
        tuple(counts),
        bool(rest),
        tuple(footnote for footnote, applies in footnotes.items() if applies),
        overlap.unit,
    )


def _candidates(overlap: Overlap, most: int, min_sets: int | None) -> tuple[list[tuple[tuple[str, ...], int]], int]:
    """The combinations that may have a bar, and the number of weights that are left out for the default `min_sets`."""
    regions = [(members, size) for members, size in overlap.regions.items() if len(members) >= (min_sets or 1)]
    if not regions:
        raise InvalidInputError(f"no {overlap.unit} is in {min_sets or 1} of the {len(overlap.labels)} sets")
    shared = [(members, size) for members, size in regions if len(members) > 1]
    if min_sets is not None or not shared or len(regions) <= most + 1:
        return regions, 0
    return shared, sum(size for members, size in regions if len(members) == 1)
