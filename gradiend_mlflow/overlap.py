"""How far top-k sets agree: numbers only, from the sets alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from scipy import sparse

from gradiend_mlflow.errors import InvalidInputError, SpaceConflictError
from gradiend_mlflow.parts import check_choice
from gradiend_mlflow.space import IntArray, WeightSpace
from gradiend_mlflow.topk import TopKSet

if TYPE_CHECKING:
    import pandas as pd

Value = Literal["intersection", "intersection_frac", "jaccard"]
VALUES: tuple[Value, ...] = get_args(Value)

Matrix = npt.NDArray[np.float64]


def check_value(value: str) -> Value:
    """Return `value` if it names one of the overlap matrices.

    Raises:
        InvalidInputError: If it does not.
    """
    return check_choice("value", value, VALUES)


@dataclass(frozen=True, eq=False)
class Overlap:
    """The pairwise and joint overlap of N top-k sets.

    Made by `compute_overlap`. Rows and columns of every matrix follow `labels`.

    Attributes:
        labels: One label per set, in the order given; length N.
        sizes: Number of weights per set; int64, shape (N,).
        intersection: |A and B| per pair, so the sizes on the diagonal; int64, shape (N, N), symmetric.
        space: The union of the sets' spaces; `keys` are base-global indices over it.
        keys: Every weight that is in at least one set, ascending; int64, shape (U,).
        membership: Which set holds which weight; sparse, 0 or 1, shape (N, U).
    """

    labels: tuple[str, ...]
    sizes: IntArray
    intersection: IntArray
    space: WeightSpace = field(repr=False)
    keys: IntArray = field(repr=False)
    membership: Any = field(repr=False)

    @cached_property
    def intersection_frac(self) -> Matrix:
        """|A and B| / min(|A|, |B|) per pair, in [0, 1]; float64, shape (N, N).

        The overlap coefficient, gradiend's `intersection_frac` of the measure `topk_overlap`.
        """
        return self.intersection / np.minimum.outer(self.sizes, self.sizes)

    @cached_property
    def jaccard(self) -> Matrix:
        """|A and B| / |A or B| per pair, in [0, 1] (Jaccard 1912); float64, shape (N, N)."""
        return self.intersection / (np.add.outer(self.sizes, self.sizes) - self.intersection)

    @cached_property
    def regions(self) -> dict[tuple[str, ...], int]:
        """How many weights lie in exactly these sets and no other, for every combination where any do.

        Keys are the sets' labels in the order of `labels`; values are at least 1 and sum to `union_size`.
        Largest first. Only combinations that occur are visited, so any number of sets is fine.
        """
        holders = self.membership.tocsc()
        packed = np.zeros((len(self.keys), (len(self.labels) + 7) // 8), dtype=np.uint8)
        columns = np.repeat(np.arange(len(self.keys)), np.diff(holders.indptr))
        np.bitwise_or.at(packed, (columns, holders.indices // 8), (1 << (holders.indices % 8)).astype(np.uint8))
        patterns, counts = np.unique(packed, axis=0, return_counts=True)
        members = np.unpackbits(patterns, axis=1, bitorder="little")
        found = {
            tuple(self.labels[index] for index in np.flatnonzero(row)): int(count)
            for row, count in zip(members, counts, strict=True)
        }
        return dict(sorted(found.items(), key=lambda item: (-item[1], len(item[0]), item[0])))

    @property
    def union_size(self) -> int:
        """Number of weights that are in at least one set."""
        return len(self.keys)

    def values(self, value: Value = "intersection_frac") -> npt.NDArray[Any]:
        """One of the matrices by name; shape (N, N).

        Raises:
            InvalidInputError: If `value` is not the name of one.
        """
        matrix: npt.NDArray[Any] = getattr(self, check_value(value))
        return matrix

    def to_frame(self, value: Value = "intersection_frac") -> pd.DataFrame:
        """One of the matrices with the labels on both axes.

        Raises:
            InvalidInputError: If `value` is not the name of one.
        """
        import pandas as pd

        return pd.DataFrame(self.values(value), index=list(self.labels), columns=list(self.labels))


def compute_overlap(sets: Mapping[str, TopKSet]) -> Overlap:
    """Compare top-k sets by weight identity: parameter name and flat offset, whatever each run selected.

    Args:
        sets: One set per label; at least one. Their spaces may differ in which parameters they hold.

    Returns:
        The overlap, with rows and columns in the order of `sets`.

    Raises:
        InvalidInputError: If `sets` is empty or holds something that is not a `TopKSet`.
        SpaceConflictError: If two sets have the same parameter with different shapes.

    Example:
        >>> a = TopKSet.from_indices([1, 2, 3], space=10)
        >>> b = TopKSet.from_indices([3, 1], space=10)
        >>> overlap = compute_overlap({"a": a, "b": b})
        >>> overlap.intersection.tolist(), overlap.intersection_frac[0, 1].item(), overlap.regions
        ([[3, 2], [2, 2]], 1.0, {('a', 'b'): 2, ('a',): 1})
    """
    if not isinstance(sets, Mapping):
        raise InvalidInputError(f"sets must be a mapping from label to TopKSet; got {type(sets).__name__}")
    if not sets:
        raise InvalidInputError("compute_overlap needs at least one set; got none")
    for label, topk_set in sets.items():
        if not isinstance(topk_set, TopKSet):
            raise InvalidInputError(f"sets[{label!r}] must be a TopKSet; got {type(topk_set).__name__}")
    space = union_space(sets)
    owners = np.repeat(np.arange(len(sets)), [len(topk_set) for topk_set in sets.values()])
    keys, columns = np.unique(
        np.concatenate([_keys(topk_set, space) for topk_set in sets.values()]), return_inverse=True
    )
    membership = sparse.csr_array(
        (np.ones(len(owners), dtype=np.int64), (owners, columns)), shape=(len(sets), len(keys))
    )
    return Overlap(
        labels=tuple(sets),
        sizes=np.bincount(owners, minlength=len(sets)).astype(np.int64),
        intersection=(membership @ membership.T).toarray(),
        space=space,
        keys=keys,
        membership=membership,
    )


def union_space(sets: Mapping[str, TopKSet]) -> WeightSpace:
    """The space with every parameter of every set's space, in order of first appearance.

    Raises:
        SpaceConflictError: If two sets have the same parameter with different shapes; names both.
    """
    seen: dict[str, tuple[tuple[int, ...], str]] = {}
    spaces: set[str] = set()
    for label, topk_set in sets.items():
        if topk_set.space.fingerprint in spaces:
            continue
        spaces.add(topk_set.space.fingerprint)
        for name, shape in zip(topk_set.space.names, topk_set.space.shapes, strict=True):
            first_shape, first_label = seen.setdefault(name, (shape, label))
            if first_shape != shape:
                raise SpaceConflictError(
                    f"{first_label!r} and {label!r} cannot be compared: the parameter {name!r} has the shape "
                    f"{first_shape} in the first and {shape} in the second, so they have different base models "
                    f"({sets[first_label].space.base_model!r} and {topk_set.space.base_model!r})"
                )
    base_models = {topk_set.space.base_model for topk_set in sets.values()}
    return WeightSpace(
        names=tuple(seen),
        shapes=tuple(shape for shape, _ in seen.values()),
        base_model=base_models.pop() if len(base_models) == 1 else None,
    )


def _keys(topk_set: TopKSet, space: WeightSpace) -> IntArray:
    """The set's weights as base-global indices over `space`, in rank order."""
    if topk_set.space.fingerprint == space.fingerprint:
        return topk_set.base_global_indices()
    where = {name: index for index, name in enumerate(space.names)}
    translate = np.array([where[name] for name in topk_set.space.names], dtype=np.int64)
    return space.starts[translate[topk_set.param_ids]] + topk_set.offsets
