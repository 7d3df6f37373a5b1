"""How the overlap grows with k: the first weights of a ranked set are the set of a smaller k."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import numpy as np
import pandas as pd

from gradiend_mlflow.checks import check_choice
from gradiend_mlflow.display.results import Shown, html_table, html_text
from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.overlap.measures import Unit, divided
from gradiend_mlflow.overlap.statistics.frames import pairs_of
from gradiend_mlflow.sets.space import IntArray, Matrix
from gradiend_mlflow.wording import counted, named

CurveValue = Literal["intersection", "intersection_frac", "jaccard"]

_POINTS_PER_DECADE = 5
_SHOWN_KS = 30


@dataclass(frozen=True, eq=False, repr=False)
class OverlapCurve(Shown):
    """Every pair's overlap by the first k weights of each set, for K values of k.

    Returned by `Overlap.overlap_curve` and `Comparison.overlap_curve`.

    Attributes:
        labels: One label per set, N of them.
        sizes: Number of ranked weights per set; int64, shape (N,). No k is larger than the smallest of them.
        ks: The numbers of weights, ascending; int64, shape (K,).
        intersection: Shared weights; int64, shape (K, N, N).
        expected: What chance alone would give, as `Chance.expected`; float64, shape (K, N, N).
        held: How many weights each set has at each k, which is k, or in how many neurons these lie; int64, shape
            (K, N).
        unit: What is shared: "weight" or "neuron".

    Example:
        >>> from gradiend_mlflow import TopKSet, compute_overlap
        >>> sets = {"a": TopKSet.from_indices([0, 1, 2], space=9), "b": TopKSet.from_indices([1, 0, 5], space=9)}
        >>> compute_overlap(sets).overlap_curve().intersection[:, 0, 1].tolist()
        [0, 2, 2]
    """

    labels: tuple[str, ...]
    sizes: IntArray
    ks: IntArray
    intersection: IntArray = field(repr=False)
    expected: Matrix = field(repr=False)
    held: IntArray = field(repr=False)
    unit: Unit = "weight"

    @property
    def intersection_frac(self) -> Matrix:
        """What is shared, over the smaller set, in [0, 1]; float64, shape (K, N, N)."""
        return divided(self.intersection, np.minimum(self.held[:, :, None], self.held[:, None]))

    @property
    def jaccard(self) -> Matrix:
        """What is shared, over what either has, in [0, 1]; float64, shape (K, N, N)."""
        return divided(self.intersection, self.held[:, :, None] + self.held[:, None] - self.intersection)

    def values(self, value: CurveValue = "intersection_frac", *, by_chance: bool = False) -> Matrix:
        """A measure at every k; float64, shape (K, N, N).

        Args:
            value: "intersection" (a count), "intersection_frac" or "jaccard".
            by_chance: Give what the measure is if sets share as many weights as chance would give.

        Raises:
            InvalidInputError: If `value` is none of these.
        """
        check_choice("value", value, get_args(CurveValue))
        curve = replace(self, intersection=self.expected) if by_chance else self  # type: ignore[arg-type]
        return np.asarray(getattr(curve, value), dtype=np.float64)

    def to_frame(self) -> pd.DataFrame:
        """One row per pair and k: a, b, k, intersection, intersection_frac, jaccard, expected, lift; pair by pair."""
        rows, columns, names = pairs_of(self.labels)
        ks = np.tile(self.ks, len(rows))
        shared, expected, share, jaccard = (
            matrix[:, rows, columns].T.ravel()
            for matrix in (self.intersection, self.expected, self.intersection_frac, self.jaccard)
        )
        return pd.DataFrame(
            {
                **{name: np.repeat(own, len(self.ks)) for name, own in names.items()},
                "k": ks,
                "intersection": shared,
                "intersection_frac": share,
                "jaccard": jaccard,
                "expected": expected,
                "lift": np.divide(shared, expected, out=np.full(len(shared), np.nan), where=expected > 0),
            }
        )

    def _line(self) -> str:
        return f"{counted(len(self.labels), 'set')} at {len(self.ks)} k up to {self.ks[-1]:,}: {named(self.labels)}"

    def _html(self) -> Iterator[str]:
        pairs = np.triu_indices(len(self.labels), k=1)
        if len(pairs[0]):
            found, by_chance = (self.values(by_chance=chance)[:, pairs[0], pairs[1]] for chance in (False, True))
            columns = {"mean": found.mean(1), "lowest": found.min(1), "highest": found.max(1)}
            frame = pd.DataFrame({"k": self.ks, **columns, "by chance": by_chance.mean(1)})
            yield html_text(f"Shared {self.unit}s of two, over the smaller set:")
            yield html_table(frame, percent=frame.columns[1:], most=_SHOWN_KS)


def check_ks(ks: Sequence[int] | None, most: int) -> list[int]:
    """The numbers of weights in `ks`, ascending, each once; by default about five per factor of ten up to `most`.

    Raises:
        InvalidInputError: If `ks` is empty, or has something that is not an int between 1 and `most`.
    """
    if most < 1:
        raise InvalidInputError("an overlap curve needs at least one weight in every set; one of them is empty")
    if ks is None:
        points = 1 + max(1, round(_POINTS_PER_DECADE * np.log10(most)))
        return sorted({round(k) for k in np.geomspace(1, most, points).tolist()})
    try:
        chosen = sorted({operator.index(k) for k in ks})
    except TypeError:
        raise InvalidInputError(f"ks must be a sequence of ints; got {ks!r}") from None
    if not chosen or chosen[0] < 1 or chosen[-1] > most:
        raise InvalidInputError(
            f"ks must lie between 1 and {most}, the size of the smallest set; got {chosen or 'none'}. "
            "A loaded comparison has the weights that it compared: for a larger k, compare "
            "its runs again. Or log larger sets: autolog(topk=...) or log_topk(..., topk=...)"
        )
    return chosen
