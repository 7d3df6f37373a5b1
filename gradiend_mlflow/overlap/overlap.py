"""How far top-k sets agree: numbers only, from the sets alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from gradiend_mlflow.checks import check_int
from gradiend_mlflow.display.results import MOST_COLUMNS
from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.overlap.curve import OverlapCurve, check_ks
from gradiend_mlflow.overlap.grouping import GroupedOverlap
from gradiend_mlflow.overlap.layout.ranked import Merging, RankedSets, exclusive_regions, index_type
from gradiend_mlflow.overlap.matrices import PairwiseOverlap
from gradiend_mlflow.overlap.pieces import Piece, refined
from gradiend_mlflow.sets.anatomy.naming import Grouping, Naming, group_namer
from gradiend_mlflow.sets.space import IntArray
from gradiend_mlflow.wording import counted, named


@dataclass(frozen=True, eq=False, repr=False)
class Overlap(PairwiseOverlap):
    """The pairwise and joint overlap of N top-k sets.

    Returned by `compute_overlap`. Rows and columns of every matrix follow `labels`; every matrix is symmetric. Each
    is computed when it is first used.

    Attributes:
        labels: One label per set, in the order given; length N.
        space: The union of the sets' spaces; `keys` are base-global indices over it.
        keys: Every weight that is in at least one set, ascending; int64, shape (U,).
        ranked: The sets over these keys, in rank order.
        selects: Which set's space has which parameter of `space`; bool, shape (N, number of parameters).
        rbo_p: The parameter p of `rbo`.
        anatomy: What the sets together know of the base model beyond its parameters.
    """

    @property
    def n_weights(self) -> IntArray:
        """How many ranked weights each set has, of which `top` takes the first; int64, shape (N,)."""
        return self.sizes

    # ---------------------------------------------------------------------------------------------------- all together

    @property
    def membership(self) -> Any:
        """Which set holds which weight; sparse, 0 or 1, shape (N, U)."""
        return self.ranked.membership

    @property
    def presence(self) -> IntArray:
        """In how many sets each weight of `keys` is, at least 1; int64, shape (U,)."""
        return self.ranked.presence.astype(np.int64)

    @cached_property
    def core(self) -> IntArray:
        """The weights that are in all sets, as base-global indices over `space`, ascending; int64."""
        core: IntArray = self.keys[self.ranked.presence == len(self.labels)]
        return core

    @property
    def union_size(self) -> int:
        """Number of weights that are in at least one set."""
        return len(self.keys)

    @cached_property
    def regions(self) -> dict[tuple[str, ...], int]:
        """How many weights lie in exactly these sets and no other, for every combination where any do.

        Keys are the sets' labels in the order of `labels`; values are at least 1 and sum to `union_size`.
        Largest first. Only combinations that occur are visited, so any number of sets is fine.
        """
        return exclusive_regions(self.ranked)

    # ------------------------------------------------------------------------------------------------ of other weights

    def top(self, k: int) -> Overlap:
        """The overlap of every set's first `k` weights; sets that hold fewer stay as they are."""
        return self._over(self.ranked.top(check_int("k", k, least=1)))

    def restricted(self, keep: Sequence[npt.NDArray[Any]]) -> Overlap:
        """The overlap of some of the weights: `keep` has an index or a mask over each set's weights in rank order."""
        return self._over(self.ranked.restricted(keep))

    def _over(self, ranked: RankedSets, selects: npt.NDArray[np.bool_] | None = None) -> Overlap:
        """The overlap of other sets over the same keys, without the keys that none of them holds.

        `selects` says which of these sets has which parameter; default as for this overlap's sets.
        """
        used = np.zeros(len(self.keys), dtype=bool)
        for own in ranked.columns:
            used[own] = True
        place = np.cumsum(used, dtype=index_type(len(used)))
        place -= 1  # in place, as both may be large
        columns = tuple(place[own] for own in ranked.columns)
        return replace(
            self,
            labels=ranked.labels,
            keys=self.keys[used],
            ranked=replace(ranked, width=int(used.sum()), columns=columns),
            selects=self.selects if selects is None else selects,
        )

    def first(self, n: int) -> Overlap:
        """The overlap of the first `n` sets."""
        return self._over(self.ranked.first(n), self.selects[:n])

    def _first_few(self) -> Overlap:
        return self.first(MOST_COLUMNS)

    def _line(self) -> str:
        least, most = int(self.sizes.min()), int(self.sizes.max())
        sizes = counted(most, self.unit) if least == most else f"{least:,} to {most:,} {self.unit}s"
        return f"{counted(len(self.labels), 'set')} of {sizes}: {named(self.labels)}"

    def merged(self, labels: Sequence[str], members: Sequence[Sequence[int]], policy: Merging) -> Overlap:
        """One set for each several sets, such as the seeds of a training.

        Args:
            labels: The new sets' labels.
            members: The rows of the sets that each is made of.
            policy: What it holds: what its first member does ("primary"), any of them ("union"), or all
                ("intersection"). A union or an intersection has no ranks.
        """
        selects = np.stack([self.selects[list(rows)].any(axis=0) for rows in members])
        return self._over(self.ranked.merged(labels, members, policy), selects)

    def among(self, params: npt.NDArray[np.bool_]) -> Overlap:
        """The same overlap, with chance levels among the weights of some parameters of `space`; a mask over them."""
        return replace(self, selects=self.selects & params)

    def overlap_curve(self, ks: Sequence[int] | None = None) -> OverlapCurve:
        """Every pair's overlap as k grows from 1 to the size of the smallest set.

        Args:
            ks: The numbers of weights; default about five per factor of ten.

        Raises:
            InvalidInputError: If `ks` is empty or a k is not between 1 and the size of the smallest set.
        """
        checked, n = check_ks(ks, int(self.n_weights.min())), len(self.labels)
        intersection, expected = np.empty((len(checked), n, n), dtype=np.int64), np.empty((len(checked), n, n))
        held = np.empty((len(checked), n), dtype=np.int64)
        for place, k in enumerate(checked):  # one at a time, because many sets would not fit into memory together
            prefix = self.top(k)
            intersection[place], expected[place], held[place] = prefix.intersection, prefix.expected(), prefix.sizes
        numbers = np.array(checked, dtype=np.int64)
        return OverlapCurve(self.labels, self.n_weights, numbers, intersection, expected, held, self.unit)

    def by_layer(self, *, naming: Naming = "architecture") -> GroupedOverlap:
        """The overlap within each layer.

        Args:
            naming: "architecture": layer_0, ..., or encoder_layer_0, ..., decoder_layer_0, ... and cross in a model of
                two stacks. "gradiend": layers as gradiend names them. Both have "other" for what lies in no layer.

        Raises:
            InvalidInputError: If `naming` is neither.
        """
        return self.by_group("layer", naming=naming)

    def by_component(self, *, naming: Naming = "architecture") -> GroupedOverlap:
        """The overlap within each kind of parameter.

        Args:
            naming: "architecture": embedding, attention_query, attention_key, attention_value, attention_qkv (in one
                matrix), attention_output, mlp_up, mlp_gate, mlp_down, router, normalization, lm_head, other; the
                experts of a layer apart. "gradiend": kinds as gradiend names them.

        Raises:
            InvalidInputError: If `naming` is neither.
        """
        return self.by_group("component", naming=naming)

    def by_param(self) -> GroupedOverlap:
        """The overlap within each parameter."""
        return self.by_group("param")

    def by_split(self, *, topk: int | None = None) -> GroupedOverlap:
        """The overlap within each component that gradiend has trained apart, in a split that all sets have.

        Args:
            topk: How many weights of each component; default all that the sets hold. A set that holds fewer of a
                component stays as it is.

        Raises:
            InvalidInputError: If the GRADIENDs are not split, or not into the same components, or `topk` is not an int
                of at least 1.
        """
        if not self.space.signal.split:
            raise InvalidInputError(
                "by_split needs GRADIENDs that were trained in the same components; these have none in common"
            )
        groups = self._groups(dict(zip(self.space.names, self.space.signal.split, strict=True)))
        return GroupedOverlap({name: part if topk is None else part.top(topk) for name, part in groups.items()})

    def by_head(self) -> GroupedOverlap:
        """The overlap within each attention head, such as "layer_3 head 5"; "other" for all that lies in none.

        Queries, keys, values and outputs of a head are one group; keys and values that several heads share are groups
        of their own ("layer_3 head kv1"). Without the number of heads, which older files do not hold, all is "other".
        """
        return self._by_piece("head")

    def by_neuron(self, *, most: int = 50) -> GroupedOverlap:
        """The overlap within each output unit of a matrix, such as "layer.3.mlp.weight[17]".

        Args:
            most: How many neurons, those that hold the most weights of all sets together; the rest, and parameters of
                one dimension, are "other".

        Raises:
            InvalidInputError: If `most` is not an int of at least 1.
        """
        return self._by_piece("neuron", check_int("most", most, least=1))

    def by_token(self, *, most: int = 50) -> GroupedOverlap:
        """The overlap within the embedding of each token, by the tokenizer's string; "other" for all else.

        Args:
            most: How many tokens, as for `by_neuron`.

        Raises:
            InvalidInputError: If `most` is not an int of at least 1.
        """
        return self._by_piece("token", check_int("most", most, least=1))

    def _by_piece(self, piece: Piece, most: int | None = None) -> GroupedOverlap:
        if self.unit != "weight":
            raise InvalidInputError(
                f"by_{piece} divides sets of weights; these are of {self.unit}s: use unit='weight'"
            )
        finer, piece_of = refined(self, piece, most)
        return finer.by_group(piece_of)

    def by_group(self, grouping: Grouping, *, naming: Naming = "architecture") -> GroupedOverlap:
        """The overlap within each group of parameters, and how much of each set lies in it.

        Args:
            grouping: "layer", "component", "param", a callable from a parameter's name to its group, or a mapping
                (with "other" for parameters that it lacks), as in gradiend's `compute_grouped_similarity_matrices`.
            naming: Whose layers and components: see `by_layer` and `by_component`.

        Raises:
            InvalidInputError: If `grouping` or `naming` is none of these.
        """
        return GroupedOverlap(self._groups(grouping, naming))

    def _groups(self, grouping: Grouping, naming: Naming = "architecture") -> dict[str, Overlap]:
        name_of = group_namer(grouping, self.space.names, naming)
        group_of = np.array([name_of(param) for param in self.space.names], dtype=object)
        params = self.params
        found: dict[str, Overlap] = {}
        for group in dict.fromkeys(group_of):
            members = group_of == group
            inside = members[params]
            if inside.any():
                part = self.restricted([inside[columns] for columns in self.ranked.columns])
                found[str(group)] = part.among(members)
        return found
