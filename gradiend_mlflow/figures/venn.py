"""The regions of 2 to 6 sets as a Venn diagram."""

from __future__ import annotations

import warnings
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes

from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.figures.drawing.canvas import check_arguments, colors, new_figure
from gradiend_mlflow.figures.drawing.layout import cell_size, lay_out, own_size, set_title
from gradiend_mlflow.figures.drawing.text import single_line, wrapped
from gradiend_mlflow.overlap.overlap import Overlap

# By the number of sets: the width and height in inches at which their diagram is readable.
VENN_SIZES = {2: (5.5, 4.2), 3: (5.5, 5.0), 4: (7.5, 6.0), 5: (8.0, 8.0), 6: (13.0, 11.0)}
_CIRCLES_UP_TO = 3
_LETTERS_PER_LINE = 20
_LEGEND_COLUMNS = {4: 2, 5: 3, 6: 3}
_FONT_SIZES = {4: 9.0, 5: 9.0, 6: 6.5}
_LEAST_SIZE = 3.5  # points
_SHARE_OF_SHAPES = 0.75  # of a figure, beside its legend
_WIDTH_OF_LETTER = 0.6  # of the font's size
_LETTERS_OF_HANDLE = 7  # and of the gap between columns


def plot_venn(overlap: Overlap, ax: Axes | None = None, *, title: str | None = None) -> Axes:
    r"""Draw how many weights 2 to 6 sets share: a number in each region, in shapes of fixed size.

    The shapes are not proportional to the numbers, so that each region has space for its number. Empty regions of 4
    to 6 sets have none. 6 sets are triangles, whose 63 regions need a large figure. In smaller axes numbers are
    smaller, and names stand below the shapes.

    Args:
        overlap: The overlap of 2 to 6 sets.
        ax: Where to draw; default the axes of a new figure, which is unknown to pyplot.
        title: A title above the axes.

    Returns:
        The axes. Long labels are wrapped, and shortened beyond 40 letters.

    Raises:
        InvalidInputError: If there are fewer than 2 or more than 6 sets.

    Example:
        >>> from gradiend_mlflow import TopKSet, compute_overlap
        >>> sets = {name: TopKSet.from_indices([0, 1, i], space=9) for i, name in ((2, "a"), (3, "b"))}
        >>> sorted(text.get_text() for text in plot_venn(compute_overlap(sets)).texts)
        ['1', '1', '2', 'a\n(3)', 'b\n(3)']
    """
    check_arguments(overlap, (Overlap,), title, ax=ax)
    n = len(overlap.labels)
    if n not in VENN_SIZES:
        raise InvalidInputError(
            f"a Venn diagram shows 2 to 6 sets; got {n}. Any number is shown by plot_upset() and plot_heatmap()"
        )
    # By code: "101" is the region in the first and third set alone.
    regions = {
        "".join("01"[label in members] for label in overlap.labels): size for members, size in overlap.regions.items()
    }
    names, above = single_line(overlap.labels), 6
    axes = new_figure(VENN_SIZES[n]).add_subplot() if ax is None else ax
    if n <= _CIRCLES_UP_TO:
        labels = [wrapped(name, _LETTERS_PER_LINE) for name in names]
        _draw_circles(axes, regions, [f"{x}\n({size:,})" for x, size in zip(labels, overlap.sizes, strict=True)])
        if n == _CIRCLES_UP_TO:  # two of them have their names above, on both sides of the title
            above += 11 * max(text.get_text().count("\n") + 1 for text in axes.texts)
    else:
        width = VENN_SIZES[n][0] if ax is None else cell_size(axes)[0]
        _draw_shapes(axes, regions, [f"{x} ({size:,})" for x, size in zip(names, overlap.sizes, strict=True)], width)
    set_title(axes, title, above=above)
    if ax is not None:
        lay_out(axes)
    if ax is not None and n > _CIRCLES_UP_TO:
        # Numbers as small as the axes make their regions, or they would overlap.
        scale = min((own_size(axes) / (_SHARE_OF_SHAPES * np.array(VENN_SIZES[n]))).min(), 1.0)
        for text in axes.texts:
            text.set_fontsize(max(scale * _FONT_SIZES[n], _LEAST_SIZE))
    return axes


def _draw_circles(axes: Axes, regions: dict[str, int], names: list[str]) -> None:
    from matplotlib_venn import venn2, venn3
    from matplotlib_venn.layout.venn2 import DefaultLayoutAlgorithm as Layout2
    from matplotlib_venn.layout.venn3 import DefaultLayoutAlgorithm as Layout3

    draw, layout = (venn2, Layout2) if len(names) == 2 else (venn3, Layout3)  # noqa: PLR2004
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about empty regions, whose zeros are shown
        drawn = draw(
            subsets=regions,
            set_labels=names,
            set_colors=colors(len(names)),
            ax=axes,
            subset_label_formatter=lambda size: f"{size:,}",
            layout_algorithm=layout(fixed_subset_sizes=(1,) * (2 ** len(names) - 1)),
        )
    # The package centers labels on the circles, where long ones of two circles meet: let them grow outwards.
    for text, side in zip(drawn.set_labels, ("right", "left"), strict=False):
        text.set(ha=side, multialignment="center", clip_on=False)


def _draw_shapes(axes: Axes, regions: dict[str, int], names: list[str], width: float) -> None:
    """Draw ellipses or triangles, and a legend for a part of a figure that is `width` inches wide."""
    from venn import draw_venn, generate_colors

    n = len(names)
    draw_venn(
        petal_labels={code: f"{size:,}" for code, size in regions.items()},
        dataset_labels=names,
        hint_hidden=False,
        colors=generate_colors(cmap=colors(n), n_colors=n, alpha=0.35),
        figsize=None,
        fontsize=_FONT_SIZES[n],
        legend_loc=None,
        ax=axes,
    )
    for text in axes.texts:
        text.set_color(mpl.rcParams["text.color"])  # the package's is black in any style
    # The package draws any number of shapes into the same frame; four ellipses fill the upper part of it.
    drawn = axes.dataLim.padded(0.02)
    axes.set(xlim=drawn.intervalx, ylim=drawn.intervaly)
    size = (9 if n < 6 else 11) * min(max(width / VENN_SIZES[n][0], 0.6), 1.0)  # noqa: PLR2004
    longest = max(map(len, names))
    place: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, 0.0)}
    letters = int(72 * width / (_WIDTH_OF_LETTER * size)) - _LETTERS_OF_HANDLE  # in a line as wide as the figure
    columns = min(max((letters + _LETTERS_OF_HANDLE) // (longest + _LETTERS_OF_HANDLE), 1), _LEGEND_COLUMNS[n])
    if longest > _LETTERS_PER_LINE and width >= VENN_SIZES[n][0]:
        # Below the shapes such a legend would be wider than the figure.
        place, letters, columns = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}, 24, 1
    lines = [wrapped(name, max(letters, 12)) for name in names]
    axes.legend(axes.patches, lines, ncols=columns, frameon=False, fontsize=size, **place)
