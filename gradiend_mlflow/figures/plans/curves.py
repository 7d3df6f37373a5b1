"""What a figure of curves shows, in how many panels, and the room that they have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.figures.drawing.names import LEAST_POINTS, in_lines, measured, points_of
from gradiend_mlflow.figures.drawing.page import PAD
from gradiend_mlflow.figures.drawing.text import literal, with_arrows
from gradiend_mlflow.figures.plans.line_names import Naming, naming_of
from gradiend_mlflow.figures.plans.lines import CHANCE, Pairs, Panel, pairs_named
from gradiend_mlflow.overlap.curve import CurveValue, OverlapCurve
from gradiend_mlflow.overlap.measures import title_of
from gradiend_mlflow.overlap.statistics.groups import complete_groups

_PANEL, _WIDEST = 1.3, 40.0  # inches: the least width of one of several panels; the most that is asked for
_LEAST_WIDTH, _LEAST_HEIGHT = 0.25, 0.5  # of a panel's width; inches: what axes keep
_AROUND = 0.4  # inches: the spaces between axes, ticks, labels and title
_SCALES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
_XLABEL = "k, the number of weights per run"
_CONTROL = "control"


def panels_of(
    curve: OverlapCurve,
    value: CurveValue,
    k: int | None,
    *,
    groups: Mapping[str, Any] | None,
    highlight: Sequence[tuple[str, str]] | None,
    facet: str | None,
    control: Sequence[str] | None,
) -> tuple[Panel, ...]:
    """The panels, each with the runs whose pairs it shows; arguments as for `plot_curve`.

    Raises:
        InvalidInputError: If `groups`, `highlight` or `control` is not acceptable, or they do not go with `facet`.
    """
    labels, marked = list(curve.labels), pairs_named(highlight, curve.labels)
    scale = 1 if value == "intersection" else 100
    numbers, chance = (scale * curve.values(value, by_chance=by_chance) for by_chance in (False, True))
    at = len(curve.ks) - 1 if k is None else int(np.argmin(np.abs(curve.ks - k)))
    group_of = None if groups is None else complete_groups(groups, labels)

    def panel(runs: Sequence[int], name: str, of: Sequence[str] | None = None) -> Panel:
        return Pairs.of(numbers, chance, runs, at).panel(literal(with_arrows(name)), marked, of)

    if facet is None:
        if control is not None:
            raise InvalidInputError("control is a panel beside those of groups: it needs facet='group'")
        return (panel(range(len(labels)), "", None if group_of is None else [group_of[label] for label in labels]),)
    if group_of is None:
        raise InvalidInputError("facet='group' needs groups: a mapping from label to group or from group to labels")
    members = {name: [i for i, label in enumerate(labels) if group_of[label] == name] for name in group_of.values()}
    if control is not None:
        members[_CONTROL] = _indices(control, labels)
    found = tuple(panel(runs, name) for name, runs in members.items() if len(runs) > 1)
    if not found:
        raise InvalidInputError("facet='group' draws the pairs within groups, and no group has two runs")
    return found


def _indices(control: object, labels: list[str]) -> list[int]:
    if isinstance(control, str) or not isinstance(control, Sequence) or len(set(control)) < 2:  # noqa: PLR2004
        raise InvalidInputError(f"control must be a list of at least two labels; got {control!r}")
    if unknown := [str(label) for label in control if label not in labels]:
        raise InvalidInputError(f"control names {', '.join(unknown)}; the runs are: {', '.join(labels)}")
    return [index for index, label in enumerate(labels) if label in control]


@dataclass(frozen=True, eq=False)
class Frame:
    """How a figure, or the part of one that is ours, is divided; in inches.

    Attributes:
        scale: Of all font sizes, because those of the settings may be too large for so small a figure.
        columns: How many panels stand side by side.
        panel: The width of a panel, without what stands left of the first one.
        left: The width of what stands left of the first one.
        axes: About how wide and how high axes are.
        above: The height of a title over several panels.
        naming: How the lines are named.
        xlabel: In lines.
        ylabel: In lines.
        height: What all of it needs.
        fit: Whether all has room.
    """

    scale: float
    columns: int
    panel: float
    left: float
    axes: tuple[float, float]
    above: float
    naming: Naming
    xlabel: str
    ylabel: str
    height: float
    fit: bool

    def points(self, setting: str) -> float:
        """A font size of matplotlib's settings, as it is in this figure."""
        return max(self.scale * points_of(setting), LEAST_POINTS)


@dataclass(frozen=True, eq=False)
class Content:
    """What is drawn.

    Attributes:
        curve: The numbers.
        value: Which of them.
        k: Where a line is drawn, or None.
        panels: At least one.
        title: Above all.
    """

    curve: OverlapCurve
    value: CurveValue
    k: int | None
    panels: tuple[Panel, ...]
    title: str

    @property
    def several(self) -> bool:
        """Whether there are several panels."""
        return len(self.panels) > 1

    @property
    def top(self) -> float:
        """Where the axes end; if no pair agrees, not at what chance would give, which is next to nothing."""
        drawn = [line.values for panel in self.panels for line in panel.lines if line.text != CHANCE]
        drawn += [values for panel in self.panels for values in panel.thin.values()]
        chance = max(float(line.values.max()) for panel in self.panels for line in panel.lines)
        highest = max(float(values.max()) for values in drawn)
        return 1.05 * max(highest, chance) if highest else max(1.0, 1.05 * chance)

    @property
    def note(self) -> str:
        """What is said below: what k is, if there is no room for it elsewhere, and why it ends where it does."""
        least, most = int(self.curve.sizes.min()), int(self.curve.sizes.max())
        lines = ["k: the number of weights per run"] * self.several
        if self.curve.ks[-1] >= least != most:
            smallest = literal(with_arrows(self.curve.labels[int(np.argmin(self.curve.sizes))]))
            lines.append(f"up to the {least:,} of the smallest set, {smallest}; the largest has {most:,}")
        return "\n".join(lines)

    def frame(self, width: float, height: float | None = None, *, lost: float = 0.0) -> Frame:
        """The division with the largest type that has room.

        Args:
            width: Of the figure, or of the part of it that is ours, in inches.
            height: The same; None if it follows from what is drawn.
            lost: How many inches of their height the axes have to do without.
        """
        for scale in _SCALES:
            frame = self._frame(width, height, scale, lost)
            if frame.fit:
                break
        return frame

    def enough(self, width: float, height: float) -> float:
        """A width in inches in which everything has room."""
        while width < _WIDEST and not self.frame(width, height).fit:
            width *= 1.1
        return width

    def _frame(self, width: float, height: float | None, scale: float, lost: float) -> Frame:
        def points(setting: str) -> float:
            return max(scale * points_of(setting), LEAST_POINTS)

        label, tick, legend = (points(name) for name in ("axes.labelsize", "xtick.labelsize", "legend.fontsize"))
        side = measured("100", points("ytick.labelsize"))[0] + 0.2
        line = measured("k", label)[1]
        columns = min(len(self.panels), max(int((width - side - line) / _PANEL), 1))
        rows = -(-len(self.panels) // columns)
        over = in_lines(self.title, width - 2 * PAD, points("figure.titlesize"), anywhere=True)
        above = measured(over, points("figure.titlesize"))[1] + 2 * PAD if self.title and self.several else 0.0
        below = 2 * PAD * self.several

        # Two lines of labels are reckoned with; the axes have the rest.
        panel = (width - (side + line) * self.several) / columns
        titles = [one.title for one in self.panels] if self.several else [self.title]
        titled = max(
            measured(in_lines(title, panel, points("axes.titlesize"), anywhere=True), points("axes.titlesize"))[1]
            for title in titles
        ) * any(titles)
        around = titled + (self.k is not None) * measured("k", tick)[1] + measured("0", tick)[1] + _AROUND
        around += line * (1 if self.several else 2)

        def axes_height(naming_below: float) -> float:
            if height is None:
                return float(np.clip(0.55 * panel, 1.4, 3.5))
            return (height - above - below - naming_below) / rows - around - lost

        said = title_of(self.value, self.curve.unit) + ("" if self.value == "intersection" else " (%)")
        lines = [one.lines for one in self.panels]
        high = axes_height(0.0)
        for _ in range(2):  # what is below takes height, which the label beside has to do without
            ylabel = in_lines(said, max(0.95 * high, 0.2), label)
            left = side + measured(ylabel, label)[1]
            panel = (width - left * self.several) / columns
            room: Any = {"width": panel, "below": width - left - 2 * PAD, "height": axes_height}
            naming = naming_of(lines, self.curve.labels, legend, note=self.note, **room)
            high = axes_height(naming.below)
        wide = panel - left * (not self.several) - naming.beside - 2 * PAD
        xlabel = "k" if self.several else in_lines(_XLABEL, max(wide, 0.2), label)
        fit = (
            naming.fit
            and wide >= max(measured(xlabel, label)[0], _LEAST_WIDTH * panel)
            and high >= max(measured(ylabel, label)[0], _LEAST_HEIGHT)
            and xlabel.count("\n") < 2  # noqa: PLR2004
            and ylabel.count("\n") < 2  # noqa: PLR2004
        )
        total = rows * (high + around) + naming.below + above + below
        return Frame(scale, columns, panel, left, (wide, high), above, naming, xlabel, ylabel, total, fit)
