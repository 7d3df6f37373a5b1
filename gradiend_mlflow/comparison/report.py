"""A comparison as one interactive HTML page: no network, no storage, no other files."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gradiend_mlflow.comparison.comparison import Comparison
from gradiend_mlflow.comparison.page.views import views_of
from gradiend_mlflow.comparison.said.answers import answers_of
from gradiend_mlflow.overlap.measures import SIGNED, VALUES, title_of
from gradiend_mlflow.overlap.overlap import Overlap
from gradiend_mlflow.overlap.shared_weights import shared_weights
from gradiend_mlflow.overlap.statistics.group_test import GroupTest
from gradiend_mlflow.sets.parts import shown_topk
from gradiend_mlflow.wording import counted, visible

PAGE = Path(__file__).with_name("page")
_SCRIPTS = ("texts.js", "numbers.js", "sheet.js", "map.js", "weights.js", "report.js")

# What a page holds at most; the page says what is left out.
_NUMBERS = 400_000  # pairs times positions of the slider
_WEIGHTS = 60_000  # ranks of weights, over all runs
MOST_RUNS = 500
_IN_PAGE = ("intersection", "intersection_frac", "jaccard")  # computed from counts there; others come as numbers
_NO_CHANCE = 400  # -log10 of a p-value below the smallest float
_COLORS = 33  # of a colormap; the page mixes those between


def write_report(comparison: Comparison, path: Path) -> None:
    """Write the page: heatmap, pairs, groups, seeds, a slider over k, and what the shared weights are.

    Its data are compressed: browsers have unpacked gzip since 2023. Its policy lets it run its own script, by the
    script's digest, and load nothing.
    """
    style = (PAGE / "report.css").read_text(encoding="utf-8")
    script = "\n" + "".join(['"use strict";\n', *((PAGE / name).read_text(encoding="utf-8") for name in _SCRIPTS)])
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    parts = {
        "POLICY": f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'",
        "STYLE": style,
        "SCRIPT": script,
        "DATA": _packed(json.dumps(report_data(comparison), allow_nan=False)),
    }
    page = (PAGE / "report.html").read_text(encoding="utf-8")
    for name, text in parts.items():
        page = page.replace(f"@{name}@", text)
    path.write_text(page, encoding="utf-8", newline="\n")


def _packed(text: str) -> str:
    # The best level, Python's default, makes it a tenth smaller in ten times as long.
    return base64.b64encode(gzip.compress(text.encode(), compresslevel=6, mtime=0)).decode()


def report_data(comparison: Comparison) -> dict[str, Any]:
    """What the page shows, in types that JSON knows.

    Pairs are those above the diagonal, row by row. With many runs the slider has fewer positions and there are fewer
    weights; of more than `MOST_RUNS` runs only the first are shown.
    """
    left_out = []
    overlap, whole = comparison.overlap, comparison.whole
    if len(overlap.labels) > MOST_RUNS:
        left_out.append(f"the first {MOST_RUNS} of {len(overlap.labels)} runs are shown")
        first = overlap.first(MOST_RUNS)
        overlap, whole = first, first if whole is overlap else whole.first(MOST_RUNS)
    n = len(overlap.labels)
    pairs = n * (n - 1) // 2
    ks = steps_up_to(int(whole.n_weights.min()), most=max(_NUMBERS // max(pairs, 1), 2) - 1)
    if len(ks) < len(steps_up_to(int(whole.n_weights.min()))):
        left_out.append("the slider has fewer positions, because there are many pairs")
    ks = [k for k in ks if (overlap.n_weights != k).any()]  # else it is what was asked
    steps = [_step(whole.top(k), comparison.value, f"top {k}") for k in ks]
    place = sum(k < int(overlap.n_weights.min()) for k in ks)
    steps.insert(place, _step(overlap, comparison.value, f"top {shown_topk(comparison.topk)} (as asked)"))
    aggregated, test = comparison.seed_overlap is not None, comparison.tested
    views = views_of(overlap, comparison.trainings, comparison.value, comparison.groups, aggregated=aggregated)
    numbers = {view.name: len(view.labels) for view in views} | {views[0].name: len(comparison.shown.labels)}
    what = (
        f"{numbers['seeds']:,} seeds of {numbers['trainings']:,} trainings"
        if len(views) > 1
        else counted(numbers["runs"], "run")
    )
    return {
        "title": f"{comparison.subject}: {what}",
        "answer": answers_of(comparison),
        "labels": list(overlap.labels),
        "runs": list(comparison.runs["run_id"])[:n],
        "seeds": list(comparison.trainings.seeds or [None] * n)[:n],
        "value": comparison.value,
        "signed": SIGNED,
        "unit": comparison.unit,
        "titles": {name: title_of(name, comparison.unit) for name in VALUES},
        "colors": _colors(),
        "views": [view.to_json() for view in views],
        "steps": steps,
        "asked": place,
        "notes": [*comparison.notes, *(test.notes if isinstance(test, GroupTest) else ())],
        "left_out": left_out,
        "test": _test_rows(test) if isinstance(test, GroupTest) else None,
        **_weights(overlap, n),
    }


def steps_up_to(most_weights: int, most: int = 1000) -> list[int]:
    """Numbers of weights up to `most_weights`, 10, 20, 50, 100, ...; evenly thinned out to at most `most` of them."""
    ks = [k * 10**power for power in range(1, 9) for k in (1, 2, 5) if k * 10**power < most_weights]
    ks.append(most_weights)
    # From the last, which stays in any case.
    return [ks[round(at)] for at in np.linspace(len(ks) - 1, 0, min(most, len(ks)))][::-1]


def _step(overlap: Overlap, value: Any, name: str) -> dict[str, Any]:
    """The numbers of every pair at one k."""
    rows = np.triu_indices(len(overlap.labels), k=1)
    chance = overlap.chance()
    with np.errstate(divide="ignore"):
        exponents = np.minimum(-np.log10(chance.p_value[rows]), _NO_CHANCE)
    step = {
        "name": name,
        "sizes": overlap.sizes.tolist(),
        "shared": overlap.intersection[rows].tolist(),
        "expected": _short(chance.expected[rows]),
        "p": _short(np.maximum(exponents, 0.0)),
    }
    if value not in _IN_PAGE:
        matrix = np.asarray(overlap.values(value), dtype=float)
        step["values"], step["own"] = _short(matrix[rows], digits=8), _short(np.diag(matrix))
    return step


def _weights(overlap: Overlap, n: int) -> dict[str, Any]:
    """The weights that at least two sets hold, what they are, and each set's rank and signed weight.

    Of neurons the same, with each set's importance.
    """
    per_run, of_neurons = _WEIGHTS // n, overlap.unit == "neuron"
    top = overlap.top(per_run)
    frame = shared_weights(top, min_runs=min(2, n))
    places = {label: place for place, label in enumerate(overlap.labels)}
    params = {row[0]: row for row in zip(frame["param"], frame["layer"], frame["component"], strict=True)}
    at = {name: place for place, name in enumerate(params)}
    frame = frame.astype(object).where(frame.notna(), None)
    return {
        "params": [tuple(map(visible, row)) for row in params.values()],
        "weights": [
            [
                at[row["param"]],
                [row["neuron"]] if of_neurons else list(row["coordinates"]),
                row["head"],
                row["neuron"],
                row["token"] and visible(row["token"]),
                [places[label] for label in row["runs"]],
                list(row["ranks"]),
                _signed(row["importances" if of_neurons else "weights"]),
            ]
            for row in frame.to_dict("records")
        ],
        "weights_up_to": min(per_run, int(overlap.n_weights.max())),
    }


def _colors() -> dict[str, list[str]]:
    """The colormaps of heatmaps as #rrggbb."""
    from matplotlib.colors import to_hex

    from gradiend_mlflow.figures.drawing.canvas import colormap
    from gradiend_mlflow.figures.drawing.cells import DIVERGING, SEQUENTIAL

    places, maps = np.linspace(0, 1, _COLORS), {"sequential": SEQUENTIAL, "diverging": DIVERGING}
    return {name: [to_hex(color) for color in colormap(cmap)(places)] for name, cmap in maps.items()}


def _test_rows(test: GroupTest) -> list[dict[str, Any]]:
    """A row per group, as `GroupTest.per_group` has it; None for what is not known."""
    rows = test.per_group.reset_index()
    return [
        {str(name): None if pd.isna(cell) else cell for name, cell in row.items()}
        for row in rows.drop(columns=["exact", "min_p"]).to_dict("records")
    ]


def _signed(weights: tuple[Any, ...]) -> list[Any]:
    """Three digits of the signed weights, with several latent neurons of the first; None if they are unknown."""
    firsts = [weight[0] if isinstance(weight, tuple) else weight for weight in weights]
    return [None if np.isnan(weight) else float(f"{weight:.3g}") for weight in firsts]


def _short(numbers: npt.NDArray[Any], *, digits: int = 4) -> list[float | None]:
    """A few significant digits, more than can be read off; None for a missing number."""
    values, at = np.unique(numbers, return_inverse=True)  # of many pairs few numbers differ
    short = [None if np.isnan(number) else float(f"{number:.{digits}g}") for number in values.tolist()]
    return [short[place] for place in at.tolist()]
