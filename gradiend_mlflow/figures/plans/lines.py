"""Which lines a figure of curves has: of single pairs, of pairs of groups, or of many pairs together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.sets.space import Matrix

_NAMED_UP_TO = 6  # pairs
_THIN_UP_TO = 400  # pairs
_MOST_BLOCKS = 7  # colors that are told apart
BETWEEN, WITHIN, CHANCE = "between groups", "within groups", "chance"


@dataclass(frozen=True, eq=False)
class Line:
    """A line with a name.

    Attributes:
        values: At each k; shape (K,).
        text: What it is called, or what stands before the pair.
        pair: The two runs that it is of, if it is of two.
        color: The number of its color; None for the color of text.
        strong: Whether it is drawn thicker.
        dashed: Whether it is drawn in dashes.
    """

    values: Matrix
    text: str = ""
    pair: tuple[int, int] | None = None
    color: int | None = None
    strong: bool = False
    dashed: bool = False


@dataclass(frozen=True, eq=False)
class Panel:
    """What one axes of the figure show.

    Attributes:
        title: What is said above it.
        lines: The lines that have a name.
        thin: Lines without names behind them, by the number of their color; shape (K, number of lines).
        band: The lower and the upper quartile of all pairs, or None.
    """

    title: str
    lines: tuple[Line, ...]
    thin: Mapping[int | None, Matrix]
    band: tuple[Matrix, Matrix] | None = None


@dataclass(frozen=True, eq=False)
class Pairs:
    """The curves of all pairs of some runs.

    Attributes:
        values: Shape (K, number of pairs).
        chance: What chance would give, averaged over the pairs; shape (K,).
        runs: The two runs of each pair.
        at: The place of the k at which pairs are compared.
    """

    values: Matrix
    chance: Matrix
    runs: tuple[tuple[int, int], ...]
    at: int

    @classmethod
    def of(cls, values: Matrix, chance: Matrix, runs: Sequence[int], at: int) -> Pairs:
        """The pairs of some of the runs; `values` and `chance` have the shape (K, N, N)."""
        pairs = tuple(combinations(runs, 2))
        rows, columns = np.array(pairs).T
        return cls(values[:, rows, columns], chance[:, rows, columns].mean(axis=1), pairs, at)

    def panel(self, title: str, highlight: Sequence[tuple[int, int]], group_of: Sequence[str] | None = None) -> Panel:
        """What is drawn of them: few pairs by their names, pairs of groups by theirs, of many pairs a summary.

        Args:
            title: What is said above.
            highlight: Pairs that are named in any case.
            group_of: The group of each run, or None.
        """
        wanted = {frozenset(pair) for pair in highlight}
        marked = [index for index, pair in enumerate(self.runs) if frozenset(pair) in wanted]
        if group_of is not None:
            panel = self._by_groups(marked, group_of)
        elif len(self.runs) <= _NAMED_UP_TO:
            lines = [Line(self.values[:, i], "", pair, i, i in marked) for i, pair in enumerate(self.runs)]
            panel = Panel("", tuple(lines), {})
        else:
            panel = self._summary(marked)
        return replace(panel, title=title, lines=(*panel.lines, Line(self.chance, CHANCE, dashed=True)))

    def _summary(self, marked: list[int]) -> Panel:
        """The median and the middle half of all pairs, with some pairs: those asked for, or else the extreme ones."""
        order = np.argsort(self.values[self.at], kind="stable")
        # Evenly chosen: the lowest and the highest are among them.
        thin = order[np.linspace(0, len(order) - 1, min(len(order), _THIN_UP_TO)).astype(int)]
        named = {"": marked} if marked else {"highest: ": order[-1:], "lowest: ": order[:1]}
        chosen = [(text, int(index)) for text, indices in named.items() for index in indices]
        lines = [
            Line(self.values[:, index], text, self.runs[index], color + 1)
            for color, (text, index) in enumerate(chosen)
        ]
        low, middle, high = np.quantile(self.values, [0.25, 0.5, 0.75], axis=1)
        median = Line(middle, f"median and middle half of {len(self.runs):,} pairs", color=0, strong=True)
        return Panel("", (median, *lines), {None: self.values[:, thin]}, (low, high))

    def _by_groups(self, marked: list[int], group_of: Sequence[str]) -> Panel:
        """A color for the pairs within each group and between each two, and their median under that name."""
        lines: list[Line] = []
        thin: dict[int | None, Matrix] = {}
        share = min(1.0, _THIN_UP_TO / len(self.runs))
        for color, (name, indices) in enumerate(_blocks(self.runs, group_of).items()):
            values = self.values[:, indices]
            lines.append(
                Line(
                    np.median(values, axis=1), name, None, color, strong=True, dashed=" & " in name or name == BETWEEN
                )
            )
            if len(indices) > 1:
                order = np.argsort(values[self.at], kind="stable")
                chosen = np.linspace(0, len(order) - 1, max(int(share * len(order)), 2)).astype(int)
                thin[color] = values[:, order[chosen]]
        lines += [Line(self.values[:, index], "", self.runs[index], None, strong=True) for index in marked]
        return Panel("", tuple(lines), thin)


def _blocks(pairs: Iterable[tuple[int, int]], group_of: Sequence[str]) -> dict[str, list[int]]:
    """The pairs within each group and between each two, or those of several together if these are too many."""
    groups = list(dict.fromkeys(group_of))
    for within, between in ((True, True), (True, False), (False, False)):
        found: dict[str, list[int]] = {}
        for index, pair in enumerate(pairs):
            a, b = sorted((group_of[run] for run in pair), key=groups.index)
            name = (f"within {a}" if within else WITHIN) if a == b else (f"{a} & {b}" if between else BETWEEN)
            found.setdefault(name, []).append(index)
        if len(found) <= _MOST_BLOCKS:
            break
    return dict(sorted(found.items(), key=lambda item: not item[0].startswith("within ")))


def pairs_named(highlight: object, labels: Sequence[str]) -> list[tuple[int, int]]:
    """The runs of the pairs that `highlight` names.

    Raises:
        InvalidInputError: If it is not a list of pairs of two labels.
    """
    if highlight is None:
        return []
    if isinstance(highlight, str) or not isinstance(highlight, Iterable):
        raise InvalidInputError(
            f"highlight must be a list of pairs of labels, such as [('a', 'b')]; got {highlight!r}"
        )
    found = []
    for pair in highlight:
        if isinstance(pair, str) or not isinstance(pair, Sequence) or len(pair) != 2 or pair[0] == pair[1]:  # noqa: PLR2004
            raise InvalidInputError(
                f"highlight must name two different labels per pair, such as ('a', 'b'); got {pair!r}"
            )
        if unknown := [str(label) for label in pair if label not in labels]:
            raise InvalidInputError(f"highlight names {', '.join(unknown)}; the runs are: {', '.join(labels)}")
        found.append((labels.index(pair[0]), labels.index(pair[1])))
    return found
