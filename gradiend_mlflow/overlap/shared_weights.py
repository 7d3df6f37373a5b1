"""The shared weights themselves, or the shared neurons, as a frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gradiend_mlflow.checks import check_int
from gradiend_mlflow.overlap.layout.signs import sign_agreement
from gradiend_mlflow.overlap.overlap import Overlap
from gradiend_mlflow.sets.anatomy.places import places
from gradiend_mlflow.wording import counted, some_of


def shared_weights(overlap: Overlap, *, min_runs: int) -> pd.DataFrame:
    """The weights, or neurons, that at least `min_runs` sets hold; see `Comparison.shared_weights`."""
    n = len(overlap.labels)
    wanted = overlap.presence >= check_int("min_runs", min_runs, least=1, most=n)
    held = overlap.restricted([wanted[columns] for columns in overlap.ranked.columns])
    columns = np.concatenate(held.ranked.columns)
    owners = np.repeat(np.arange(n), held.sizes)
    ranks = np.concatenate([np.flatnonzero(wanted[own]) + 1 for own in overlap.ranked.columns])
    order = np.lexsort((owners, columns))  # all holders of one weight together, in the order of the labels
    starts = np.cumsum(held.presence) - held.presence

    def grouped(values: npt.NDArray[Any]) -> list[tuple[Any, ...]]:
        ordered = values[order].tolist()
        return [tuple(ordered[i : i + count]) for i, count in zip(starts, held.presence, strict=True)]

    runs = {
        "n_runs": held.presence,
        "runs": grouped(np.array(held.labels, dtype=object)[owners]),
        "ranks": grouped(ranks),
    }
    frame = pd.DataFrame(_what(held) | runs | _how_much(held, grouped))
    mean_rank = np.bincount(columns, weights=ranks, minlength=len(held.keys)) / held.presence
    return frame.iloc[np.lexsort((held.keys, mean_rank, -held.presence))].reset_index(drop=True)


def _what(held: Overlap) -> dict[str, Any]:
    """What and where each weight or neuron is."""
    param_ids, offsets = held.space.locate(held.keys)
    param = {"param": np.array(held.space.names, dtype=object)[param_ids]}
    found = places(*held.space.params, held.anatomy, param_ids, offsets)
    if held.unit == "neuron":
        return param | dict(found.assign(neuron=pd.array(offsets, dtype="Int64")))
    return param | {"offset": offsets, "coordinates": held.space.coordinates(param_ids, offsets)} | dict(found)


def _how_much(held: Overlap, grouped: Callable[[npt.NDArray[Any]], list[tuple[Any, ...]]]) -> dict[str, Any]:
    """What each run has there."""
    ranked = held.ranked
    if held.unit == "neuron":
        return {"importances": grouped(np.concatenate([own for own in ranked.importance if own is not None]))}
    signed = [weight for own in ranked.weights for weight in _listed(own)]
    weights = grouped(np.fromiter(signed, dtype=object, count=len(signed)))
    return {"weights": weights, "sign_agreement": sign_agreement(ranked)}


def _listed(weights: npt.NDArray[Any] | None) -> list[Any]:
    if weights is None:
        return []
    return weights[:, 0].tolist() if weights.shape[1] == 1 else [tuple(row) for row in weights.tolist()]


def special_tokens_note(overlap: Overlap) -> str | None:
    """How many of the weights or neurons in all sets are embeddings of special tokens, such as [MASK]; None for none.

    Every training of a masked model sees its mask token, whatever it is about: an overlap there is no finding.
    """
    if not len(overlap.core):
        return None
    found = places(*overlap.space.params, overlap.anatomy, *overlap.space.locate(overlap.core))["token"].dropna()
    special = [overlap.anatomy.tokens[row] for row in sorted(overlap.anatomy.special)]
    counts = found[found.isin(special)].value_counts()
    if counts.empty:
        return None
    number = int(counts.sum())
    belong = "belongs" if number == 1 else "belong"
    return (
        f"{counted(number, overlap.unit)} of the {len(overlap.core):,} in all runs {belong} to the embedding of "
        f"special tokens ({', '.join(some_of(list(counts.index)))}), which every training sees."
    )
