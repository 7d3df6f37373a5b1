"""Overlap within groups of parameters, under gradiend's names for them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.measures import Value

if TYPE_CHECKING:
    import pandas as pd

    from gradiend_mlflow.overlap import Overlap

Grouping = str | Callable[[str], str] | Mapping[str, str]

OTHER = "other"
_LAYER = re.compile(r"(?:layers?|h)\.(\d+)")
# gradiend's kinds of parameters in its order of precedence: a name's pattern, and whether the name must (True) or
# must not (False) be one of attention.
_COMPONENTS: tuple[tuple[str, str, bool | None], ...] = (
    ("embeddings", "embedding", None),
    ("attention_query", "query|q_proj|wq", None),
    ("attention_key", "key|k_proj|wk", None),
    ("attention_value", "value|v_proj|wv", None),
    ("attention_output", "o_proj|out_proj|dense", True),
    ("mlp_up", "intermediate|up_proj|gate_proj|fc1", None),
    ("mlp_down", "output|down_proj|fc2", False),
    ("normalization", "norm|ln", None),
    ("head", "lm_head|classifier|score", None),
)


def layer_of(param: str) -> str:
    """The layer of a parameter, as gradiend names it.

    Example:
        >>> layer_of("bert.encoder.layer.3.output.dense.weight"), layer_of("bert.pooler.dense.weight")
        ('layer_3', 'other')
    """
    found = _LAYER.search(param)
    return f"layer_{found.group(1)}" if found else OTHER


def component_of(param: str) -> str:
    """The kind of a parameter, as gradiend names it; by its name alone, so not right for every architecture.

    Example:
        >>> component_of("bert.encoder.layer.3.attention.self.query.weight")
        'attention_query'
    """
    name = param.lower()
    for component, pattern, of_attention in _COMPONENTS:
        if re.search(pattern, name) and of_attention in (None, "attention" in name):
            return component
    return OTHER


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


def grouped(overlap: Overlap, grouping: Grouping) -> GroupedOverlap:
    """The overlap within each group; see `Overlap.by_group`."""
    name_of = _naming(grouping, overlap.space.names)
    group_of = np.array([name_of(param) for param in overlap.space.names], dtype=object)
    params = overlap.params
    found = {}
    for group in dict.fromkeys(group_of):
        members = group_of == group
        inside = members[params]
        if inside.any():
            part = overlap.restricted([inside[columns] for columns in overlap.ranked.columns])
            found[str(group)] = part.among(members)
    return GroupedOverlap(found)


def _naming(grouping: Grouping, params: Sequence[str]) -> Callable[[str], str]:
    if isinstance(grouping, str):
        known: dict[str, Callable[[str], str]] = {"layer": layer_of, "component": component_of, "param": str}
        if grouping not in known:
            raise InvalidInputError(
                f"grouping must be one of {', '.join(known)}, a callable or a mapping; got {grouping!r}"
            )
        return known[grouping]
    if isinstance(grouping, Mapping):
        if grouping and not any(param in grouping for param in params):
            raise InvalidInputError(
                f"grouping names none of the parameters; it has {', '.join(map(repr, list(grouping)[:3]))}, they are "
                f"{', '.join(map(repr, params[:3]))}, ..."
            )
        return lambda param: str(grouping.get(param, OTHER))
    if not callable(grouping):
        raise InvalidInputError(
            f"grouping must be a name, a callable or a mapping of parameter names; got {type(grouping).__name__}"
        )
    return lambda param: OTHER if (name := grouping(param)) is None else str(name)
