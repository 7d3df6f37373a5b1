"""The overlap of every pair of runs as a heatmap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast, overload

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gradiend_mlflow.checks import check_choice, check_flags
from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.figures.drawing.arrangement import Order, arranged
from gradiend_mlflow.figures.drawing.canvas import FigureSize, OutputPath, Sheet, check_arguments
from gradiend_mlflow.figures.drawing.cells import Cells, DispersionDisplay, Scale, cells_of, draw_cells, is_number
from gradiend_mlflow.figures.drawing.fitting import planned, usual_width, warn_of_missing
from gradiend_mlflow.figures.drawing.layout import EDGE, Margins, most_of, place, prepared_room, write_title
from gradiend_mlflow.figures.drawing.margins import (
    bar_texts,
    draw_brackets,
    draw_color_bar,
    draw_side_bar,
    draw_tree,
    name_runs,
    side_bar_of,
)
from gradiend_mlflow.figures.drawing.plan import LABELLED_UP_TO, Content, Fonts, Plan
from gradiend_mlflow.figures.given import NOT_CONVERGED, check_labels, overlap_of
from gradiend_mlflow.overlap.measures import Value, check_value, title_of
from gradiend_mlflow.overlap.overlap import Overlap
from gradiend_mlflow.overlap.seeds import SeedOverlap
from gradiend_mlflow.overlap.statistics.difference import OverlapDifference
from gradiend_mlflow.sets.parts import Part

ANNOTATED_UP_TO = 40  # runs, as in gradiend


@overload
def plot_heatmap(overlap: Any, ax: None = None, **options: Any) -> Figure: ...
@overload
def plot_heatmap(overlap: Any, ax: Axes, **options: Any) -> Axes: ...
def plot_heatmap(  # type: ignore[misc]  # options are told to people, and checked when they come
    overlap: Any,
    ax: Axes | None = None,
    *,
    topk: float | None = None,
    part: Part | None = None,
    value: Value = "intersection_frac",
    relative: bool = False,
    order: Order = "input",
    cluster: bool = False,
    groups: Mapping[str, Any] | None = None,
    pretty_groups: Mapping[str, Any] | None = None,
    annot: bool | Literal["auto"] = "auto",
    annot_fmt: str | None = None,
    percentages: bool = True,
    scale: Scale = "linear",
    scale_gamma: float = 0.5,
    vmin: float | None = None,
    vmax: float | None = None,
    cmap: Any = None,
    row_metric: Mapping[str, float] | None = None,
    row_metric_label: str = "corr",
    row_metric_cmap: Any = "magma",
    row_metric_vmin: float | None = None,
    row_metric_vmax: float | None = None,
    converged: Mapping[str, bool | None] | None = None,
    label_mapping: Mapping[str, str] | None = None,
    row_label_mapping: Mapping[str, str] | None = None,
    column_label_mapping: Mapping[str, str] | None = None,
    dispersion_display: DispersionDisplay = "none",
    seed_annotation: bool = False,
    annot_fontsize: float | None = None,
    tick_label_fontsize: float | None = None,
    axis_label_fontsize: float | None = None,
    group_label_fontsize: float | None = None,
    group_label_rotation_top: float | None = None,
    group_label_rotation_right: float = 0.0,
    cbar_label: str | None = None,
    cbar_fontsize: float | None = None,
    cbar_pad: float | None = None,
    cbar_y_pad: float = 0.0,
    cbar_shrink: float = 1.0,
    title: str | bool | None = None,
    figsize: FigureSize = None,
    output_path: OutputPath = None,
    show: bool = False,
) -> Figure | Axes:
    """Draw the pairwise overlap of any number of sets.

    Font sizes follow matplotlib's settings, and become smaller, down to 5 points, where space is short; sizes that are
    given here stay. Names that have no room in one line are wrapped, shortened so that they still differ, or numbered
    with a key; of more than 60 runs none is named. What has no room is left out, with a warning that says which width
    would do.

    Args:
        overlap: The overlap, of sets or of trainings with their seeds aggregated; what `difference` returned, whose
            measure is drawn around 0, up to the largest change; or a mapping from label to model, directory of a
            checkpoint or `TopKSet`, as gradiend's figures take.
        ax: Where to draw; default a new figure that is large enough and unknown to pyplot. All that belongs to the
            heatmap stays within the axes' part of the figure, whose size is left alone.
        topk: Of a mapping: how many weights, or which fraction; default 1000, and sets as they are.
        part: Of a mapping: which importance ranks the weights; default "decoder-weight".
        value: "intersection" (a count) or another measure. Where seeds are aggregated, the diagonal has in a frame how
            far the seeds of one training agree, `SeedOverlap.ceiling_of`; a dash for a training of one seed.
        relative: Show the overlap of trainings relative to that, as `SeedOverlap.relative`. The order of clusters
            stays that of the overlap.
        order: "input", "name", "cluster" (average linkage, agreeing runs side by side), or all labels in their order.
        cluster: Order by clusters and draw their dendrogram above; excludes another `order`, and `groups`.
        groups: A mapping from label to group or from group to labels. The runs of a group are put side by side, under
            a bracket with its name, in the order of the mapping; runs that it does not name come last, as "Other".
        pretty_groups: gradiend's name for `groups`.
        annot: Whether to write the values into the cells; "auto" does up to 40 sets, if they have room.
        annot_fmt: The format of these values, such as ".2f".
        percentages: Show measures as percentages up to 100 instead of numbers up to 1; counts stay counts.
        scale: How values become colors: "linear", "sqrt", "power", or "log", from the smallest positive value on, with
            0 in gray.
        scale_gamma: The exponent of the scale "power"; below 1 small values differ more.
        vmin: The value of the first color, as the measure has it (up to 1, not 100); default 0, or `-vmax` if the
            measure has signs.
        vmax: The value of the last color; default 1, or the largest count.
        cmap: A matplotlib colormap; default "viridis", or "RdBu_r" around 0 if the measure has signs.
        row_metric: A number per label, such as each run's correlation, as a column beside the cells.
        row_metric_label: What these numbers are.
        row_metric_cmap: Their colormap.
        row_metric_vmin: The number of its first color; default 0 if all are between 0 and 1, else the smallest.
        row_metric_vmax: The number of its last color; default 1, or the largest.
        converged: Whether a label's run converged; those with False are marked with gradiend's dagger.
        label_mapping: What labels are called in the figure, by label.
        row_label_mapping: The same for the rows alone.
        column_label_mapping: The same for the columns alone.
        dispersion_display: How the spread of aggregated seeds is shown: "none", "stacked" below the values, or
            "corner_glyph", a circle that is the larger the more they differ.
        seed_annotation: Whether to say below over how many pairs of seeds each value is taken.
        annot_fontsize: The font size of the values.
        tick_label_fontsize: That of the runs' names.
        axis_label_fontsize: That of what is said below.
        group_label_fontsize: That of the groups' names.
        group_label_rotation_top: How many degrees the groups' names above are turned from upright; default level, and
            upright where that has no room.
        group_label_rotation_right: How many degrees those on the right are turned.
        cbar_label: What the colors show; default the measure.
        cbar_fontsize: The font size beside the bar of colors.
        cbar_pad: The space left of it, as a share of the cells' width.
        cbar_y_pad: How far it is moved up, as a share of the cells' height.
        cbar_shrink: Its length, as a share of the cells' height.
        title: A title above; True for the measure's name.
        figsize: The size of a new figure: "column" (3.3 inches wide) or "text" (7 inches) with the height that suits,
            or width and height in inches.
        output_path: Where to save the figure: a path, or several, that end with .png, .pdf or .svg.
        show: Whether to open a window.

    Returns:
        The axes given, or the new figure, which a notebook shows.

    Raises:
        InvalidInputError: If an argument is not acceptable; the message says what came and what was wanted.

    Example:
        >>> from gradiend_mlflow import TopKSet, compute_overlap
        >>> sets = {name: TopKSet.from_indices([0, 1, i], space=9) for i, name in ((2, "a"), (3, "b"))}
        >>> figure = plot_heatmap(compute_overlap(sets), figsize="column")
        >>> [cell.get_text() for cell in figure.axes[0].texts]
        ['100', '67', '67', '100']
    """
    sheet = Sheet.checked(ax, figsize=figsize, output_path=output_path, show=show)
    overlap = overlap_of(overlap, topk, part)
    check_value(value)
    check_arguments(
        overlap, (Overlap, SeedOverlap, OverlapDifference), None if title is True else title or None, ax=ax
    )
    if isinstance(overlap, OverlapDifference):
        value = _of_difference(overlap, relative=relative, cluster=cluster or order == "cluster")
    title = _title_of(overlap, value) if title is True else title or None
    if not isinstance(annot, bool):
        check_choice("annot", annot, ("auto",))
    if groups is not None and pretty_groups is not None:
        raise InvalidInputError("groups and pretty_groups are two names of one argument: give one of them")
    labels, n = overlap.labels, len(overlap.labels)
    check_labels(labels, row_metric=row_metric, converged=converged, label_mapping=label_mapping,
                  row_label_mapping=row_label_mapping, column_label_mapping=column_label_mapping)  # fmt: skip
    arrangement = arranged(
        labels, np.asarray(overlap.values(value), dtype=float), order, pretty_groups if groups is None else groups,
        cluster=cluster,
    )  # fmt: skip
    check_flags(relative=relative)
    rows, percent = arrangement.rows, percentages and (relative or value != "intersection")
    cells = cells_of(
        overlap, rows, value, relative=relative, percent=percent, fmt=annot_fmt, scale=scale, scale_gamma=scale_gamma,
        vmin=vmin, vmax=vmax, cmap=cmap, dispersion_display=dispersion_display,
    )  # fmt: skip
    ordered = [labels[row] for row in rows]
    side = None
    if row_metric is not None:
        numbers = np.array([_number(row_metric.get(label), label) for label in ordered])
        side = side_bar_of(numbers, row_metric_cmap, row_metric_vmin, row_metric_vmax)
    marks = tuple(NOT_CONVERGED * ((converged or {}).get(label) is False) for label in ordered)
    named = label_mapping or {}
    content = Content(
        rows=tuple(str({**named, **(row_label_mapping or {})}.get(label, label)) for label in ordered),
        columns=tuple(str({**named, **(column_label_mapping or {})}.get(label, label)) for label in ordered),
        marks=marks,
        numbers=tuple(set(cells.texts.ravel())) if annot is True or (annot and n <= ANNOTATED_UP_TO) else (),
        groups=arrangement.brackets,
        tree=arrangement.tree is not None,
        side=None if side is None else side.texts,
        side_title=row_metric_label,
        side_range="" if side is None else side.range,
        title=title or "",
        bar_title=_title_of(overlap, value) + ", relative to seeds" * relative + " (%)" * percent
        if cbar_label is None
        else cbar_label,
        ticks=bar_texts(cells.norm),
        notes=_notes(overlap, cells, sum(map(bool, marks)), relative=relative, seeds=seed_annotation),
        group_angle=None if group_label_rotation_top is None else 90.0 + group_label_rotation_top,
        beside_angle=group_label_rotation_right,
        bar_gap=cbar_pad,
        bar_length=cbar_shrink,
    )
    fonts = Fonts.of(annot=annot_fontsize, tick=tick_label_fontsize, axis=axis_label_fontsize,
                   group=group_label_fontsize, cbar=cbar_fontsize)  # fmt: skip
    plans: dict[float, Plan] = {}

    def height(width: float) -> float:
        plans[width] = planned(content, fonts, width - 2 * EDGE)
        return plans[width].height + 2 * EDGE

    if ax is None:
        figure = sheet.figure(height, usual=usual_width(content, fonts), layout="none")
        axes = figure.add_subplot()
    else:
        axes = ax
    room = prepared_room(axes)
    plan = next(iter(plans.values()), None) or planned(content, fonts, room.width, room.height, most_of(axes))
    mesh = draw_cells(axes, cells, plan.numbers)
    name_runs(axes, plan)
    if side is not None:
        draw_side_bar(axes, side, plan)
    if arrangement.brackets is not None:
        draw_brackets(axes, arrangement.brackets, plan, group_label_rotation_right)
    elif arrangement.tree is not None:
        draw_tree(axes, arrangement.tree)
    draw_color_bar(axes, plan, mesh, empty=cells.empty, length=cbar_shrink, shift=cbar_y_pad)
    place(axes, Margins(plan.left, plan.right, plan.top, plan.bottom))
    write_title(axes, plan.title, above=plan.title_at, fontsize=plan.fonts.title)
    warn_of_missing(plan, content, fonts, room.size, numbers=annot is True)
    return sheet.finished(axes if ax is not None else figure)


def _of_difference(difference: OverlapDifference, *, relative: bool, cluster: bool) -> Value:
    """The measure of a difference, if it can be drawn so."""
    if relative or cluster:
        raise InvalidInputError(
            "a difference is drawn in the order of its labels and as it is: leave out relative=True, cluster=True and "
            "order='cluster'"
        )
    return cast("Value", difference.value)


def _title_of(overlap: Overlap | SeedOverlap | OverlapDifference, value: Value) -> str:
    if isinstance(overlap, OverlapDifference):
        first, second = overlap.names
        return f"{title_of(value, overlap.unit)}, {first} minus {second}"
    return title_of(value, overlap.unit)


def _number(value: Any, label: str) -> float:
    if value is None:
        return float("nan")
    if not is_number(value):
        raise InvalidInputError(f"row_metric must be numbers; got {value!r} for {label!r}")
    return float(value)


def _notes(overlap: Any, cells: Cells, failed: int, *, relative: bool, seeds: bool) -> tuple[str, ...]:
    """What is said below the cells."""
    check_flags(seed_annotation=seeds)
    n, notes = len(overlap.labels), []
    if n > LABELLED_UP_TO:
        notes = [f"{n} runs" + (f", {failed} of which did not converge" if failed else "")]
    elif failed:
        notes = [f"{NOT_CONVERGED} did not converge"]
    if relative:
        notes.append("relative: divided by how far seeds of one training agree")
    elif cells.ceilings.any():
        notes.append("diagonal: how far seeds of one training agree")
    if cells.spread:
        notes.append(cells.spread)
    if seeds and isinstance(overlap, SeedOverlap):
        pairs = overlap.n[~np.eye(n, dtype=bool)] if n > 1 else overlap.n
        low, high = int(pairs.min()), int(pairs.max())
        notes.append(f"n = {low} pairs of seeds" if low == high else f"n = {low} to {high} pairs of seeds")
    elif seeds:
        raise InvalidInputError(
            "seed_annotation says how many seeds are aggregated, and none are: pass seed_aggregate"
        )
    return tuple(notes)
