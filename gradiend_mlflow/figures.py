"""Overlaps as pictures: every function draws on axes and returns them; none shows, saves or closes a figure."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.groups import complete_groups
from gradiend_mlflow.measures import SIGNED, Value, check_value
from gradiend_mlflow.overlap import Overlap
from gradiend_mlflow.seeds import SeedOverlap

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ANNOTATED_UP_TO = 25
_LABELLED_UP_TO = 80
# Width and height in inches at which the diagram of so many sets is readable.
VENN_SIZES = {2: (5.5, 4.2), 3: (5.5, 5.0), 4: (7.5, 6.0), 5: (8.0, 8.0), 6: (11.0, 10.0)}
_LETTERS_PER_CELL = 6
_TITLES = {
    "intersection": "shared weights",
    "intersection_frac": "shared weights / smaller set",
    "jaccard": "Jaccard index",
    "mass_overlap": "importance on shared weights",
    "cosine": "cosine of the weights, unsigned",
    "cosine_signed": "cosine of the weights",
    "spearman": "rank correlation of the weights, unsigned",
    "spearman_signed": "rank correlation of the weights",
    "rbo": "rank-biased overlap",
}


def heatmap_size(n: int, longest_label: int = 8, *, bracketed: bool = False) -> tuple[float, float]:
    """Width and height in inches at which a heatmap of `n` sets is readable, with brackets or without."""
    if bracketed:
        width, height = heatmap_size(n, longest_label)
        return width + 0.9, height + 0.9
    if n > _LABELLED_UP_TO:
        return 8.0, 7.0
    cell = 0.62 if n <= _ANNOTATED_UP_TO else 0.22
    side = max(2.2, cell * n) + 0.075 * min(longest_label, 40)
    return side + 1.4, side + 0.7


def plot_heatmap(
    overlap: Overlap | SeedOverlap,
    *,
    value: Value = "intersection_frac",
    groups: Mapping[str, Any] | None = None,
    ax: Axes | None = None,
    annot: bool | Literal["auto"] = "auto",
    cmap: str = "viridis",
    title: str | None = None,
) -> Axes:
    """Draw the pairwise overlap of any number of sets.

    Args:
        overlap: The overlap, of sets or of trainings with their seeds aggregated.
        value: "intersection" (a count) or another measure (shown as percentages up to 100).
        groups: A mapping from label to group or from group to labels. The runs of a group are put side by side, under
            a bracket with its name, in the order of the mapping; runs that it does not name come last, as "Other".
        ax: Where to draw; default a new pyplot figure of a fitting size.
        annot: Whether to write the values into the cells; "auto" does up to 25 sets.
        cmap: A matplotlib colormap.
        title: A title above the axes.

    Returns:
        The axes.

    Raises:
        InvalidInputError: If `value` is not a measure, or `groups` names what is no label or a label twice.
    """
    import seaborn as sns

    _check_overlap(overlap, (Overlap, SeedOverlap))
    check_value(value)
    brackets = None if groups is None else _brackets(groups, overlap.labels)
    order = list(overlap.labels) if brackets is None else [label for labels in brackets.values() for label in labels]
    n = len(order)
    axes = _axes(ax, heatmap_size(n, max(map(len, order)), bracketed=brackets is not None))
    counts = value == "intersection"
    matrix = overlap.to_frame(value).loc[order, order].to_numpy() * (1 if counts else 100)
    with_labels = n <= _LABELLED_UP_TO
    sns.heatmap(
        matrix,
        ax=axes,
        annot=n <= _ANNOTATED_UP_TO if annot == "auto" else annot,
        fmt=".0f",
        annot_kws={"fontsize": 9 if n <= 12 else 7},  # noqa: PLR2004
        cmap=cmap,
        vmin=-100 if value in SIGNED else 0,
        vmax=None if counts else 100,
        square=True,
        linewidths=0.5 if n <= _ANNOTATED_UP_TO else 0,
        xticklabels=order if with_labels else False,
        yticklabels=order if with_labels else False,
        cbar_kws={"label": _TITLES[value] + ("" if counts else " (%)"), "shrink": 0.8},
    )
    axes.tick_params(axis="both", length=0)
    axes.collections[0].set_rasterized(n > _LABELLED_UP_TO)  # else a PDF of 200 runs draws 40,000 squares
    for label in axes.get_xticklabels():
        label.set(rotation=45, ha="right", rotation_mode="anchor")
    for label in axes.get_yticklabels():
        label.set(rotation=0)
    if not with_labels:
        axes.set(xlabel=f"{n} runs", ylabel=f"{n} runs")
    room = 0 if brackets is None else _draw_brackets(axes, brackets)
    if title:
        axes.set_title(title, pad=6 + room)
    return axes


def _brackets(groups: Mapping[str, Any], labels: tuple[str, ...]) -> dict[str, list[str]]:
    """The labels of each group, groups and labels in the order in which they are drawn."""
    by_group: dict[str, list[str]] = {}
    for label, group in complete_groups(groups, labels).items():
        by_group.setdefault(group, []).append(label)
    return by_group


def _draw_brackets(axes: Axes, brackets: Mapping[str, list[str]]) -> float:
    """A line with the group's name above and right of its runs, and gaps between the groups.

    Returns:
        The room that the names above take, in points.
    """
    # A name that is wider than its runs would run into the next.
    slanted = any(len(group) > _LETTERS_PER_CELL * len(labels) for group, labels in brackets.items())
    above: dict[str, Any] = {"rotation": 45, "ha": "left", "rotation_mode": "anchor"} if slanted else {"ha": "center"}
    ends = np.cumsum([len(labels) for labels in brackets.values()])
    outside: dict[str, Any] = {"color": "gray", "linewidth": 2.5, "clip_on": False, "solid_capstyle": "butt"}
    for group, start, end in zip(brackets, [0, *ends[:-1]], ends, strict=True):
        span, middle = [start + 0.1, end - 0.1], (start + end) / 2
        # The first transform takes data along the axis, and a share of the axes across it.
        axes.plot(span, [1.02, 1.02], transform=axes.get_xaxis_transform(), **outside)
        axes.plot([1.02, 1.02], span, transform=axes.get_yaxis_transform(), **outside)
        axes.text(middle, 1.035, group, transform=axes.get_xaxis_transform(), va="bottom", **above)
        axes.text(1.035, middle, group, transform=axes.get_yaxis_transform(), ha="left", va="center")
    for end in ends[:-1]:
        axes.axvline(end, color="white", linewidth=2.5)
        axes.axhline(end, color="white", linewidth=2.5)
    return 30 + (4.5 * max(map(len, brackets)) if slanted else 0)


def plot_venn(overlap: Overlap, *, ax: Axes | None = None, title: str | None = None) -> Axes:
    """Draw which weights 2 to 6 sets share: the number in every region, in shapes of fixed size.

    The shapes are not proportional to the numbers, so every region has room whatever the numbers are. Of 4 to 6 sets
    empty regions have no number; 6 sets are triangles, and their 63 regions need a large figure.

    Args:
        overlap: The overlap of 2 to 6 sets.
        ax: Where to draw; default a new pyplot figure.
        title: A title above the axes.

    Returns:
        The axes.

    Raises:
        InvalidInputError: If there are fewer than 2 or more than 6 sets.
    """
    _check_overlap(overlap, (Overlap,))
    n = len(overlap.labels)
    if n not in VENN_SIZES:
        raise InvalidInputError(
            f"a Venn diagram shows 2 to 6 sets; got {n}. The heatmap shows any number: plot_heatmap()"
        )
    axes = _axes(ax, VENN_SIZES[n])
    sizes = _region_sizes(overlap)
    labels = [f"{label}\n({size:,})" for label, size in zip(overlap.labels, overlap.sizes, strict=True)]
    if n <= 3:  # noqa: PLR2004
        _venn_of_circles(axes, sizes, labels)
    else:
        _venn_of_shapes(axes, sizes, labels)
    if title:
        axes.set_title(title)
    return axes


def _region_sizes(overlap: Overlap) -> dict[str, int]:
    """Sizes of all regions by code: "101" is in the first and third set alone."""
    n = len(overlap.labels)
    sizes = {format(code, f"0{n}b"): 0 for code in range(1, 2**n)}
    for members, size in overlap.regions.items():
        sizes["".join("1" if label in members else "0" for label in overlap.labels)] = size
    return sizes


def _venn_of_circles(axes: Axes, sizes: dict[str, int], labels: list[str]) -> None:
    from matplotlib_venn import venn2, venn3
    from matplotlib_venn.layout.venn2 import DefaultLayoutAlgorithm as Layout2
    from matplotlib_venn.layout.venn3 import DefaultLayoutAlgorithm as Layout3

    draw, layout = (venn2, Layout2) if len(labels) == 2 else (venn3, Layout3)  # noqa: PLR2004
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about empty regions: their zeros are shown
        draw(
            subsets=sizes,
            set_labels=labels,
            set_colors=_colors(len(labels)),
            ax=axes,
            subset_label_formatter=lambda size: f"{size:,}",
            layout_algorithm=layout(fixed_subset_sizes=(1,) * len(sizes)),
        )


def _venn_of_shapes(axes: Axes, sizes: dict[str, int], labels: list[str]) -> None:
    from venn import draw_venn, generate_colors

    draw_venn(
        petal_labels={code: f"{size:,}" if size else "" for code, size in sizes.items()},
        dataset_labels=[label.replace("\n", " ") for label in labels],
        hint_hidden=False,
        colors=generate_colors(cmap=_colors(len(labels)), n_colors=len(labels), alpha=0.35),
        figsize=None,
        fontsize=9 if len(labels) < 6 else 7,  # noqa: PLR2004
        legend_loc=None,
        ax=axes,
    )
    # The package draws every number of shapes into the same frame; four ellipses fill the upper part of it.
    drawn = axes.dataLim.padded(0.02)
    axes.set(xlim=drawn.intervalx, ylim=drawn.intervaly)
    axes.legend(
        axes.patches,
        [label.replace("\n", " ") for label in labels],
        loc="upper center",
        bbox_to_anchor=(0.5, 0.0),
        ncols=2 if len(labels) == 4 else 3,  # noqa: PLR2004
        frameon=False,
        fontsize=9 if len(labels) < 6 else 13,  # noqa: PLR2004
    )


def _colors(n: int) -> list[Any]:
    import matplotlib as mpl

    return list(mpl.colormaps["tab10"](np.arange(n)))


def _check_overlap(overlap: object, kinds: tuple[type, ...]) -> None:
    if not isinstance(overlap, kinds):
        raise InvalidInputError(
            f"expected an Overlap (of compute_overlap(), or comparison.overlap); got {type(overlap).__name__}"
        )


def _axes(ax: Axes | None, size: tuple[float, float]) -> Axes:
    if ax is not None:
        return ax
    from matplotlib import pyplot as plt

    return plt.subplots(figsize=size, layout="constrained")[1]
