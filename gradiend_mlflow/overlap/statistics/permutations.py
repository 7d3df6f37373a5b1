"""Exchanging labels among trainings: how often would labels without meaning do as well?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from gradiend_mlflow.sets.space import IntArray, Matrix

_CELLS = 4_000_000  # labels at a time

# Labelings, shape (R, N), to one number each, shape (R,).
Statistic = Callable[[npt.NDArray[Any]], Matrix]


@dataclass(frozen=True)
class PermutationTest:
    """How an observed statistic ranks among those of exchanged labels.

    Attributes:
        p_value: The share of labelings whose statistic is at least the observed one.
        min_p: The smallest p-value that these numbers of labels can give.
        exact: Whether all labelings were tried; else they were drawn at random.
        mc_error: The standard error of a p-value from random labelings; 0 if it is exact.
        tried: How many labelings were tried.
    """

    p_value: float
    min_p: float
    exact: bool
    mc_error: float
    tried: int


@dataclass(frozen=True, eq=False)
class Labelings:
    """The ways to exchange the labels of trainings inside their strata.

    Attributes:
        labels: A label per training, 0 to G - 1; shape (N,).
        strata: A stratum per training, 0 to S - 1; shape (N,).
        nameless: Whether only counts who has the same label as whom. Labels that are equally frequent in every
            stratum can then change places without changing anything, and such labelings count once.
    """

    labels: IntArray
    strata: IntArray
    nameless: bool

    @cached_property
    def counts(self) -> IntArray:
        """How often each label occurs in each stratum; shape (S, G)."""
        counts = np.zeros((int(self.strata.max()) + 1, int(self.labels.max()) + 1), dtype=np.int64)
        np.add.at(counts, (self.strata, self.labels), 1)
        return counts

    @cached_property
    def number(self) -> int:
        """How many there are, the given one included."""
        number = 1
        for counts in self.counts.tolist():
            left = sum(counts)
            for count in counts:
                number *= math.comb(left, count)
                left -= count
        if self.nameless:
            for alike in Counter(map(tuple, self.counts.T.tolist())).values():
                number //= math.factorial(alike)
        return number

    def all(self) -> npt.NDArray[Any]:
        """Every labeling once; shape (number, N).

        Built training by training, all labelings at once. Of labels that can change places, the first unused one
        stands for all: every labeling then has one way to come about.
        """
        groups = self.counts.shape[1]
        before = [self._twin(group) for group in range(groups)]
        labelings = np.zeros((1, 0), dtype=np.min_scalar_type(groups))
        used = np.zeros((1, groups), dtype=bool)
        for counts in self.counts:
            left = np.tile(counts, (len(labelings), 1))
            for _ in range(counts.sum()):
                after_twin = np.column_stack([used, np.ones(len(used), dtype=bool)])[:, before]
                parents, chosen = np.nonzero((left > 0) & (used | after_twin))
                labelings = np.column_stack([labelings[parents], chosen.astype(labelings.dtype)])
                left, used, rows = left[parents], used[parents], np.arange(len(parents))
                left[rows, chosen] -= 1
                used[rows, chosen] = True
        by_training = np.empty_like(labelings)
        by_training[:, np.argsort(self.strata, kind="stable")] = labelings
        return by_training

    def _twin(self, group: int) -> int:
        """The last label before this one that can change places with it; -1 if there is none."""
        if not self.nameless:
            return -1
        same = (self.counts[:, :group] == self.counts[:, group, None]).all(axis=0)
        return int(np.flatnonzero(same)[-1]) if same.any() else -1

    def drawn(self, number: int, rng: np.random.Generator) -> npt.NDArray[Any]:
        """Random labelings, each as likely as any other; shape (number, N)."""
        labels = self.labels.astype(np.min_scalar_type(self.counts.shape[1]))
        labelings = np.tile(labels, (number, 1))
        for stratum in range(len(self.counts)):
            inside = np.flatnonzero(self.strata == stratum)
            labelings[:, inside] = rng.permuted(labelings[:, inside], axis=1)
        return labelings


def permutation_test(
    statistic: Statistic, labelings: Labelings, *, permutations: int, rounding: float, rng: np.random.Generator
) -> PermutationTest:
    """Rank the statistic of the given labels among those of exchanged labels.

    Up to `permutations` labelings are enumerated: p is the share of those whose statistic is at least the observed
    one. Of more, that many are drawn at random, and p = (1 + their number) / (1 + permutations), which is never 0
    (Phipson and Smyth 2010). Statistics that differ by less than `rounding` are equal.
    """
    exact = labelings.number <= permutations
    tried = labelings.number if exact else permutations
    least = statistic(labelings.labels[None])[0] - rounding
    blocks = _blocks(labelings.all()) if exact else _random_blocks(labelings, permutations, rng)
    reached = sum(int(np.count_nonzero(statistic(block) >= least)) for block in blocks)
    if exact:
        return PermutationTest(reached / tried, 1 / tried, exact=True, mc_error=0.0, tried=tried)
    p_value = (1 + reached) / (1 + tried)
    error = math.sqrt(p_value * (1 - p_value) / tried)
    return PermutationTest(p_value, 1 / (1 + tried), exact=False, mc_error=error, tried=tried)


def _blocks(labelings: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    rows = max(_CELLS // labelings.shape[1], 1)
    for start in range(0, len(labelings), rows):
        yield labelings[start : start + rows]


def _random_blocks(labelings: Labelings, number: int, rng: np.random.Generator) -> Iterator[npt.NDArray[Any]]:
    rows = max(_CELLS // len(labelings.labels), 1)
    for start in range(0, number, rows):
        yield labelings.drawn(min(rows, number - start), rng)
