"""The space that weights are named in: a base model's parameters, in order; and the types of arrays of numbers.

A weight's identity is its parameter's name and its flat offset in that parameter. gradiend's own base-global
index counts over the parameters that a model selected, so it names different weights in models with different
selections; it is available here only to be checked against gradiend.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from gradiend_mlflow.errors import InvalidInputError

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class WeightSpace:
    """The weights that a GRADIEND could select: its base model's parameters, in order, unpruned.

    Args:
        names: Parameter names, unique, in gradiend's order.
        shapes: One shape per name.
        base_model: Id or path of the base model, if known. Spaces of different base models can be compared.

    Raises:
        InvalidInputError: If names repeat, a size is negative, or the numbers of names and shapes differ.

    Example:
        >>> space = WeightSpace(names=("query", "bias"), shapes=((2, 3), (3,)))
        >>> space.size, space.starts.tolist()
        (9, [0, 6])
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    base_model: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        object.__setattr__(self, "shapes", tuple(tuple(int(n) for n in shape) for shape in self.shapes))
        if len(self.names) != len(self.shapes):
            raise InvalidInputError(
                f"a WeightSpace needs one shape per name; got {len(self.names)} names, {len(self.shapes)} shapes"
            )
        if len(self.places) != len(self.names):
            repeated = next(name for name in self.names if self.names.count(name) > 1)
            raise InvalidInputError(f"a WeightSpace needs unique names; got {repeated!r} more than once")
        if any(n < 0 for shape in self.shapes for n in shape):
            raise InvalidInputError(f"a WeightSpace needs sizes of at least 0; got the shapes {self.shapes}")

    @cached_property
    def places(self) -> dict[str, int]:
        """Each parameter's index in `names`."""
        return {name: place for place, name in enumerate(self.names)}

    @cached_property
    def sizes(self) -> IntArray:
        """Number of weights per parameter; shape (len(names),)."""
        return np.array([math.prod(shape) for shape in self.shapes], dtype=np.int64)

    @cached_property
    def starts(self) -> IntArray:
        """Base-global index of each parameter's first weight; shape (len(names),)."""
        return np.cumsum(self.sizes) - self.sizes

    @cached_property
    def size(self) -> int:
        """Number of weights in the space."""
        return int(self.sizes.sum())

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256, in hex, of the names and shapes: equal for spaces that number their weights alike."""
        text = json.dumps([self.names, self.shapes], separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def locate(self, positions: IntArray) -> tuple[IntArray, IntArray]:
        """Parameter ids and flat offsets of base-global indices; both have the shape of `positions`.

        Raises:
            InvalidInputError: If a position lies outside the space.
        """
        outside = (positions < 0) | (positions >= self.size)
        if outside.any():
            raise InvalidInputError(f"base-global indices must lie in [0, {self.size}); got {positions[outside][0]}")
        # A parameter without weights starts where the next one does; the last of those owns the position.
        param_ids = np.searchsorted(self.starts, positions, side="right") - 1
        return param_ids.astype(np.int64), positions - self.starts[param_ids]

    def coordinates(self, param_ids: IntArray, offsets: IntArray) -> npt.NDArray[np.object_]:
        """Each weight's index tuple into its parameter, of plain ints; one-dimensional, like `param_ids`."""
        coordinates = np.empty(len(param_ids), dtype=object)
        for param_id in np.unique(param_ids):
            rows = np.flatnonzero(param_ids == param_id)
            shape = self.shapes[param_id]
            index = np.stack(np.unravel_index(offsets[rows], shape), axis=1) if shape else np.empty((len(rows), 0))
            coordinates[rows] = np.fromiter(map(tuple, index.tolist()), dtype=object, count=len(rows))
        return coordinates
