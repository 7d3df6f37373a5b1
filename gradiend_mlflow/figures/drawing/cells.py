"""The cells of a heatmap: how values become colors, what explains these, and what is written into the cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize, PowerNorm, TwoSlopeNorm
from matplotlib.patches import Circle, Rectangle
from matplotlib.transforms import Affine2D

from gradiend_mlflow.checks import check_choice
from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.figures.drawing.canvas import colormap, shade
from gradiend_mlflow.figures.drawing.text import UNKNOWN, Writer, writer
from gradiend_mlflow.overlap.measures import SIGNED, Value
from gradiend_mlflow.overlap.overlap import Overlap
from gradiend_mlflow.overlap.seeds import SeedOverlap
from gradiend_mlflow.overlap.statistics.difference import OverlapDifference
from gradiend_mlflow.sets.space import Matrix

Scale = Literal["linear", "log", "sqrt", "power"]
DispersionDisplay = Literal["none", "stacked", "corner_glyph"]

# Both keep their order for people who do not see all colors: from dark to light, and around a light middle.
SEQUENTIAL, DIVERGING = "viridis", "RdBu_r"
EMPTY_COLOR = "0.8"
_LINES_UP_TO = 25  # runs: between more cells lines would take up their colors
_DRAWN_UP_TO = 80  # runs: a PDF of 200 would draw 40,000 squares, one of 2000 four million
_SPREADS = {"std": "standard deviation of seeds", "range": "half the range of seeds", "minmax": "range of seeds"}
# Of a cell, from its edge to the frame of a ceiling; and points, so that it keeps apart from the lines between cells.
_INSET, _INSET_POINTS = 0.08, (0.75, 1.5)
_GLYPH, _BELOW_GLYPHS = (0.05, 0.09), 0.6  # of a cell: the least radius and what the largest spread adds; numbers


@dataclass(frozen=True, eq=False)
class Cells:
    """What is in the cells.

    Attributes:
        shown: Their values; shape (N, N).
        write: How a value is written.
        norm: How values become shares of the colormap.
        cmap: The colormap.
        stacked: The spread that is written below each value, one number or two (the last axis), or None.
        glyphs: The radius of each cell's circle, or None.
        empty: Whether some are 0 on a scale that has no place for it.
        spread: What shows the spread of seeds, in words; may be empty.
        ceilings: Which rows have on the diagonal how far the seeds of one training agree; shape (N,).
    """

    shown: npt.NDArray[np.float64]
    write: Writer
    norm: Any
    cmap: Any
    stacked: npt.NDArray[np.float64] | None
    glyphs: npt.NDArray[np.float64] | None
    empty: bool
    spread: str
    ceilings: npt.NDArray[np.bool_]

    @cached_property
    def texts(self) -> npt.NDArray[np.object_]:
        """What is written into them, if they have room for it; shape (N, N)."""
        texts = _written(self.shown, self.write)
        if self.stacked is not None:
            parts = _written(self.stacked, self.write)
            texts += "\n" + (parts[..., 0] + "\N{EN DASH}" + parts[..., 1] if parts.ndim == 3 else "±" + parts)  # noqa: PLR2004
        texts[np.isnan(self.shown)] = UNKNOWN
        return texts

    @cached_property
    def inks(self) -> npt.NDArray[np.str_]:
        """The color of what is written or drawn in each: light on dark, and dark on light; shape (N, N)."""
        return inks_on(self.cmap(self.norm(np.ma.masked_invalid(self.shown))))


def _written(numbers: npt.NDArray[np.float64], write: Writer) -> npt.NDArray[np.object_]:
    texts: npt.NDArray[np.object_] = np.vectorize(write, otypes=[object])(numbers)
    return texts


def cells_of(
    overlap: Overlap | SeedOverlap | OverlapDifference,
    rows: Sequence[int],
    value: Value,
    *,
    relative: bool,
    percent: bool,
    fmt: str | None,
    scale: Scale,
    scale_gamma: float,
    vmin: float | None,
    vmax: float | None,
    cmap: Any,
    dispersion_display: DispersionDisplay,
) -> Cells:
    """The cells of an overlap in the order of `rows`; other arguments are those of `plot_heatmap`.

    Raises:
        InvalidInputError: If one of them is not acceptable.
    """
    factor, order = 100.0 if percent else 1.0, np.ix_(rows, rows)
    numbers, ceilings = _relative(overlap, value) if relative else _with_ceilings(overlap, value)
    shown = numbers[order]
    shown *= factor
    is_change = isinstance(overlap, OverlapDifference)
    signed, counts = is_change or value in SIGNED, value == "intersection" and not relative
    high = max(factor, float(np.nanmax(shown))) if relative else None
    high = high if vmax is None else factor * vmax
    low = None if vmin is None else factor * vmin
    high = high if high is not None or counts or is_change else factor
    norm = norm_of(shown, scale, scale_gamma, signed=signed, low=low, high=high)
    write = writer(shown, fmt, whole=percent or counts)
    if relative and dispersion_display != "none":
        raise InvalidInputError("dispersion_display shows the spread of values, not of relative ones: leave out one")
    spread, said = _spread(overlap, value, dispersion_display)
    stacked = glyphs = None
    if spread is not None:
        spread = factor * spread[order]
        if dispersion_display == "stacked":
            stacked, said = spread, said if spread.ndim == 3 else f"± {said}"  # noqa: PLR2004
        else:
            size = np.ptp(spread, axis=2) if spread.ndim == 3 else spread  # noqa: PLR2004
            most = float(np.nanmax(size))
            glyphs = np.where(size > 0, _GLYPH[0] + _GLYPH[1] * size / max(most, 1e-12), 0.0)
            said = f"circle: {said}, up to {write(most)}"
    colors = colormap(cmap or (DIVERGING if signed else SEQUENTIAL)).with_extremes(bad=EMPTY_COLOR)
    empty = scale == "log" and bool((shown <= 0).any())
    return Cells(shown, write, norm, colors, stacked, glyphs, empty, said, ceilings[list(rows)])


def _relative(overlap: Any, value: Value) -> tuple[Matrix, npt.NDArray[np.bool_]]:
    """The overlap relative to what seeds allow; no ceilings are shown beside it."""
    if not isinstance(overlap, SeedOverlap):
        raise InvalidInputError(
            "relative=True shows overlap relative to how far seeds of one training agree, and sets alone do not say "
            "which are seeds of one training: draw a comparison of seeds, or a SeedOverlap"
        )
    overlap.check_several()
    numbers = overlap.relative(value)
    if np.isnan(numbers).all():
        raise InvalidInputError(
            "nothing is relative to seeds that share nothing: the ceiling of every training is 0, or not known"
        )
    return numbers, np.zeros(len(numbers), dtype=bool)


def _with_ceilings(overlap: Any, value: Value) -> tuple[Matrix, npt.NDArray[np.bool_]]:
    """The overlap, with the ceilings on the diagonal where seeds are aggregated; NaN where a training has one seed."""
    numbers = np.array(overlap.values(value), dtype=np.float64)
    if not isinstance(overlap, SeedOverlap):
        return numbers, np.zeros(len(numbers), dtype=bool)
    ceiling = overlap.ceiling_of(value)["mean"].to_numpy()
    known = ~np.isnan(ceiling)
    if known.any():
        np.fill_diagonal(numbers, ceiling)
    return numbers, known


def _spread(overlap: Any, value: Value, display: str) -> tuple[npt.NDArray[np.float64] | None, str]:
    """The spread of seeds that is to be shown, and which one it is in words; None and nothing for none."""
    check_choice("dispersion_display", display, ("none", "stacked", "corner_glyph"))
    if display == "none":
        return None, ""
    spread = overlap.dispersion(value) if isinstance(overlap, SeedOverlap) else None
    if spread is None or not isinstance(overlap, SeedOverlap):
        raise InvalidInputError(
            f"dispersion_display={display!r} shows how far seeds differ: compare with seeds='all_convergent', "
            "seed_aggregate='mean' and dispersion='std', for example"
        )
    spread, kind = np.array(spread, dtype=float), overlap.policy.dispersion
    own, diagonal = overlap.ceiling_of(value), np.arange(len(spread))
    if own["pairs"].any():  # as of the ceilings that are shown there
        share = np.sqrt(1 - 1 / own["pairs"].where(own["pairs"] > 0))
        columns = {
            "std": own["std"].where(own["pairs"] != 1, 0.0) * share,
            "range": (own["max"] - own["min"]) / 2,
            "minmax": own[["min", "max"]],
        }
        spread[diagonal, diagonal] = columns[kind].to_numpy()
    return spread, _SPREADS[kind]


def draw_cells(axes: Axes, cells: Cells, fontsize: float | None) -> Any:
    """Draw them; numbers are light on dark and dark on light. Returns matplotlib's mesh or image."""
    n = len(cells.shown)
    known = np.ma.masked_invalid(cells.shown, copy=False)
    mesh: Any
    style: dict[str, Any] = {"cmap": cells.cmap, "norm": cells.norm}
    if n > _DRAWN_UP_TO:
        # Where cells are smaller than dots, a dot has their mean: the nearest cell alone leaves gaps in a diagonal.
        mesh = axes.imshow(known, extent=(0, n, n, 0), interpolation="auto", interpolation_stage="data", **style)
    else:
        style |= {"linewidth": 0.5, "edgecolors": shade(axes.figure, 0.0)} if n <= _LINES_UP_TO else {}
        mesh = axes.pcolormesh(known, **style)
    axes.set(xlim=(0, n), ylim=(n, 0), aspect="equal")
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    middle = 0.5 if cells.glyphs is None else _BELOW_GLYPHS
    for (row, column), text in np.ndenumerate(cells.texts) if fontsize else ():
        ink = cells.inks[row, column]
        axes.text(column + 0.5, row + middle, text, ha="center", va="center", color=ink, fontsize=fontsize)
    for place in np.flatnonzero(cells.ceilings).tolist() if n <= _LINES_UP_TO else ():
        _draw_frame(axes, place, cells.inks[place, place])
    if cells.glyphs is not None:
        for (row, column), radius in np.ndenumerate(cells.glyphs):
            if radius:
                center, ink = (column + 0.83, row + 0.17), cells.inks[row, column]
                axes.add_patch(Circle(center, radius, fill=False, linewidth=0.8, edgecolor=ink))
    return mesh


def _draw_frame(axes: Axes, place: int, ink: str) -> None:
    """Frame a cell on the diagonal, within its edges whatever its size."""
    frame = _Frame((place, place), 1, 1, fill=False, linewidth=0.8, joinstyle="miter", zorder=3)
    frame.set(edgecolor=ink, snap=False)
    axes.add_patch(frame)


class _Frame(Rectangle):
    """A rectangle in data coordinates, drawn a little smaller on each side."""

    def get_patch_transform(self) -> Any:
        """From the unit square."""
        cell = super().get_patch_transform()
        wide, high = np.abs(np.diff(self.get_data_transform().transform(cell.transform([[0, 0], [1, 1]])), axis=0)[0])
        figure: Any = self.get_figure(root=True)
        points = [72 * side / figure.dpi for side in (wide, high)]
        shares = [max(1 - 2 * float(np.clip(_INSET * side, *_INSET_POINTS)) / side, 0.5) for side in points]
        return Affine2D().translate(-0.5, -0.5).scale(*shares).translate(0.5, 0.5) + cell


def norm_of(
    shown: npt.NDArray[np.float64],
    scale: Scale,
    gamma: float,
    *,
    signed: bool,
    low: float | None,
    high: float | None,
) -> Any:
    """How values become colors, from `low` to `high`.

    Args:
        shown: The values.
        scale: "linear", "sqrt", "power", or "log", from the smallest positive value on.
        gamma: The exponent of "power".
        signed: Whether values have signs: then 0 is in the middle of the colors.
        low: The value of the first color; default 0, or `-high` of signed values.
        high: The value of the last color; default the largest.

    Raises:
        InvalidInputError: If the scale is none, has no place for the values, or `low` is not below `high`.
    """
    check_choice("scale", scale, get_args(Scale))
    top = float(np.nanmax(np.abs(shown) if signed else shown)) or 1.0 if high is None else high
    bottom = (-top if signed else 0.0) if low is None else low
    if not bottom < top:
        raise InvalidInputError(f"vmin must be below vmax; got {bottom:g} and {top:g}")
    if scale == "linear":
        return TwoSlopeNorm(0.0, bottom, top) if signed and bottom < 0 < top else Normalize(bottom, top)
    if bottom < 0:
        raise InvalidInputError(f"scale={scale!r} has no place for negative values: use scale='linear'")
    if scale == "log":
        positive = shown[shown > 0]
        least = min(float(positive.min(initial=top)), top / 10)  # it has no place for 0
        return LogNorm(bottom or least, top)
    if scale == "power" and not (is_number(gamma) and gamma > 0):
        raise InvalidInputError(f"scale_gamma must be a number greater than 0; got {gamma!r}")
    return PowerNorm(0.5 if scale == "sqrt" else gamma, bottom, top)


def inks_on(colors: Any) -> npt.NDArray[np.str_]:
    """Black or white, whichever stands out more from each color (the contrast ratio of WCAG); the last axis is RGB."""
    channels = np.asarray(colors, dtype=float)[..., :3]
    linear = np.where(channels <= 0.03928, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)  # noqa: PLR2004  # WCAG's numbers
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    return np.where((luminance + 0.05) ** 2 > 1.05 * 0.05, "black", "white")


def is_number(value: object) -> bool:
    """Whether a value is a real number; a bool is none."""
    return isinstance(value, Real) and not isinstance(value, bool)
