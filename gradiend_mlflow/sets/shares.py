"""What share of one GRADIEND's top-k weights lies in each layer and component of its base model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from gradiend_mlflow.sets.anatomy.naming import in_model_order, namers
from gradiend_mlflow.sets.space import IntArray, Matrix, WeightSpace
from gradiend_mlflow.sets.topk import TopKSet


@dataclass(frozen=True)
class Shares:
    """A set's weights by layer and component.

    Attributes:
        layers: The names of the rows.
        components: The names of the columns.
        percent: Percent of the set's weights, a row per layer, a column per component; NaN where the model has none.
    """

    layers: tuple[str, ...]
    components: tuple[str, ...]
    percent: Matrix


def shares_of(topk_set: TopKSet) -> Shares:
    """Count the weights of a set by layer and component."""
    layers, components, rows, columns = _cells(topk_set.space)
    percent = np.full((len(layers), len(components)), np.nan)
    percent[rows, columns] = 0
    np.add.at(percent, (rows, columns), np.bincount(topk_set.param_ids, minlength=len(rows)) / len(topk_set) * 100)
    return Shares(layers, components, percent)


@lru_cache(maxsize=4)  # the parts of a GRADIEND share their space
def _cells(space: WeightSpace) -> tuple[tuple[str, ...], tuple[str, ...], IntArray, IntArray]:
    """The layers and the components of a base model, and the row and the column of each of its parameters."""
    name_of = namers(space.names)
    layer_of, component_of = ([name_of[kind](param) for param in space.names] for kind in ("layer", "component"))
    layers, components = in_model_order(list(dict.fromkeys(layer_of))), list(dict.fromkeys(component_of))
    row, column = ({name: place for place, name in enumerate(names)} for names in (layers, components))
    rows, columns = np.array([row[name] for name in layer_of]), np.array([column[name] for name in component_of])
    return tuple(layers), tuple(components), rows, columns
