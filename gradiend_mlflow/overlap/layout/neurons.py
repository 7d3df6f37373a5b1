"""Which neurons weights lie in: sets of weights as sets of the neurons that hold at least one of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gradiend_mlflow.overlap.layout.ranked import RankedSets, distinct
from gradiend_mlflow.sets.anatomy.heads import Heads, unit_count, units_of
from gradiend_mlflow.sets.space import IntArray, WeightSpace

NO_NEURON = -1


@dataclass(frozen=True, eq=False)
class Neurons:
    """The neurons of a base model: the output units of its matrices, and the rows of its embeddings.

    Attributes:
        weights: The space of its weights.
        heads: What is known of how matrices are stored.
        space: The same parameters with a neuron each in the place of its weights; without any in those of one
            dimension.
        inputs: How many weights a neuron of each parameter has; 0 where there are none.
    """

    weights: WeightSpace
    heads: Heads | None
    space: WeightSpace
    inputs: IntArray

    @classmethod
    def of(cls, weights: WeightSpace, heads: Heads | None) -> Neurons:
        """Those of a space of weights."""
        counts = [unit_count(name, shape, heads) for name, shape in zip(*weights.params, strict=True)]
        space = WeightSpace(weights.names, tuple((count,) for count in counts), weights.base_model)
        inputs = np.array([size // max(count, 1) for size, count in zip(weights.sizes, counts, strict=True)])
        return cls(weights, heads, space, np.where(space.sizes > 0, inputs, 0).astype(np.int64))

    def holding(self, keys: IntArray) -> IntArray:
        """The neuron that each weight lies in, `NO_NEURON` in a parameter of one dimension.

        Args:
            keys: Base-global indices over `weights`, ascending; shape (U,).

        Returns:
            Base-global indices over `space`; int64, shape (U,).
        """
        found = np.full(len(keys), NO_NEURON, dtype=np.int64)
        bounds = np.searchsorted(keys, np.append(self.weights.starts, self.weights.size))
        for param_id in np.flatnonzero((np.diff(bounds) > 0) & (self.inputs > 0)).tolist():
            own = slice(bounds[param_id], bounds[param_id + 1])
            offsets = keys[own] - self.weights.starts[param_id]
            units = units_of(self.weights.names[param_id], self.weights.shapes[param_id], offsets, self.heads)
            if units is not None:
                found[own] = self.space.starts[param_id] + units
        return found


def sets_of_neurons(weights: RankedSets, neuron_of: IntArray, size: int) -> tuple[IntArray, RankedSets]:
    """The neurons of each set, those of the best weights first.

    A neuron's importance is the Euclidean norm of the importances of its weights in the set. It has no signed weight,
    and what ties at the end of a set of weights says nothing of neurons.

    Args:
        weights: The sets.
        neuron_of: The neuron of each of their columns, `NO_NEURON` for none.
        size: The number of all neurons.

    Returns:
        The neurons of any set, ascending, and the sets over them.
    """
    inside = neuron_of != NO_NEURON
    keys, columns = distinct(neuron_of[inside], size)
    place = np.full(len(neuron_of), NO_NEURON, dtype=np.int64)
    place[inside] = columns
    neurons, importance = [], []
    for own, values in zip(weights.columns, weights.importance, strict=True):
        held = place[own] != NO_NEURON
        found, first, at = np.unique(place[own][held], return_index=True, return_inverse=True)
        by_rank = np.argsort(first)
        neurons.append(found[by_rank])
        squares = None if values is None else np.bincount(at.ravel(), values[held].astype(np.float64) ** 2, len(found))
        importance.append(None if squares is None else np.sqrt(squares)[by_rank])
    unknown = (None,) * len(weights.labels)
    return keys, RankedSets(weights.labels, len(keys), tuple(neurons), tuple(importance), unknown, unknown)
