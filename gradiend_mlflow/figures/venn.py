"""The regions of 2 to 6 sets as a Venn diagram."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.figures.canvas import axes_or_new, check_overlap, check_place, colors
from gradiend_mlflow.figures.layout import lay_out, own_size, set_title, slot_size
from gradiend_mlflow.figures.text import fitting, spell_out, wrapped
from gradiend_mlflow.overlap.overlap import Overlap

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Width and height in inches at which the diagram of so many sets is readable.
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
    r"""Draw which weights 2 to 6 sets share: the number in every region, in shapes of fixed size.

    The shapes are not proportional to the numbers, so every region has room whatever the numbers are. Of 4 to 6 sets
    empty regions have no number; 6 sets are triangles, and their 63 regions need a large figure. In smaller axes
    numbers are smaller, and names lie below the shapes.

    Args:
        overlap: The overlap of 2 to 6 sets.
        ax: Where to draw; default the axes of a new figure, which pyplot does not know.
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
    check_overlap(overlap, (Overlap,))
    check_place(title, ax=ax)
    n = len(overlap.labels)
    if n not in VENN_SIZES:
        raise InvalidInputError(
            f"a Venn diagram shows 2 to 6 sets; got {n}. Any number is shown by plot_upset() and plot_heatmap()"
        )
    axes = axes_or_new(ax, VENN_SIZES[n])
    sizes = _region_sizes(overlap)
    names, held = fitting(overlap.labels), [f"({size:,})" for size in overlap.sizes]
    if n <= _CIRCLES_UP_TO:
        # The size on a line of its own.
        labels = [f"{wrapped(name, _LETTERS_PER_LINE)}\n{size}" for name, size in zip(names, held, strict=True)]
        _draw_circles(axes, sizes, labels)
    else:
        width = VENN_SIZES[n][0] if ax is None else slot_size(axes)[0]
        _draw_shapes(axes, sizes, [f"{name} {size}" for name, size in zip(names, held, strict=True)], width)
    if title:
        # Of three circles two have their names above, at both sides of the title.
        lines = max(text.get_text().count("\n") + 1 for text in axes.texts) if n == _CIRCLES_UP_TO else 0
        set_title(axes, title, above=6 + 11 * lines)
    spell_out(axes)
    if ax is not None:
        lay_out(axes)
        _keep_legible(axes, n)
    return axes


def _keep_legible(axes: Axes, n: int) -> None:
    """Numbers as small as the axes make their regions, which is where they would lie over each other."""
    width, height = (_SHARE_OF_SHAPES * side for side in VENN_SIZES[n])
    scale = min(own_size(axes)[0] / width, own_size(axes)[1] / height, 1.0)
    for text in axes.texts if n > _CIRCLES_UP_TO else ():
        text.set_fontsize(max(scale * _FONT_SIZES[n], _LEAST_SIZE))


def _region_sizes(overlap: Overlap) -> dict[str, int]:
    """Sizes of all regions by code: "101" is in the first and third set alone."""
    n = len(overlap.labels)
    sizes = {format(code, f"0{n}b"): 0 for code in range(1, 2**n)}
    for members, size in overlap.regions.items():
        sizes["".join("1" if label in members else "0" for label in overlap.labels)] = size
    return sizes


def _draw_circles(axes: Axes, sizes: dict[str, int], names: list[str]) -> None:
    from matplotlib_venn import venn2, venn3
    from matplotlib_venn.layout.venn2 import DefaultLayoutAlgorithm as Layout2
    from matplotlib_venn.layout.venn3 import DefaultLayoutAlgorithm as Layout3

    draw, layout = (venn2, Layout2) if len(names) == 2 else (venn3, Layout3)  # noqa: PLR2004
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about empty regions: their zeros are shown
        drawn = draw(
            subsets=sizes,
            set_labels=names,
            set_colors=colors(len(names)),
            ax=axes,
            subset_label_formatter=lambda size: f"{size:,}",
            layout_algorithm=layout(fixed_subset_sizes=(1,) * len(sizes)),
        )
    # The package centers labels at the circles, where long ones of two circles meet: let them grow outwards.
    for text, side in zip(drawn.set_labels, ("right", "left"), strict=False):
        text.set(ha=side, multialignment="center", clip_on=False)


def _draw_shapes(axes: Axes, sizes: dict[str, int], names: list[str], width: float) -> None:
    """Ellipses or triangles, and a legend for a figure of so many inches."""
    import matplotlib as mpl
    from venn import draw_venn, generate_colors

    n = len(names)
    draw_venn(
        petal_labels={code: f"{size:,}" if size else "" for code, size in sizes.items()},
        dataset_labels=names,
        hint_hidden=False,
        colors=generate_colors(cmap=colors(n), n_colors=n, alpha=0.35),
        figsize=None,
        fontsize=_FONT_SIZES[n],
        legend_loc=None,
        ax=axes,
    )
    for text in axes.texts:
        text.set_color(mpl.rcParams["text.color"])  # black is the package's, in any style
    # The package draws every number of shapes into the same frame; four ellipses fill the upper part of it.
    drawn = axes.dataLim.padded(0.02)
    axes.set(xlim=drawn.intervalx, ylim=drawn.intervaly)
    size = (9 if n < 6 else 11) * min(max(width / VENN_SIZES[n][0], 0.6), 1.0)  # noqa: PLR2004
    # Long names go beside the shapes, where they do not make the legend wider than the figure, if there is room.
    beside = max(map(len, names)) > _LETTERS_PER_LINE and width >= VENN_SIZES[n][0]
    place: dict[str, Any] = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)}
    lines, columns = [_in_lines(name, 24) for name in names], 1
    if not beside:
        place = {"loc": "upper center", "bbox_to_anchor": (0.5, 0.0)}
        letters = int(72 * width / (_WIDTH_OF_LETTER * size))  # in a line as wide as the figure
        longest = max(map(len, names)) + _LETTERS_OF_HANDLE
        columns = min(max(letters // longest, 1), _LEGEND_COLUMNS[n])
        lines = [_in_lines(name, max(letters - _LETTERS_OF_HANDLE, 12)) for name in names]
    axes.legend(axes.patches, lines, ncols=columns, frameon=False, fontsize=size, **place)


def _in_lines(name: str, width: int) -> str:
    """A name and its size, whose digits stay together."""
    label, _, size = name.rpartition(" ")
    written = wrapped(label, width)
    fits = len(written.split("\n")[-1]) + len(size) < width
    return written + (" " if fits else "\n") + size
