"""Overlap within groups of parameters, under gradiend's names for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from gradiend_mlflow.overlap.measures import Value

if TYPE_CHECKING:
    import pandas as pd

    from gradiend_mlflow.overlap.overlap import Overlap


@dataclass(frozen=True, eq=False)
class GroupedOverlap:
    """The overlap of N sets within each group of parameters; made by `Overlap.by_layer` and its like.

    Attributes:
        overlaps: The overlap of the weights in each group in which any set has some, by group, in the order of the
            base model's parameters. All measures are taken within the group: a set has the size that it has there,
            and a chance level is one among the group's weights.

    Example:
        >>> from gradiend_mlflow import TopKSet, WeightSpace, compute_overlap
        >>> space = WeightSpace(("layer.0.query", "layer.1.key"), ((4,), (4,)))
        >>> sets = {"a": TopKSet.from_indices([0, 5], space=space), "b": TopKSet.from_indices([5, 6], space=space)}
        >>> compute_overlap(sets).by_layer().to_frame()[["group", "weights_a", "weights_b", "shared"]]
             group  weights_a  weights_b  shared
        0  layer_0          1          0       0
        1  layer_1          1          2       1
    """

    overlaps: Mapping[str, Overlap] = field(repr=False)

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups."""
        return tuple(self.overlaps)

    def share(self) -> pd.DataFrame:
        """How much of each set lies in each group, in [0, 1]: one row per group, one column per set, summing to 1."""
        import pandas as pd

        sizes = np.stack([overlap.sizes for overlap in self.overlaps.values()])
        labels = list(next(iter(self.overlaps.values())).labels)
        return pd.DataFrame(sizes / sizes.sum(axis=0), index=pd.Index(self.groups, name="group"), columns=labels)

    def to_frame(self, value: Value = "intersection_frac") -> pd.DataFrame:
        """One row per group and pair: group, a, b, weights_a, weights_b, shared, the value and its lift over chance.

        Where either set has no weight in the group there is no value: NaN.

        Raises:
            InvalidInputError: As for `Overlap.values`.
        """
        import pandas as pd

        frames = []
        for group, overlap in self.overlaps.items():
            rows, columns = np.triu_indices(len(overlap.labels), k=1)
            names = np.array(overlap.labels, dtype=object)
            frames.append(
                pd.DataFrame(
                    {
                        "group": group,
                        "a": names[rows],
                        "b": names[columns],
                        "weights_a": overlap.sizes[rows],
                        "weights_b": overlap.sizes[columns],
                        "shared": overlap.intersection[rows, columns],
                        value: np.where(
                            overlap.sizes[rows] * overlap.sizes[columns] > 0,
                            overlap.values(value)[rows, columns],
                            np.nan,
                        ),
                        "lift": overlap.chance().lift[rows, columns],
                    }
                )
            )
        return pd.concat(frames, ignore_index=True)
