"""Where in the model the weights of top-k sets lie: by layer and by component."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gradiend_mlflow.figures.drawing.canvas import check_arguments, new_figure
from gradiend_mlflow.figures.drawing.layout import lay_out_whole
from gradiend_mlflow.figures.drawing.text import single_line
from gradiend_mlflow.overlap.overlap import Overlap
from gradiend_mlflow.sets.anatomy.naming import in_model_order, namers
from gradiend_mlflow.sets.picture import SHARE_TITLE, label_cells, write_share
from gradiend_mlflow.wording import counted

_ANNOTATED_UP_TO = 25
_LABELLED_UP_TO = 80
SHARED_BY_TWO, SHARED_BY_ALL = "in ≥ 2 runs", "in all runs"


def layer_shares(overlap: Overlap, by: str = "layer") -> pd.DataFrame:
    """How much of each set, and of what sets share, lies in each layer or component, in [0, 1].

    Args:
        overlap: The overlap of at least two sets.
        by: "layer" or "component".

    Returns:
        One row per layer or component in which any set has weights, in the model's order. One column per set, and
        one each for the weights that at least two sets hold and those that all hold. A column sums to 1, or is NaN
        if no weight is shared.
    """
    name_of = namers(overlap.space.names)[by]
    places = [name_of(param) for param in overlap.space.names]
    names = in_model_order(list(dict.fromkeys(places)))
    place = np.array([names.index(name) for name in places], dtype=np.int32)[overlap.params]
    shared = (overlap.presence > 1, overlap.presence == len(overlap.labels))
    counts = [np.bincount(place[held], minlength=len(names)) for held in (*overlap.ranked.columns, *shared)]
    columns = [*overlap.labels, SHARED_BY_TWO, SHARED_BY_ALL]
    frame = pd.DataFrame(np.column_stack(counts), index=names, columns=columns)
    return frame[frame.any(axis=1)] / frame.sum().replace(0, np.nan)


def plot_layers(overlap: Overlap, fig: Figure | None = None, *, title: str | None = None) -> Figure:
    """Draw which layers and which components hold the weights of each set, and the weights that sets share.

    Args:
        overlap: The overlap of any number of sets.
        fig: A figure or part of one (SubFigure) to draw into; default a new one that is large enough and unknown to
            pyplot.
        title: A title above the figure.

    Returns:
        The figure, with layers above and components below. There is a column per set, in percent of its weights; then
        one each for the weights in at least two sets and in all, with their number. Layers and components have
        gradiend's names; "other" is what is in no layer, or of no known kind. Columns of more than 80 sets have no
        labels. A figure without a layout engine is laid out once as a constrained one; parts of a figure (SubFigures)
        need one, because a tight layout leaves them out.

    Example:
        >>> from gradiend_mlflow import TopKSet, WeightSpace, compute_overlap
        >>> space = WeightSpace(("layer.0.query", "layer.1.key"), ((4,), (4,)))
        >>> sets = {"a": TopKSet.from_indices([0, 5], space=space), "b": TopKSet.from_indices([5, 6], space=space)}
        >>> [cell.get_text() for cell in plot_layers(compute_overlap(sets)).axes[0].texts]
        ['50', '0', '0', '0', '50', '100', '100', '100']
    """
    check_arguments(overlap, (Overlap,), title, fig=fig)
    frames = {kind: 100 * layer_shares(overlap, kind) for kind in ("layer", "component")}
    high = max(float(np.nanmax(frame.to_numpy())) for frame in frames.values())
    names = _column_names(overlap)
    n, heights = len(overlap.labels), [max(len(frame), 3) for frame in frames.values()]
    cell = 0.42 if n <= _ANNOTATED_UP_TO else max(6.5 / n, 0.12) if n <= _LABELLED_UP_TO else 6.5 / n
    below = 0.055 * max(map(len, [*names, f"{SHARED_BY_TWO}: 10,000 weights"]))
    if fig is None:
        fig = new_figure((max(cell * (n + 2.3) + 2.8, 5.0), min(0.24 * sum(heights), 16) + below + 1.2))

    grid = fig.add_gridspec(2, 2, height_ratios=heights, width_ratios=(30, 1))
    upper, lower, beside = (fig.add_subplot(grid[place]) for place in ((0, 0), (1, 0), (slice(None), 1)))
    for axes, (kind, frame) in zip((upper, lower), frames.items(), strict=True):
        _draw_shares(axes, frame, high, names)
        axes.set_title(f"by {kind}", fontsize=10)
    upper.set_xticks([])
    if n > _LABELLED_UP_TO:
        lower.set_xlabel(f"{n} runs", loc="center")
    fig.colorbar(upper.collections[0], cax=beside, label=SHARE_TITLE)
    if title:
        fig.suptitle(title)
    lay_out_whole(fig)
    return fig


def _column_names(overlap: Overlap) -> list[str]:
    """The sets, empty if they are too many, and what they share, with the number of its weights."""
    n = len(overlap.labels)
    names = single_line(overlap.labels) if n <= _LABELLED_UP_TO else [""] * n
    shared = ((SHARED_BY_TWO, overlap.presence > 1), (SHARED_BY_ALL, overlap.presence == n))
    return [*names, *(f"{name}: {counted(int(held.sum()), 'weight')}" for name, held in shared)]


def _draw_shares(axes: Axes, frame: pd.DataFrame, high: float, names: list[str]) -> None:
    rows, n, shares = len(frame), len(names) - 2, frame.to_numpy()
    # What is shared stands apart, after an empty column, and stays visible beside 200 sets.
    wide = max(1.0, 0.04 * n)
    edges = np.array([*range(n + 1), n + 0.3 * wide, n + 1.3 * wide, n + 2.3 * wide])
    cells = np.insert(shares, n, np.nan, axis=1)
    axes.pcolormesh(
        edges,
        np.arange(rows + 1),
        cells,
        vmin=0,
        vmax=high,
        cmap="viridis",
        rasterized=n > _LABELLED_UP_TO,
    )
    middles = np.delete((edges[:-1] + edges[1:]) / 2, n)
    if n <= _ANNOTATED_UP_TO:
        for (row, column), share in np.ndenumerate(shares):
            write_share(axes, float(middles[column]), row + 0.5, share, high)
    named = [column for column, name in enumerate(names) if name]
    label_cells(axes, middles[named], [names[column] for column in named], np.arange(rows) + 0.5, list(frame.index))
    axes.invert_yaxis()
