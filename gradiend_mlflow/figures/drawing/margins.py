"""What stands around a heatmap's cells: names, brackets of groups, a dendrogram, a side bar, what the colors mean.

All of it is placed in inches from the cells' edges, where the plan says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LogNorm
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Affine2D, ScaledTranslation, blended_transform_factory

from gradiend_mlflow.figures.drawing.canvas import colormap, shade
from gradiend_mlflow.figures.drawing.cells import EMPTY_COLOR, inks_on
from gradiend_mlflow.figures.drawing.names import measured
from gradiend_mlflow.figures.drawing.plan import BAR, GAP, PAD, TREE, Plan

_EMPTY = 0.06  # of the cells' height: what explains it
_LINE = 2.0  # points: a bracket
_MOST_TICKS, _APART = 6, 1.25  # heights of a tick's label from one to the next


def _outside(axes: Axes, edge: Literal["right", "top", "bottom"], *, data: bool = False) -> Any:
    """Coordinates in inches outwards from an edge of the axes; along it shares of its length, or data coordinates."""
    figure: Any = axes.figure
    corner: Any = axes.transAxes
    inches = Affine2D().scale(1, -1 if edge == "bottom" else 1) + figure.dpi_scale_trans
    inches += ScaledTranslation(float(edge == "right"), float(edge == "top"), corner)
    along = axes.transData if data else axes.transAxes
    return blended_transform_factory(*((inches, along) if edge == "right" else (along, inches)))


def name_runs(axes: Axes, plan: Plan) -> None:
    """Write the runs' names at their rows and columns, and what is said below."""
    axes.tick_params(axis="both", length=0, pad=72 * PAD)
    if plan.rows is not None and plan.columns is not None:
        n = len(plan.rows.texts)
        middles = np.arange(0, n, plan.every) + 0.5
        turned: Mapping[str, Any] = {
            45.0: {"rotation": 45, "ha": "right", "rotation_mode": "anchor"},
            90.0: {"rotation": 90, "ha": "right", "va": "center", "rotation_mode": "anchor"},
        }.get(plan.angle if plan.columns.way != "numbered" else 0.0, {"rotation": 0, "ha": "center"})
        axes.set_xticks(middles, plan.columns.texts[:: plan.every], fontsize=plan.columns.points, **turned)
        axes.set_yticks(middles, plan.rows.texts[:: plan.every], rotation=0, fontsize=plan.rows.points)
    else:
        n = round(abs(np.subtract(*axes.get_ylim())))
        axes.set_ylabel(f"{n} runs", fontsize=plan.fonts.notes, labelpad=72 * PAD)
    if plan.below:
        named = plan.rows is not None
        axes.set_xlabel(plan.below, fontsize=plan.fonts.notes, ha="left" if named else "center", va="top")
        axes.xaxis.label.set_multialignment("left" if named else "center")
        axes.xaxis.set_label_coords(0.0 if named else 0.5, plan.below_at, transform=_outside(axes, "bottom"))
        axes.xaxis.label.set_transform(
            axes.xaxis.label.get_transform() + ScaledTranslation(-plan.left * named, 0, axes.figure.dpi_scale_trans)
        )


def draw_brackets(axes: Axes, brackets: Mapping[str, int], plan: Plan, rotation: float) -> None:
    """Draw a line above and right of the runs of each group with its name, and gaps between the groups.

    Args:
        axes: The heatmap.
        brackets: The number of runs of each group, in the order of the runs.
        plan: Where they stand.
        rotation: How far the names on the right are turned.
    """
    line: dict[str, Any] = {"color": shade(axes.figure, 0.5), "linewidth": _LINE, "clip_on": False}
    over, beside = _outside(axes, "top", data=True), _outside(axes, "right", data=True)
    right, sizes = plan.brackets_at, np.array(list(brackets.values()))
    ends = np.cumsum(sizes)
    for number, (end, size) in enumerate(zip(ends, sizes, strict=True)):
        span, middle = [end - size + 0.1, end - 0.1], end - size / 2
        axes.plot(span, [GAP] * 2, transform=over, solid_capstyle="butt", **line)
        if plan.above is not None and plan.above.fit:
            axes.text(middle, GAP + PAD, plan.above.texts[number], transform=over, ha="center", va="bottom",
                      rotation=plan.above_angle, fontsize=plan.above.points)  # fmt: skip
        if plan.beside is not None and plan.beside.fit:
            axes.plot([right] * 2, span, transform=beside, solid_capstyle="butt", **line)
            axes.text(right + PAD, middle, plan.beside.texts[number], transform=beside, va="center",
                      rotation=rotation, fontsize=plan.beside.points)  # fmt: skip
    for end in ends[:-1]:
        axes.axvline(end, color=shade(axes.figure, 0.0), linewidth=_LINE)
        axes.axhline(end, color=shade(axes.figure, 0.0), linewidth=_LINE)


def draw_tree(axes: Axes, tree: npt.NDArray[np.float64]) -> None:
    """Draw a dendrogram above the columns that it has ordered."""
    from scipy.cluster.hierarchy import dendrogram

    drawn = dendrogram(tree, no_plot=True)
    over = axes.inset_axes((0.0, PAD, 1.0, TREE), transform=_outside(axes, "top"))
    # scipy puts leaves at 5, 15, 25, ...; the heatmap's columns lie at 0.5, 1.5, ...
    segments = [*np.dstack([np.array(drawn["icoord"]) / 10, np.array(drawn["dcoord"])])]
    over.add_collection(LineCollection(segments, colors=shade(axes.figure, 0.65), linewidths=0.9))
    over.set(xlim=(0, len(tree) + 1), ylim=(0, max(float(tree[:, 2].max()), 1e-9) * 1.05))
    over.set_axis_off()


@dataclass(frozen=True, eq=False)
class SideBar:
    """A column of one number per run beside the cells.

    Attributes:
        numbers: The numbers from the top; NaN where a run has none.
        texts: How they are written.
        cmap: The colormap.
        low: The number of the first color.
        high: The number of the last color.
    """

    numbers: npt.NDArray[np.float64]
    texts: tuple[str, ...]
    cmap: Any
    low: float
    high: float

    @property
    def range(self) -> str:
        """What its first and last color mean."""
        return f"{self.low:.2g} to {self.high:.2g}"


def side_bar_of(numbers: npt.NDArray[np.float64], cmap: Any, low: float | None, high: float | None) -> SideBar:
    """A side bar, whose colors are those of 0 to 1 if all numbers lie between, else of the smallest to the largest."""
    known = numbers[np.isfinite(numbers)]
    least, most = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    if least >= 0 and most <= 1:
        least, most = 0.0, 1.0
    whole = bool(len(known)) and not (known % 1).any()
    texts = tuple("-" if np.isnan(x) else f"{x:,.0f}" if whole else f"{x:.2f}" if most < 10 else f"{x:.3g}"  # noqa: PLR2004
                  for x in numbers)  # fmt: skip
    low, high = least if low is None else low, most if high is None else high
    return SideBar(numbers, texts, colormap(cmap), low, high if high > low else low + 1)


def draw_side_bar(axes: Axes, side: SideBar, plan: Plan) -> None:
    """Draw the side bar right of the cells, with its numbers, or with what its first and last color mean."""
    bar = axes.inset_axes((GAP, 0.0, plan.side_width, 1.0), transform=_outside(axes, "right"))
    n = len(side.numbers)
    image = bar.imshow(
        side.numbers[:, None], aspect="auto", cmap=side.cmap, extent=(0, 1, n, 0), vmin=side.low, vmax=side.high
    )
    for row, number in enumerate(side.numbers if plan.side else ()):
        color = "black" if np.isnan(number) else str(inks_on(image.cmap(image.norm(number))))
        bar.text(0.5, row + 0.5, side.texts[row], color=color, ha="center", va="center", fontsize=plan.side)
    # Upright, so that it does not overlap the columns' names and the text below them.
    if plan.side_title is not None:
        bar.set_xticks([0.5], plan.side_title.texts, rotation=90, fontsize=plan.side_title.points)
    bar.set_yticks([])
    bar.tick_params(length=0, pad=72 * PAD)
    bar.grid(visible=False)
    bar.spines[:].set_visible(False)


def draw_color_bar(axes: Axes, plan: Plan, mesh: Any, *, empty: bool, length: float, shift: float) -> None:
    """Draw the meaning of the colors, right of everything else.

    Args:
        axes: The heatmap.
        plan: Where it stands.
        mesh: The cells.
        empty: Whether to say that cells in `EMPTY_COLOR` are 0, which a logarithmic scale does not have.
        length: Of the cells' height.
        shift: How far it is moved up, of the cells' height.
    """
    figure: Any = axes.figure
    outside = _outside(axes, "right")
    start = (1 - length) / 2 + shift
    low = start + 2 * _EMPTY * length * empty
    bar = axes.inset_axes((plan.bar_at, low, BAR, start + length - low), transform=outside)
    figure.colorbar(mesh, cax=bar)
    inches = len(mesh.get_array().ravel()) ** 0.5 * plan.cell * (start + length - low)
    ticks = _ticks_of(mesh.norm, inches / measured("0", plan.fonts.ticks)[1])
    bar.set_yticks(ticks, [_tick_text(tick) for tick in ticks], fontsize=plan.fonts.ticks)
    bar.minorticks_off()
    bar.tick_params(length=2, width=0.6, pad=1.5)
    bar.grid(visible=False)
    bar.spines[:].set_visible(False)
    if empty:
        bar.add_patch(Rectangle((plan.bar_at, start), BAR, _EMPTY * length, facecolor=EMPTY_COLOR, transform=outside,
                                clip_on=False))  # fmt: skip
        bar.text(plan.bar_at + BAR + 0.05, start + _EMPTY * length / 2, "0", va="center", transform=outside,
                 fontsize=plan.fonts.ticks)  # fmt: skip
    bar.set_ylabel(plan.bar_title.texts[0], fontsize=plan.bar_title.points, labelpad=72 * PAD)


def bar_texts(norm: Any) -> Any:
    """What is written along a bar of these colors that is so many heights of its labels long."""

    def texts(heights: float) -> Sequence[str]:
        return [_tick_text(tick) for tick in _ticks_of(norm, heights)]

    return texts


def _ticks_of(norm: Any, heights: float) -> list[float]:
    """Round values along a bar of colors that is so many heights of their labels long; at least one of its ends."""
    low, high = float(norm.vmin), float(norm.vmax)
    if isinstance(norm, LogNorm):
        powers = 10.0 ** np.arange(np.ceil(np.log10(low)), np.floor(np.log10(high)) + 1)
        candidates: list[Any] = [powers[::step] for step in range(1, len(powers))]
    else:
        candidates = [
            MaxNLocator(n, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high) for n in range(_MOST_TICKS, 0, -1)
        ]
    inside = (ticks[(ticks >= low - 1e-9) & (ticks <= high + 1e-9)] for ticks in candidates)
    for ticks in (*inside, np.array([low, high])):
        places = np.asarray(norm(ticks), dtype=float)
        if len(ticks) > 1 and np.diff(places).min() * heights >= _APART:
            return [float(tick) for tick in ticks]
    return [high]


def _tick_text(value: float) -> str:
    """A tick's label."""
    return f"{value:,.0f}" if value == round(value) and abs(value) >= 1 else f"{value:.3g}"
