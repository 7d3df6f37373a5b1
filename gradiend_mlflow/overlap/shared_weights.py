"""The shared weights themselves, as a frame."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.overlap.overlap import Overlap
from gradiend_mlflow.overlap.ranked import Matrix


def shared_weights(overlap: Overlap, *, min_runs: int) -> pd.DataFrame:
    """The weights that at least `min_runs` sets hold; see `Comparison.shared_weights`."""
    n = len(overlap.labels)
    if not isinstance(min_runs, (int, np.integer)) or isinstance(min_runs, bool) or not 1 <= min_runs <= n:
        raise InvalidInputError(f"min_runs must be an int between 1 and {n}, the number of runs; got {min_runs!r}")
    wanted = overlap.presence >= min_runs
    held = overlap.restricted([wanted[columns] for columns in overlap.ranked.columns])
    columns = np.concatenate(held.ranked.columns)
    owners = np.repeat(np.arange(n), held.sizes)
    ranks = np.concatenate([np.flatnonzero(wanted[own]) + 1 for own in overlap.ranked.columns])
    signed = [weight for own in held.ranked.weights for weight in _listed(own)]
    by_weight = np.lexsort((owners, columns))  # all holders of one weight together, in the order of the labels
    starts = np.cumsum(held.presence) - held.presence

    def grouped(values: npt.NDArray[Any]) -> list[tuple[Any, ...]]:
        ordered = values[by_weight].tolist()
        return [tuple(ordered[i : i + count]) for i, count in zip(starts, held.presence, strict=True)]

    param_ids, offsets = held.space.locate(held.keys)
    frame = pd.DataFrame(
        {
            "param": np.array(held.space.names, dtype=object)[param_ids],
            "offset": offsets,
            "coordinates": held.space.coordinates(param_ids, offsets),
            "n_runs": held.presence,
            "runs": grouped(np.array(held.labels, dtype=object)[owners]),
            "ranks": grouped(ranks),
            "weights": grouped(np.fromiter(signed, dtype=object, count=len(signed))),
            "sign_agreement": _sign_agreement(held),
        }
    )
    mean_rank = np.bincount(columns, weights=ranks, minlength=len(held.keys)) / held.presence
    return frame.iloc[np.lexsort((held.keys, mean_rank, -held.presence))].reset_index(drop=True)


def _listed(weights: npt.NDArray[Any] | None) -> list[Any]:
    if weights is None:
        return []
    return weights[:, 0].tolist() if weights.shape[1] == 1 else [tuple(row) for row in weights.tolist()]


def _sign_agreement(held: Overlap) -> Matrix:
    """Per weight, the share of its holders that have the more frequent sign, on average over latent neurons."""
    weights = [own for own in held.ranked.weights if own is not None]
    columns, width = np.concatenate(held.ranked.columns), len(held.keys)
    depths = np.concatenate([np.full(len(own), own.shape[1]) for own in weights])
    deepest, shallowest = np.zeros(width, dtype=np.int64), np.full(width, np.iinfo(np.int64).max)
    np.maximum.at(deepest, columns, depths)
    np.minimum.at(shallowest, columns, depths)
    agreement = np.zeros(width)
    for neuron in range(deepest.max(initial=0)):
        # A set without this neuron counts as 0 there; such weights are of different depths and become NaN below.
        values = np.concatenate([own[:, neuron] if neuron < own.shape[1] else np.zeros(len(own)) for own in weights])
        signs = [np.bincount(columns, weights=sign, minlength=width) for sign in (values > 0, values < 0)]
        unknown = np.bincount(columns, weights=np.isnan(values), minlength=width) > 0
        agreement += np.where(unknown, np.nan, np.maximum(*signs))
    return np.where(deepest == shallowest, agreement / (held.presence * deepest), np.nan)
