"""Groups of parameters, with the overlap within each, and groups of runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gradiend_mlflow.display.results import MOST_ROWS, Shown, html_table
from gradiend_mlflow.overlap.layout.ranked import RankedSets
from gradiend_mlflow.overlap.layout.signs import sign_agreement
from gradiend_mlflow.overlap.matrices import PairwiseOverlap
from gradiend_mlflow.overlap.measures import Value
from gradiend_mlflow.overlap.statistics.frames import pairs_of
from gradiend_mlflow.wording import counted, named

SHARED_BY_TWO, SHARED_BY_ALL = _SHARED = "in ≥ 2 runs", "in all runs"


@dataclass(frozen=True, eq=False, repr=False)
class GroupedOverlap(Shown):
    """The overlap of N sets within each group of parameters.

    Returned by `by_layer`, `by_component`, `by_param` and `by_group` of an `Overlap` or a `Comparison`.

    Attributes:
        overlaps: By group, the `Overlap` of the sets' weights in it; without groups in which no set has a weight, and
            in the order of the base model's parameters. Everything is taken within the group: a set's size is the
            number of its weights there, and chance levels are among the group's weights.

    Example:
        >>> from gradiend_mlflow import TopKSet, WeightSpace, compute_overlap
        >>> space = WeightSpace(("layer.0.query", "layer.1.key"), ((4,), (4,)))
        >>> sets = {"a": TopKSet.from_indices([0, 5], space=space), "b": TopKSet.from_indices([5, 6], space=space)}
        >>> compute_overlap(sets).by_layer().to_frame()[["group", "weights_a", "weights_b", "shared"]]
             group  weights_a  weights_b  shared
        0  layer_0          1          0       0
        1  layer_1          1          2       1
    """

    overlaps: Mapping[str, PairwiseOverlap] = field(repr=False)

    @property
    def groups(self) -> tuple[str, ...]:
        """The names of the groups, in the order of `overlaps`."""
        return tuple(self.overlaps)

    def share(self) -> pd.DataFrame:
        """How much of each set lies in each group, in [0, 1]: one row per group, one column per set, summing to 1."""
        return _shares(self._by_group(lambda sets: sets.sizes.tolist(), self._labels))

    def share_of_shared(self) -> pd.DataFrame:
        """As `share`, for the weights that at least two sets hold and those that all hold; NaN if there are none."""
        return _shares(self._by_group(lambda sets: [int(held.sum()) for held in _shared(sets)], _SHARED))

    def same_sign(self) -> pd.DataFrame:
        """How many of the shared weights have one sign in all the sets that hold them, in [0, 1].

        Returns:
            One row per group, and a column each for the weights that at least two sets hold and those that all hold.
            NaN where there are none, and where the signed weights of a set are not known.
        """

        def agreeing(sets: RankedSets) -> list[float]:
            agreement = sign_agreement(sets)
            found = [agreement[held] for held in _shared(sets)]
            return [float(np.where(np.isnan(x), np.nan, x == 1).mean()) if len(x) else np.nan for x in found]

        return self._by_group(agreeing, _SHARED)

    def to_frame(self, value: Value = "intersection_frac") -> pd.DataFrame:
        """One row per group and pair: group, a, b, weights_a, weights_b, shared, the value and its lift over chance.

        Sizes of sets of neurons are neurons_a and neurons_b. Where either set is empty in the group there is no
        value: NaN.

        Raises:
            InvalidInputError: As for `Overlap.values`.
        """
        frames = []
        for group, overlap in self.overlaps.items():
            rows, columns, names = pairs_of(overlap.labels)
            sizes = {f"{overlap.unit}s_a": overlap.sizes[rows], f"{overlap.unit}s_b": overlap.sizes[columns]}
            shared = overlap.intersection[rows, columns]
            known = (overlap.sizes[rows] > 0) & (overlap.sizes[columns] > 0)
            values = np.where(known, overlap.values(value)[rows, columns], np.nan)
            lift = overlap.chance().lift[rows, columns]
            frames.append(
                pd.DataFrame({"group": group, **names, **sizes, "shared": shared, value: values, "lift": lift})
            )
        return pd.concat(frames, ignore_index=True)

    @property
    def _labels(self) -> list[str]:
        return list(next(iter(self.overlaps.values())).labels) if self.overlaps else []

    def _by_group(self, counts: Callable[[RankedSets], list[Any]], columns: Sequence[str]) -> pd.DataFrame:
        rows = np.array([counts(overlap.ranked) for overlap in self.overlaps.values()]).reshape(-1, len(columns))
        return pd.DataFrame(rows, index=pd.Index(self.groups, name="group"), columns=list(columns))

    def _line(self) -> str:
        return f"{counted(len(self._labels), 'set')} in {counted(len(self.groups), 'group')}: {named(self.groups)}"

    def _html(self) -> Iterator[str]:
        first = GroupedOverlap(dict(list(self.overlaps.items())[:MOST_ROWS]))
        if first.groups:
            means = first.to_frame().groupby("group", sort=False)[["intersection_frac", "lift"]].mean()
            means.insert(0, "share", self.share().mean(axis="columns"))
            yield html_table(means, index=True, percent=["share", "intersection_frac"], of=len(self.groups))


def _shared(sets: RankedSets) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which columns at least two sets hold, and which all hold."""
    return sets.presence > 1, sets.presence == len(sets.labels)


def _shares(counts: pd.DataFrame) -> pd.DataFrame:
    return counts / counts.sum().replace(0, np.nan)
