"""The space that weights are named in: a base model's parameters, in order; and the types of arrays of numbers.

A weight's identity is its parameter's name and its flat offset in that parameter. gradiend's own base-global
index counts over the parameters that a model selected, so it names different weights in models with different
selections; it is available here only to be checked against gradiend.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from gradiend_mlflow.checks import check_int
from gradiend_mlflow.errors import InvalidInputError, SpaceConflictError
from gradiend_mlflow.sets.reading.signals import Signal, conflict_of, parse_signal
from gradiend_mlflow.untrusted import as_dict, as_int, as_list, as_str, optional, parse_json, quoted
from gradiend_mlflow.wording import counted, visible

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]

_MOST_AXES = 64  # NumPy's limit
_MOST_WEIGHTS = 2**63 - 1
_FITS_32_BITS = 2**32
_MOST_JSON = 2**24  # bytes that describe a space: a hundred thousand parameters take half of it
TABLE_BITS = 16  # of the table of positions, half a megabyte
WORTH_A_TABLE = 2**16  # positions


def uncompiled(name: str) -> str:
    """A parameter's name without what torch.compile puts into it, so that a weight is the same in a compiled model."""
    return name.replace("_orig_mod.", "")


def _is_text(value: Any) -> bool:
    """Whether it is a string that can be written: JSON can hold half a character."""
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:
        return False


@dataclass(frozen=True, repr=False)
class WeightSpace:
    """The weights that a GRADIEND could select: its base model's parameters, in order, unpruned.

    Args:
        names: Parameter names, unique, in gradiend's order.
        shapes: One shape per name.
        base_model: Id or path of the base model, if known. Spaces of different base models can be compared.
        signal: What is measured of these parameters, or of the modules that stand in their place.

    Raises:
        InvalidInputError: If names repeat, a size is no int or negative, all of them together pass 63 bits, or the
            numbers of names and shapes differ.

    Example:
        >>> space = WeightSpace(names=("query", "bias"), shapes=((2, 3), (3,)))
        >>> space.size, space.starts.tolist()
        (9, [0, 6])
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    base_model: str | None = None
    signal: Signal = field(default_factory=Signal)

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(self.names))
        size = partial(check_int, "each size of a WeightSpace", least=0)
        object.__setattr__(self, "shapes", tuple(tuple(map(size, shape)) for shape in self.shapes))
        if len(self.names) != len(self.shapes):
            raise InvalidInputError(
                f"a WeightSpace needs one shape per name; got {len(self.names)} names, {len(self.shapes)} shapes"
            )
        if not all(map(_is_text, (*self.names, self.base_model or ""))):
            raise InvalidInputError("a WeightSpace needs names and a base_model that are strings of whole characters")
        if self.signal.split and len(self.signal.split) != len(self.names):
            raise InvalidInputError(
                f"a split names one component per parameter; got {len(self.signal.split)} for {len(self.names)}"
            )
        seen: set[str] = set()
        for name in self.names:
            if name in seen:
                raise InvalidInputError(f"a WeightSpace needs unique names; got {quoted(name)} more than once")
            seen.add(name)
        if any(len(shape) > _MOST_AXES for shape in self.shapes):
            raise InvalidInputError(f"a WeightSpace needs shapes of at most {_MOST_AXES} axes")
        if sum(math.prod(shape) for shape in self.shapes) > _MOST_WEIGHTS:
            raise InvalidInputError("a WeightSpace needs shapes whose weights can be counted in 63 bits")

    @property
    def params(self) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
        """The names and the shapes."""
        return self.names, self.shapes

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
        """SHA-256, in hex, of the names, the shapes and the signal, to which a plain gradient adds nothing.

        Equal for spaces that number their weights alike.
        """
        signal = self.signal.described()
        text = json.dumps([self.names, self.shapes, *([signal] if signal else [])], separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> bytes:
        """The space as JSON in UTF-8, which `parse_space` reads.

        Raises:
            InvalidInputError: If that takes more than 16 MB.
        """
        described: dict[str, Any] = {
            "base_model": self.base_model,
            "size": self.size,
            "fingerprint": self.fingerprint,
            "names": self.names,
            "shapes": self.shapes,
        }
        if signal := self.signal.described():
            described["signal"] = signal
        raw = json.dumps(described).encode()
        if len(raw) > _MOST_JSON:
            raise InvalidInputError(
                f"the names of {len(self.names):,} parameters take {len(raw):,} bytes; at most {_MOST_JSON:,} are kept"
            )
        return raw

    def locate(self, positions: IntArray) -> tuple[IntArray, IntArray]:
        """Parameter ids and flat offsets of base-global indices; all are of shape (n,).

        Raises:
            InvalidInputError: If a position lies outside the space.
        """
        outside = (positions < 0) | (positions >= self.size)
        if outside.any():
            raise InvalidInputError(f"base-global indices must lie in [0, {self.size}); got {positions[outside][0]}")
        param_ids = self._param_ids(positions)
        return param_ids, positions - self.starts[param_ids]

    def _param_ids(self, positions: IntArray) -> IntArray:
        """The parameters of positions inside the space.

        A search for each of millions would take longer than all else: a table says it of most.
        """
        if len(positions) < WORTH_A_TABLE:
            return self._searched(positions)
        bits, of_step = self._table
        param_ids = np.empty(len(positions), dtype=np.int64)
        for start in range(0, len(positions), WORTH_A_TABLE):  # few at a time, which need little memory
            own = positions[start : start + WORTH_A_TABLE]
            steps = own >> bits
            found = of_step[steps]
            unsure = np.flatnonzero(of_step[steps + 1] != found)
            found[unsure] = self._searched(own[unsure])
            param_ids[start : start + WORTH_A_TABLE] = found
        return param_ids

    def _searched(self, positions: IntArray) -> IntArray:
        # A parameter without weights starts where the next one does; the last of those owns the position.
        after: IntArray = np.searchsorted(self.starts, positions, side="right").astype(np.int64)
        return after - 1

    @cached_property
    def _table(self) -> tuple[int, IntArray]:
        """The parameter of the first position of each step, and how many bits of a position are one within a step."""
        bits = max(self.size.bit_length() - TABLE_BITS, 0)
        return bits, self._searched(np.arange((self.size >> bits) + 2, dtype=np.int64) << bits)

    def indices_of(self, other: WeightSpace, param_ids: IntArray, offsets: IntArray) -> IntArray:
        """The base-global indices here of weights of another space, without those of parameters that it alone has.

        Args:
            other: The other space.
            param_ids: Index into `other.names` per weight.
            offsets: Flat offset in the parameter per weight.

        Raises:
            SpaceConflictError: If a parameter of both has different shapes, or their signals are of different kinds.
        """
        if conflict := conflict_of(self.signal, other.signal):
            raise SpaceConflictError(f"these sets cannot be compared: {conflict}")
        for name, shape in zip(*other.params, strict=True):
            own = self.shapes[self.places[name]] if name in self.places else shape
            if own != shape:
                raise SpaceConflictError(
                    f"these sets cannot be compared: the parameter {name!r} has the shape {own} in the first and "
                    f"{shape} in the second, so they have different base models ({self.base_model!r} and "
                    f"{other.base_model!r})"
                )
        here = np.array([self.places.get(name, -1) for name in other.names], dtype=np.int64)[param_ids]
        return self.starts[here[here >= 0]] + offsets[here >= 0]

    def check_weights(self, param_ids: IntArray, offsets: IntArray) -> None:
        """Check that weights, in rank order, lie in the space, each once.

        Raises:
            InvalidInputError: If one does not, or comes twice.
        """
        if param_ids.min() < 0 or param_ids.max() >= len(self.names):
            raise InvalidInputError(
                f"param_ids must lie in [0, {len(self.names)}); got [{param_ids.min()}, {param_ids.max()}]"
            )
        outside = (offsets < 0) | (offsets >= self.sizes[param_ids])
        if outside.any():
            at = int(np.argmax(outside))
            raise InvalidInputError(
                f"offset {offsets[at]} at rank {at + 1} lies outside {self.names[param_ids[at]]!r}, "
                f"which has {self.sizes[param_ids[at]]} weights"
            )
        # Sorting takes most of the time here, and is faster in 32 bits.
        kind = np.uint32 if self.size <= _FITS_32_BITS else np.int64
        keys = np.sort((self.starts[param_ids] + offsets).astype(kind))
        repeated = keys[1:] == keys[:-1]
        if repeated.any():
            twice, at_offset = self.locate(keys[1:][repeated][:1].astype(np.int64))
            raise InvalidInputError(
                f"a set holds each weight once; {self.names[twice[0]]!r} offset {at_offset[0]} is duplicated"
            )

    def __repr__(self) -> str:
        base = "" if self.base_model is None else f", base_model={visible(self.base_model)!r}"
        return f"WeightSpace({counted(len(self.names), 'parameter')}, {counted(self.size, 'weight')}{base})"

    def coordinates(self, param_ids: IntArray, offsets: IntArray) -> npt.NDArray[np.object_]:
        """Each weight's index tuple into its parameter, of plain ints; one-dimensional, like `param_ids`."""
        coordinates = np.empty(len(param_ids), dtype=object)
        for param_id in np.unique(param_ids):
            rows = np.flatnonzero(param_ids == param_id)
            shape = self.shapes[param_id]
            index = np.stack(np.unravel_index(offsets[rows], shape), axis=1) if shape else np.empty((len(rows), 0))
            coordinates[rows] = np.fromiter(map(tuple, index.tolist()), dtype=object, count=len(rows))
        return coordinates


@lru_cache(maxsize=32)
def parse_space(raw: bytes) -> WeightSpace:
    """The space that `to_json` described; parsed once for all the sets that lie in it.

    Raises:
        ValueError: If it does not describe a space, or not the one that its fingerprint is of.
    """
    described = as_dict(parse_json(raw, most=_MOST_JSON), "its space")
    if "base_model" not in described:
        raise ValueError("its space lacks base_model")
    space = WeightSpace(
        tuple(as_list(described.get("names"), "names", as_str)),
        tuple(as_list(described.get("shapes"), "shapes", _shape)),
        optional(described["base_model"], "base_model", as_str),
        parse_signal(described.get("signal", {})),
    )
    if described.get("size") != space.size:
        raise ValueError(f"its space should have {space.size} weights; it says {quoted(described.get('size'))}")
    if described.get("fingerprint") != space.fingerprint:
        raise ValueError("its space does not match its fingerprint; was the file edited?")
    return space


def _shape(value: Any, name: str) -> tuple[int, ...]:
    return tuple(as_list(value, name, as_int))
