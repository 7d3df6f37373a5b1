"""What a top-k set is: the ranked weights of one GRADIEND part, named so that any two runs can be compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gradiend_mlflow.checks import check_int
from gradiend_mlflow.display.results import MOST_ROWS, Shown, html_table
from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.sets.anatomy.anatomy import Anatomy
from gradiend_mlflow.sets.anatomy.places import places
from gradiend_mlflow.sets.parts import Part, check_part, check_topk, resolve_topk
from gradiend_mlflow.sets.ranked import Ranked
from gradiend_mlflow.sets.ranks import check_ranking, check_shapes, checked_ties, ties_after
from gradiend_mlflow.sets.space import FloatArray, IntArray, WeightSpace

if TYPE_CHECKING:
    from typing_extensions import Self

_SCALARS = ("part", "topk", "input_dim", "space", "latent_dim")
_ARRAYS = {"param_ids": np.int64, "offsets": np.int64, "importance": np.float32, "weights": np.float32}


@dataclass(frozen=True, eq=False, repr=False)
class TopKSet(Ranked, Shown):
    """The `k` most important weights of one part of one GRADIEND, most important first.

    Args:
        part: Which of gradiend's four importances ranked them.
        topk: The number or fraction that was asked for; `len()` is the number of weights in the set.
        input_dim: Number of inputs of this GRADIEND, after pruning. A fraction is a fraction of it.
        space: The parameters that the weights lie in.
        param_ids: Index into `space.names` per weight; int64, shape (k,).
        offsets: Flat (row-major) offset in the parameter per weight; int64, shape (k,).
        importance: gradiend's importance per weight, descending, finite, not negative; float32, shape (k,).
        weights: The signed GRADIEND weights behind the importance; float32, shape (k, d). d is `latent_dim`
            for the two weight parts and 1 for the other two. NaN where they are unknown.
        latent_dim: Number of latent neurons of the GRADIEND.
        anatomy: What is known of the base model's heads, and of the tokens whose embedding the set has weights of.
        ties_at_cut: How many inputs of the GRADIEND have the importance of the set's last weight, itself included:
            of importances in float32, as they are kept here. None where it is not known, as in older files.
            Sets that differ only in it or in their anatomy are equal.

    Raises:
        InvalidInputError: If the arrays do not fit together, a weight occurs twice or lies outside the space,
            the importances are not finite and descending, or `ties_at_cut` cannot be true of them.

    Example:
        >>> space = WeightSpace(("query", "bias"), ((2, 3), (3,)))
        >>> TopKSet.from_indices([7, 0], space=space).to_frame()[["rank", "param", "offset", "coordinates"]]
           rank  param  offset coordinates
        0     1   bias       1        (1,)
        1     2  query       0      (0, 0)
    """

    part: Part
    topk: int | float
    input_dim: int
    space: WeightSpace
    param_ids: IntArray
    offsets: IntArray
    importance: FloatArray
    weights: FloatArray = field(repr=False)
    latent_dim: int = 1
    anatomy: Anatomy = field(default_factory=Anatomy, repr=False)
    ties_at_cut: int | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_part(self.part)
        object.__setattr__(self, "topk", check_topk(self.topk))
        for name in ("input_dim", "latent_dim"):
            object.__setattr__(self, name, check_int(name, getattr(self, name), least=1))
        for name, dtype in _ARRAYS.items():
            array = np.array(getattr(self, name), dtype=dtype)
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        check_shapes({name: getattr(self, name) for name in _ARRAYS}, self.input_dim, self.space)
        self.space.check_weights(self.param_ids, self.offsets)
        check_ranking(self.importance, self.weights)
        if self.ties_at_cut is not None:
            ties = checked_ties(self.ties_at_cut, self.importance, self.input_dim)
            object.__setattr__(self, "ties_at_cut", ties)

    @classmethod
    def as_ranked(cls, **fields: Any) -> Self:
        """As `Ranked` has it."""
        for name in _ARRAYS:
            fields[name].flags.writeable = False
        made = object.__new__(cls)
        made.__dict__.update(fields)
        return made

    @classmethod
    def from_indices(
        cls,
        indices: Sequence[int] | npt.NDArray[Any],
        *,
        space: WeightSpace | int,
        importance: Sequence[float] | npt.NDArray[Any] | None = None,
        part: Part = "decoder-weight",
    ) -> TopKSet:
        """Build a set from base-global indices in rank order, for scripts and tests.

        Args:
            indices: Base-global indices over `space`, most important first; shape (k,), k >= 1.
            space: The weights' space, or an int for one anonymous parameter of that size.
            importance: Importance per index, descending, shape (k,); default k, k - 1, ..., 1.
            part: The part whose importance ranked the weights.

        Returns:
            A set over the whole space (input_dim is its size) whose signed weights are unknown (NaN).

        Raises:
            InvalidInputError: If an index lies outside the space or occurs twice, or the importances do not fit.

        Example:
            >>> TopKSet.from_indices([3, 1], space=5).base_global_indices().tolist()
            [3, 1]
        """
        if not isinstance(space, WeightSpace):
            space = WeightSpace(names=("weight",), shapes=((check_int("space", space, least=1),),))
        positions = np.asarray(indices)
        if positions.ndim != 1 or positions.size == 0 or not np.issubdtype(positions.dtype, np.integer):
            raise InvalidInputError(
                f"indices must be a non-empty one-dimensional sequence of ints; got {type(indices).__name__} "
                f"of shape {positions.shape} and type {positions.dtype}"
            )
        param_ids, offsets = space.locate(positions.astype(np.int64))
        k = len(positions)
        return cls(
            part=part,
            topk=k,
            input_dim=space.size,
            space=space,
            param_ids=param_ids,
            offsets=offsets,
            importance=np.asarray(np.arange(k, 0, -1) if importance is None else importance, dtype=np.float32),
            weights=np.full((k, 1), np.nan, dtype=np.float32),
        )

    def __len__(self) -> int:
        return len(self.param_ids)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TopKSet):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in _SCALARS) and all(
            np.array_equal(getattr(self, name), getattr(other, name), equal_nan=name == "weights") for name in _ARRAYS
        )

    __hash__ = None  # type: ignore[assignment]  # equality is by the arrays' values

    def _line(self) -> str:
        base = f", base_model={self.space.base_model!r}" if self.space.base_model else ""
        return f"{self.part}, topk={self.topk}, k={len(self)} of input_dim={self.input_dim}{base}"

    def _html(self) -> Iterator[str]:
        yield html_table(self.top(min(len(self), MOST_ROWS)).to_frame(), of=len(self))

    def top(self, topk: float) -> TopKSet:
        """The first weights of this set; its arrays are views of this set's, and keep them alive.

        Args:
            topk: A number of weights, or a fraction in (0, 1] of `input_dim`, as in gradiend.

        Raises:
            InvalidInputError: If `topk` is not acceptable, or means more weights than this set holds.
        """
        k = resolve_topk(topk, self.input_dim)
        if k > len(self):
            raise InvalidInputError(
                f"topk={topk} means {k} of {self.input_dim} weights, but only the top {len(self)} were kept: "
                f"ask for at most that, or log more, for example log_topk(checkpoint, run_id=..., topk={k}) or "
                f"autolog(topk={k})."
            )
        shorter = copy(self)  # unlike `replace`, this does not check again what was checked
        ties = ties_after(self.importance, k, self.ties_at_cut)
        arrays = {name: getattr(self, name)[:k] for name in _ARRAYS}
        shorter.__dict__.update(arrays, topk=check_topk(topk), ties_at_cut=ties)
        return shorter

    def intersection_frac(self, other: TopKSet) -> float:
        """The share of the smaller set's weights that both sets hold, as `compute_overlap` has it.

        Raises:
            InvalidInputError: If `other` is not a TopKSet.
            SpaceConflictError: If a parameter that both spaces have has different shapes in them.

        Example:
            >>> a, b = (TopKSet.from_indices(own, space=10) for own in ([1, 2, 3], [3, 4]))
            >>> a.intersection_frac(b)
            0.5
        """
        if not isinstance(other, TopKSet):
            raise InvalidInputError(f"intersection_frac needs another TopKSet; got {type(other).__name__}")
        theirs = self.space.indices_of(other.space, other.param_ids, other.offsets)
        shared = np.intersect1d(self.base_global_indices(), theirs, assume_unique=True)
        return len(shared) / min(len(self), len(other))

    def base_global_indices(self) -> IntArray:
        """Gradiend's indices, in rank order, comparable between models with one selection; int64, shape (k,)."""
        return self.space.starts[self.param_ids] + self.offsets

    def to_frame(self) -> pd.DataFrame:
        """One row per weight in rank order.

        Returns:
            rank (from 1), param, offset, coordinates (the index tuple into the parameter), layer, component, head
            ("3"; "kv1" where several heads share it), neuron (the output unit, from 0), token, importance, and weight
            (a tuple of `latent_dim` numbers where the part has them). What does not apply or is not known is missing.
        """
        single = self.weights.shape[1] == 1
        return pd.DataFrame(
            {
                "rank": np.arange(1, len(self) + 1),
                "param": np.array(self.space.names, dtype=object)[self.param_ids],
                "offset": self.offsets,
                "coordinates": self.space.coordinates(self.param_ids, self.offsets),
                **places(*self.space.params, self.anatomy, self.param_ids, self.offsets),
                "importance": self.importance,
                "weight": self.weights[:, 0] if single else [tuple(row) for row in self.weights.tolist()],
            }
        )
