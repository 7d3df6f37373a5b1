"""Rank the weights of an opened GRADIEND by the importances of its parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ParamSpec, TypeVar

from gradiend_mlflow.errors import CheckpointError
from gradiend_mlflow.sets.parts import Part
from gradiend_mlflow.sets.ranking.importance import SignedValues, signed_values
from gradiend_mlflow.sets.ranking.ordering import Ranking, in_order
from gradiend_mlflow.sets.ranking.selecting import Found, most_important
from gradiend_mlflow.sets.weights import GradiendWeights

T = TypeVar("T")
Given = ParamSpec("Given")


def rank(weights: GradiendWeights, parts: Sequence[Part], k: int) -> dict[Part, Ranking | CheckpointError]:
    """The `k` most important weights of each part; of equally important ones those of lower base-global index.

    Returns:
        By part, in the order given; for a part without a ranking the reason: a `MissingPartError` if the GRADIEND does
        not have it, a `CheckpointError` if a weight is not finite, or a tensor is missing or has another shape.
    """
    made = {part: _tried(signed_values, weights, part) for part in parts}
    found = most_important({part: own for part, own in made.items() if isinstance(own, SignedValues)}, k)
    return {
        part: own if isinstance(own, CheckpointError) else _tried(_ranking, weights, part, own, found, k)
        for part, own in made.items()
    }


def _tried(make: Callable[Given, T], *given: Given.args, **named: Given.kwargs) -> T | CheckpointError:
    try:
        return make(*given, **named)
    except CheckpointError as error:
        return error


def _ranking(
    weights: GradiendWeights, part: Part, signed: SignedValues, by_part: dict[Part, list[Found] | None], k: int
) -> Ranking:
    """What was found of a part, in rank order; it is taken out of `by_part`."""
    found = by_part.pop(part)
    if found is None:
        raise CheckpointError(
            f"{weights.origin}: {part} holds values that are not finite (NaN or infinite), so it has no ranking; "
            "the training diverged"
        )
    ranking = in_order(found, signed, weights, k)
    if ranking is None:
        raise CheckpointError(f"{weights.origin}: {part} holds values beyond those of float32, in which sets are kept")
    return ranking
