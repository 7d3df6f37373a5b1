"""What weights are, for a person: their layer, component, head, neuron and token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from gradiend_mlflow.sets.anatomy.anatomy import Anatomy
from gradiend_mlflow.sets.anatomy.heads import IntArray, heads_of, units_of
from gradiend_mlflow.sets.anatomy.naming import namers
from gradiend_mlflow.sets.anatomy.sources import BaseModel

Shapes = Sequence[tuple[int, ...]]

_KINDS = ("layer", "component")


def places(
    names: Sequence[str], shapes: Shapes, anatomy: Anatomy, param_ids: IntArray, offsets: IntArray
) -> pd.DataFrame:
    """What some weights of a base model are.

    Args:
        names: The names of the base model's parameters.
        shapes: Their shapes.
        anatomy: What else is known of it.
        param_ids: Index into `names` per weight; shape (n,).
        offsets: Flat offset in the parameter per weight; shape (n,).

    Returns:
        One row per weight, in the order given: layer, component, head ("3"; "kv1" for keys and values that several
        heads share), neuron (the output unit of its matrix, from 0) and token (the tokenizer's string, where a row of
        the embedding or of the output layer is a token). What does not apply, or is not known, is missing.
    """
    name_of = namers(names)
    columns: dict[str, Any] = {
        name: np.full(len(param_ids), None, dtype=object) for name in ("head", "neuron", "token")
    }
    for param_id in np.unique(param_ids):
        name, shape = names[param_id], shapes[param_id]
        at = np.flatnonzero(param_ids == param_id)
        columns["neuron"][at] = units_of(name, shape, offsets[at], anatomy.heads)
        if anatomy.heads is not None:
            columns["head"][at] = heads_of(name, shape, offsets[at], anatomy.heads)
        if anatomy.has_tokens(name, shape):
            columns["token"][at] = [anatomy.tokens.get(int(row)) for row in token_rows(shape, offsets[at])]
    columns["neuron"] = pd.array(columns["neuron"], dtype="Int64")
    groups = {kind: np.array([name_of[kind](name) for name in names], dtype=object) for kind in _KINDS}
    return pd.DataFrame({kind: named[param_ids] for kind, named in groups.items()} | columns)


def token_rows(shape: tuple[int, ...], offsets: IntArray) -> IntArray:
    """The row of each weight of a parameter whose rows are tokens; shape (n,)."""
    rows: IntArray = offsets // int(np.prod(shape[1:], dtype=np.int64))
    return rows


def anatomy_of(
    base: BaseModel, names: Sequence[str], shapes: Shapes, param_ids: IntArray, offsets: IntArray
) -> Anatomy:
    """What a set of some weights keeps of its base model: no token but those that it has weights of."""
    known = base.anatomy(())
    rows: set[int] = set()
    for param_id in np.flatnonzero(np.bincount(param_ids)).tolist():
        shape = shapes[param_id]
        if known.has_tokens(names[param_id], shape):
            rows |= set(np.unique(token_rows(shape, offsets[param_ids == param_id])).tolist())
    return base.anatomy(sorted(rows))
