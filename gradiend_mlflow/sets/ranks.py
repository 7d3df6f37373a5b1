"""What makes arrays a ranking, and how many inputs tie at its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from gradiend_mlflow.checks import check_int
from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.sets.space import FloatArray, WeightSpace


def check_ranking(importance: FloatArray, weights: FloatArray) -> None:
    """Check what a set has per weight, in rank order: its importance, shape (k,), and signed weights, shape (k, d).

    Raises:
        InvalidInputError: If importances are not finite, are negative or rise, or weights are infinite.
    """
    if not (np.isfinite(importance).all() and (importance >= 0).all()):
        raise InvalidInputError("importances must be finite and not negative")
    if np.isinf(weights).any():
        raise InvalidInputError("weights must be finite, or NaN where they are unknown")
    rises = np.flatnonzero(np.diff(importance) > 0)
    if len(rises):
        at = int(rises[0])
        raise InvalidInputError(f"importances must descend; they rise between rank {at + 1} and {at + 2}")


def checked_ties(ties_at_cut: int, importance: FloatArray, input_dim: int) -> int:
    """The `ties_at_cut` of a set with these importances, of a GRADIEND with `input_dim` inputs.

    Raises:
        InvalidInputError: If so few or so many inputs cannot tie with the last weight.
    """
    inside = int(np.count_nonzero(importance == importance[-1]))
    return check_int("ties_at_cut", ties_at_cut, least=inside, most=inside + input_dim - len(importance))


def ties_after(importance: FloatArray, k: int, ties_at_end: int | None) -> int | None:
    """The `ties_at_cut` of the first `k` weights of a set, from its importances and its own `ties_at_cut`.

    None if the k-th importance is also the last one, and how many inputs have that is not known.
    """
    cut = importance[k - 1]
    return ties_at_end if cut == importance[-1] else int(np.count_nonzero(importance == cut))


def check_shapes(arrays: Mapping[str, npt.NDArray[Any]], input_dim: int, space: WeightSpace) -> None:
    """Check that the arrays of a set, by name, fit together, and that the set fits its GRADIEND and its space.

    Raises:
        InvalidInputError: If they do not.
    """
    k = len(arrays["param_ids"])
    if not 1 <= k <= input_dim:
        raise InvalidInputError(f"a set holds between 1 and input_dim={input_dim} weights; got {k}")
    if input_dim > space.size:
        raise InvalidInputError(f"input_dim={input_dim} is more than the {space.size} weights of its space")
    for name in ("param_ids", "offsets", "importance"):
        if arrays[name].shape != (k,):
            raise InvalidInputError(f"{name} must have the shape ({k},); got {arrays[name].shape}")
    shape = arrays["weights"].shape
    if len(shape) != 2 or shape[0] != k or shape[1] < 1:  # noqa: PLR2004
        raise InvalidInputError(f"weights must have the shape ({k}, d), d >= 1; got {shape}")
