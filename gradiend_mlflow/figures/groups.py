"""A test of groups as strips of points: a point per pair of trainings, a strip per group."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase

from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.figures.drawing.canvas import FigureSize, OutputPath, Sheet, colors, shade
from gradiend_mlflow.figures.drawing.layout import cell_size, lay_out, set_title
from gradiend_mlflow.figures.drawing.names import Way, in_lines, measured, named, points_of, widest
from gradiend_mlflow.figures.drawing.text import warn_of_missing_letters
from gradiend_mlflow.overlap.measures import check_unit, check_value, title_of
from gradiend_mlflow.overlap.statistics.group_test import GroupTest

_AROUND, _BESIDE = 0.3, 0.3  # inches
_LINES = 6  # of numbers, label and answer below the axes
_SHARE_OF_NAMES = 0.4  # of the width, at most
_SPREAD = 0.3  # of a strip, to both sides
_GOLDEN = (5**0.5 - 1) / 2
_AREA = 400.0  # square points of a strip's points together, of 4 to 20 each


def plot_groups(
    test: GroupTest,
    ax: Axes | None = None,
    *,
    title: str | None = None,
    figsize: FigureSize = None,
    output_path: OutputPath = None,
    show: bool = False,
) -> Axes | FigureBase:
    """Draw the overlap of every pair of trainings, by what the pair is within or between.

    Args:
        test: The result of `test_groups`.
        ax: Where to draw; default a new figure, which is unknown to pyplot.
        title: A title above the axes.
        figsize: The size of a new figure: "column", "text", width and height in inches, or None.
        output_path: A file or files to save it to: .png, .pdf or .svg.
        show: Whether to open a window.

    Returns:
        The axes, or the new figure: from above a strip for the pairs within each group, one for the pairs of
        different groups, and two for the control, within it and with it. A bar is the mean of a strip. Below are the
        means and the p-value.

    Raises:
        InvalidInputError: If `test` is not a test of groups, or another argument is not acceptable.

    Example:
        >>> from gradiend_mlflow import TopKSet, compute_overlap
        >>> lists = {"a1": [0, 1, 2], "a2": [0, 1, 3], "b1": [5, 6, 7], "b2": [5, 6, 0]}
        >>> overlap = compute_overlap({name: TopKSet.from_indices(own, space=9) for name, own in lists.items()})
        >>> figure = plot_groups(overlap.test_groups({"a": ["a1", "a2"], "b": ["b1", "b2"]}))
        >>> [text.get_text() for text in figure.axes[0].get_yticklabels()]
        ['a', 'b', 'different groups']
    """
    if not isinstance(test, GroupTest):
        raise InvalidInputError(f"expected GroupTest (from test_groups()); got {type(test).__name__}")
    sheet = Sheet.checked(ax, figsize=figsize, output_path=output_path, show=show)
    strips = dict(_strips(test))
    warn_of_missing_letters([*strips, title or ""])
    scale = 1 if test.value == "intersection" else 100

    tick, label = points_of("ytick.labelsize"), points_of("axes.labelsize")
    strip, around = 1.2 * measured("0\n0", tick)[1], _AROUND + measured("\n".join("0" * _LINES), label)[1]
    around += measured("0", points_of("axes.titlesize"))[1] * bool(title)
    axes = ax or sheet.figure(lambda _: around + strip * len(strips), usual=5.0).add_subplot()
    ink = [*colors(len(test.per_group)), *[shade(axes.figure, 0.5)] * (len(strips) - len(test.per_group))]
    for place, (values, color) in enumerate(zip(strips.values(), ink, strict=True)):
        _draw_strip(axes, place, scale * values, color)
    width, height = cell_size(axes)
    room = max(height - around, 0.0) / len(strips)
    ways: tuple[Way, ...] = ("whole", "wrapped", "shortened")
    names = named(list(strips), width * _SHARE_OF_NAMES, tick, lines=2, height=room, ways=ways)
    axes.set_yticks(range(len(strips)), names.texts, fontsize=names.points)
    axes.set(ylim=(len(strips) - 0.4, -0.6), axisbelow=True)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=points_of("xtick.labelsize"))
    left = width - widest(names.texts, names.points) - _BESIDE
    below = [title_of(check_value(test.value), check_unit(test.unit)) + " (%)" * (scale > 1), *_answer(test)]
    axes.set_xlabel("\n".join(_broken(line, left, label) for line in below), fontsize=label)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis="x", color=shade(axes.figure, 0.08))
    set_title(axes, title)
    lay_out(axes)
    return sheet.finished(ax) if ax is not None else sheet.finished(axes.figure)


def _strips(test: GroupTest) -> Iterator[tuple[str, npt.NDArray[np.float64]]]:
    """The name and the values of each strip."""
    pairs = test.pairs
    same, relation = pairs["group_a"] == pairs["group_b"], pairs["relation"]
    for group in test.per_group.index:
        yield group, pairs.loc[same & (pairs["group_a"] == group), "overlap"].to_numpy()
    yield "different groups", pairs.loc[relation == "between", "overlap"].to_numpy()
    control = relation == "control"
    if control.any():
        yield "within the control", pairs.loc[control & same, "overlap"].to_numpy()
        yield "with the control", pairs.loc[control & ~same, "overlap"].to_numpy()


def _draw_strip(axes: Axes, place: int, values: npt.NDArray[np.float64], color: Any) -> None:
    """Points beside each other in the order of their values, so that equal ones do not hide each other."""
    if not len(values):
        note: Any = {"va": "center", "fontsize": points_of("xtick.labelsize"), "color": shade(axes.figure, 0.5)}
        axes.text(0.01, place, "no pairs", transform=axes.get_yaxis_transform(), **note)
        return
    order = np.argsort(values, kind="stable")
    # Multiples of the golden ratio spread evenly, however many there are, without chance.
    offsets = (np.arange(len(values)) * _GOLDEN % 1 - 0.5) * 2 * _SPREAD if len(values) > 1 else np.zeros(1)
    area = float(np.clip(_AREA / len(values), 4, 20))
    axes.scatter(values[order], place + offsets, s=area, color=color, alpha=0.6, linewidths=0, clip_on=False, zorder=3)
    bar = 2 * [values.mean()], [place - 0.38, place + 0.38]
    axes.plot(*bar, color=shade(axes.figure, 0.9), linewidth=2, solid_capstyle="butt", zorder=2)


def _broken(line: str, width: float, points: float) -> str:
    """A line that is too long, broken at its commas first."""
    fits = measured(line, points)[0] <= width
    return in_lines(line if fits else line.replace(", ", ",\n"), width, points)


def _answer(test: GroupTest) -> Iterator[str]:
    """The means and the p-value, a line each."""
    within, between = (test.written(number) for number in (test.within, test.between))
    yield f"{within} within groups, {between} between"
    yield f"p = {test.p_value:.2g}, too few to tell" if test.verdict == "too few to tell" else test.verdict
