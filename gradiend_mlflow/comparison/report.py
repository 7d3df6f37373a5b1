"""A comparison as one interactive HTML page: no network, no storage, no other files."""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gradiend_mlflow.comparison.comparison import Comparison
from gradiend_mlflow.figures.drawing.arrangement import arranged
from gradiend_mlflow.figures.drawing.text import shortened
from gradiend_mlflow.overlap.measures import SIGNED, VALUE_TITLES
from gradiend_mlflow.overlap.overlap import Overlap
from gradiend_mlflow.overlap.shared_weights import shared_weights
from gradiend_mlflow.sets.parts import shown_topk

TEMPLATE = Path(__file__).with_name("report.html")

# What a page holds at most; the page says what is left out.
_NUMBERS = 400_000  # pairs times positions of the slider
_WEIGHTS = 60_000  # ranks of weights, over all runs
MOST_RUNS = 500
_SHORT = 26  # letters of a label in the page's tables and axes
_IN_PAGE = ("intersection", "intersection_frac", "jaccard")  # computed from counts there; others come as numbers
_NO_CHANCE = 400  # -log10 of a p-value below the smallest float


def write_report(comparison: Comparison, path: Path) -> None:
    """Write the page: heatmap, pairs, a slider over k, the shared weights of a pair.

    plotly's script is in the page, and compressed as the data is: browsers have unpacked gzip since 2023.
    """
    from plotly.offline import get_plotlyjs

    page = TEMPLATE.read_text(encoding="utf-8")
    for name, text in (("DATA", json.dumps(report_data(comparison), allow_nan=False)), ("PLOTLY", get_plotlyjs())):
        page = page.replace(f"@{name}@", _packed(text))
    path.write_text(page, encoding="utf-8")


def _packed(text: str) -> str:
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def report_data(comparison: Comparison) -> dict[str, Any]:
    """What the page shows, in types that JSON knows.

    Pairs are those above the diagonal, row by row. With many runs the slider has fewer positions and there are fewer
    weights; of more than `MOST_RUNS` runs only the first are shown.
    """
    left_out = []
    overlap, whole = comparison.overlap, comparison.whole
    if len(overlap.labels) > MOST_RUNS:
        left_out.append(f"the first {MOST_RUNS} of {len(overlap.labels)} runs are shown")
        overlap, whole = _first(overlap), _first(whole)
    n = len(overlap.labels)
    pairs = n * (n - 1) // 2
    ks = steps_up_to(int(whole.sizes.min()), most=max(_NUMBERS // max(pairs, 1), 2) - 1)
    if len(ks) < len(steps_up_to(int(whole.sizes.min()))):
        left_out.append("the slider has fewer positions, because there are many pairs")
    if comparison.seed_overlap is not None:
        left_out.append("each row is a seed; the aggregates are in matrix.csv")
    ks = [k for k in ks if (overlap.sizes != k).any()]  # else it is what was asked
    steps = [_step(whole.top(k), comparison.value, f"top {k:,}") for k in ks]
    place = sum(k < int(overlap.sizes.min()) for k in ks)
    steps.insert(place, _step(overlap, comparison.value, f"as asked: top {shown_topk(comparison.topk)}"))
    matrix = np.asarray(overlap.values(comparison.value), dtype=float)
    return {
        "title": f"{comparison.part}, top {shown_topk(comparison.topk)}: {n} runs",
        "labels": list(overlap.labels),
        "short": shortened(overlap.labels, _SHORT),
        "runs": list(comparison.runs["run_id"])[:n],
        "value": comparison.value,
        "signed": SIGNED,
        "titles": VALUE_TITLES,
        "orders": {
            "as given": list(range(n)),
            "by name": arranged(overlap.labels, matrix, "name", None).rows,
            "by cluster": arranged(overlap.labels, matrix, "cluster", None).rows,
        },
        "steps": steps,
        "asked": place,
        "notes": list(comparison.notes),
        "left_out": left_out,
        **_weights(overlap, n),
    }


def _first(overlap: Overlap) -> Overlap:
    ranked = overlap.ranked
    few = replace(
        ranked,
        labels=ranked.labels[:MOST_RUNS],
        columns=ranked.columns[:MOST_RUNS],
        importance=ranked.importance[:MOST_RUNS],
        weights=ranked.weights[:MOST_RUNS],
        ties=ranked.ties[:MOST_RUNS],
    )
    return overlap.of(few, overlap.selects[:MOST_RUNS])


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
        step["values"] = _short(overlap.values(value)[rows])
    return step


def _weights(overlap: Overlap, n: int) -> dict[str, Any]:
    """The weights that at least two runs hold, with each run's rank and signed weight, those of most runs first."""
    per_run = _WEIGHTS // n
    top = overlap.top(per_run)
    frame = shared_weights(top, min_runs=min(2, n))
    places = {label: place for place, label in enumerate(overlap.labels)}
    params = list(dict.fromkeys(frame["param"]))
    at = {param: place for place, param in enumerate(params)}
    return {
        "params": params,
        "weights": [
            [
                at[row["param"]],
                list(row["coordinates"]),
                [places[label] for label in row["runs"]],
                list(row["ranks"]),
                _signed(row["weights"]),
            ]
            for row in frame.to_dict("records")
        ],
        "weights_up_to": min(per_run, int(overlap.sizes.max())),
    }


def _signed(weights: tuple[Any, ...]) -> list[Any]:
    """Three digits of the signed weights, with several latent neurons of the first; None if they are unknown."""
    firsts = [weight[0] if isinstance(weight, tuple) else weight for weight in weights]
    return [None if np.isnan(weight) else float(f"{weight:.3g}") for weight in firsts]


def _short(numbers: npt.NDArray[Any]) -> list[float]:
    """Four significant digits, which is as much as can be read off."""
    return [float(f"{number:.4g}") for number in numbers.tolist()]
