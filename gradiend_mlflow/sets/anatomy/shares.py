"""What share of one GRADIEND's top-k weights lies in each layer and component of its base model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from gradiend_mlflow.sets.anatomy.heads import IntArray
from gradiend_mlflow.sets.anatomy.naming import in_model_order, namers


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
    percent: npt.NDArray[np.float64]


def shares_of(names: tuple[str, ...], param_ids: IntArray) -> Shares:
    """Count weights by layer and component, from the names of a base model's parameters and those that they lie in."""
    layers, components, rows, columns = _cells(names)
    percent = np.full((len(layers), len(components)), np.nan)
    percent[rows, columns] = 0
    np.add.at(percent, (rows, columns), np.bincount(param_ids, minlength=len(rows)) / len(param_ids) * 100)
    return Shares(layers, components, percent)


@lru_cache(maxsize=4)  # the parts of a GRADIEND share their space
def _cells(names: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...], IntArray, IntArray]:
    """The layers and the components of a base model, and the row and the column of each of its parameters."""
    name_of = namers(names)
    layer_of, component_of = ([name_of[kind](param) for param in names] for kind in ("layer", "component"))
    layers, components = in_model_order(list(dict.fromkeys(layer_of))), list(dict.fromkeys(component_of))
    row, column = ({name: place for place, name in enumerate(own)} for own in (layers, components))
    rows, columns = np.array([row[name] for name in layer_of]), np.array([column[name] for name in component_of])
    return tuple(layers), tuple(components), rows, columns
