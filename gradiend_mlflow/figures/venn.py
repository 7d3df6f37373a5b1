"""The regions of 2 to 6 sets as a Venn diagram."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import is_color_like
from matplotlib.figure import Figure

from gradiend_mlflow.checks import check_flags
from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.figures.drawing.canvas import FigureSize, OutputPath, Sheet, check_arguments
from gradiend_mlflow.figures.drawing.layout import lay_out, own_size, set_title, warn_of_space
from gradiend_mlflow.figures.given import NOT_CONVERGED, VENN_SIZES, check_labels, overlap_of
from gradiend_mlflow.figures.venns.content import CIRCLES_UP_TO, Content
from gradiend_mlflow.figures.venns.ink import COLORS, draw, reserve
from gradiend_mlflow.overlap.overlap import Overlap
from gradiend_mlflow.sets.parts import Part

_RANGES = {"alpha": (0.0, 1.0), "patch_linewidth": (0.0, 100.0)}
_FONT_SIZES = (1.0, 1000.0)  # points


def plot_venn(
    overlap: Overlap | Mapping[str, Any],
    ax: Axes | None = None,
    *,
    topk: float | None = None,
    part: Part | None = None,
    title: str | None = None,
    figsize: FigureSize = None,
    output_path: OutputPath = None,
    show: bool = False,
    proportional: bool | None = None,
    percentages: bool = False,
    colors: Sequence[Any] | None = None,
    alpha: float = 0.5,
    patch_linewidth: float = 1.0,
    circle_names_fontsize: float | None = None,
    region_counts_fontsize: float | None = None,
    converged: Mapping[str, bool | None] | None = None,
    label_mapping: Mapping[str, str] | None = None,
) -> Axes | Figure:
    r"""Draw how many weights 2 to 6 sets share: a number in each region of overlapping shapes.

    Two and three sets are circles. Each circle has the area of its set, and each two share the area of what their
    sets share. Where three circles cannot, they are as near to that as can be, and a line below says how far a region
    is off. Four and five sets are ellipses, and six are bands that cross: these have fixed sizes, in which every
    region has room.

    A number whose region is too small stands outside, with a line to the region. An empty region has no number, except
    for the region of all sets, and for one that circles cannot hide.

    Args:
        overlap: The overlap of 2 to 6 sets, or, as in gradiend, a mapping from label to model, checkpoint or set.
        ax: Where to draw; its box is not left. Default a new figure, which pyplot does not know.
        topk: Of a mapping: how many weights, or which fraction; default 1000, and sets as they are.
        part: Of a mapping: which importance ranks the weights; default "decoder-weight".
        title: A title above the axes.
        figsize: Of a new figure: "column" (3.3 inches wide), "text" (7 inches), or width and height in inches.
        output_path: Where to save the figure, as .png, .pdf or .svg; several paths save it several times.
        show: Whether to open a window.
        proportional: Whether the areas of circles are in proportion; default True for 2 and 3 sets. False makes all
            circles equal.
        percentages: Whether to write each region's share of all weights below its number.
        colors: One per set; default colors that the color-blind can tell apart.
        alpha: How opaque the shapes are, from 0 to 1.
        patch_linewidth: Of the outlines, in points.
        circle_names_fontsize: Of the sets' names, in points; default `font.size`, or less if they need it.
        region_counts_fontsize: Of the numbers; default the same.
        converged: Whether a label's run converged; those with False are marked with gradiend's dagger.
        label_mapping: Other names for some labels.

    Returns:
        `ax`, or the new figure. Names are wrapped, shortened together, or numbers with a key where they have to be.

    Raises:
        InvalidInputError: If there are fewer than 2 or more than 6 sets, or an option is not acceptable.

    Example:
        >>> from gradiend_mlflow import TopKSet, compute_overlap
        >>> sets = {name: TopKSet.from_indices([0, 1, i], space=9) for i, name in ((2, "a"), (3, "b"))}
        >>> figure = plot_venn(compute_overlap(sets), figsize="column")
        >>> sorted(text.get_text() for text in figure.axes[0].texts)
        ['1', '1', '2', 'a\n(3)', 'b\n(3)']
    """
    drawn: Overlap = overlap_of(overlap, topk, part)
    check_arguments(drawn, (Overlap,), title, ax=ax)
    n = len(drawn.labels)
    if n not in VENN_SIZES:
        raise InvalidInputError(
            f"a Venn diagram shows 2 to 6 sets; got {n}. Any number is shown by plot_upset() and plot_heatmap()"
        )
    sheet = Sheet.checked(ax, figsize=figsize, output_path=output_path, show=show)
    check_flags(percentages=percentages)
    _check_numbers(
        alpha=alpha,
        patch_linewidth=patch_linewidth,
        circle_names_fontsize=circle_names_fontsize,
        region_counts_fontsize=region_counts_fontsize,
    )
    if colors is not None and (isinstance(colors, str) or len(colors) < n or not all(map(is_color_like, colors))):
        raise InvalidInputError(f"colors must be a list of {n} colors of matplotlib, one per set; got {colors!r}")
    check_labels(drawn.labels, converged=converged, label_mapping=label_mapping)
    failed = {label for label, well in (converged or {}).items() if well is False}
    in_proportion = _checked_proportional(n, proportional)
    counts = {"".join("01"[x in members] for x in drawn.labels): size for members, size in drawn.regions.items()}
    content = Content.of(
        counts,
        [(label_mapping or {}).get(label, label) + NOT_CONVERGED * (label in failed) for label in drawn.labels],
        proportional=in_proportion,
        percentages=percentages,
        fontsizes=(circle_names_fontsize, region_counts_fontsize),
        said=f"{NOT_CONVERGED} did not converge" if failed else "",
        unit=drawn.unit,
    )
    figure = None
    if ax is None:
        figure = sheet.figure(lambda width: content.height(width, titled=bool(title)), usual=VENN_SIZES[n])
    axes = figure.add_subplot() if figure is not None else ax
    assert axes is not None  # noqa: S101
    _draw(content, axes, title, list(colors or COLORS)[:n], alpha=alpha, linewidth=patch_linewidth)
    if figure is None:
        return sheet.finished(axes)
    sheet.finished(figure)
    return figure


def _draw(
    content: Content, axes: Axes, title: str | None, colors: list[Any], *, alpha: float, linewidth: float
) -> None:
    reserve(axes)
    set_title(axes, title)
    lay_out(axes)
    width, height = (72 * own_size(axes)).tolist()
    diagram = content.diagram((width, height))
    axes.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    draw(axes, diagram, colors, alpha=alpha, linewidth=linewidth)
    if missing := content.missing(diagram, (width, height)):
        figure: Any = axes.get_figure(root=True)
        warn_of_space(missing, content.enough((width, height)) * figure.get_figwidth(), figure.get_figwidth())


def _check_numbers(**given: Any) -> None:
    for name, value in given.items():
        least, most = _RANGES.get(name, _FONT_SIZES)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not (number and least <= value <= most) and not (value is None and name not in _RANGES):
            raise InvalidInputError(f"{name} must be a number from {least:g} to {most:g}; got {value!r}")


def _checked_proportional(n: int, proportional: bool | None) -> bool:
    if proportional is None:
        return n <= CIRCLES_UP_TO
    check_flags(proportional=proportional)
    if proportional and n > CIRCLES_UP_TO:
        raise InvalidInputError(
            f"proportional=True is for 2 and 3 sets: the shapes of {n} have fixed sizes, so that every region has room"
        )
    return proportional
