"""Saved views of an experiment's run list: trainings, comparisons and seeds, each with the columns that matter.

MLflow (3.15 and later) keeps a view as a tag of the experiment; its UI lists them under *Views* and opens the one that
a link names. Older versions ignore the tags, and read what a link names if the state stands in it unpacked, as here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gradiend_mlflow.store import tags
from gradiend_mlflow.store.ui.charts import Section, chart_state

_PREFIX = "mlflow.sharedViewState."
# Set with the views, and checked instead of them: a view that somebody has deleted or changed stays so.
WRITTEN = "gradiend.views"
_WRITTEN_VALUE = "1"
_WIDE = 260  # pixels: names that differ only at their end are told apart


@dataclass(frozen=True)
class View:
    """A named view of an experiment's run list: `columns` from left to right, beside name, time and duration.

    `sections` are the first of its charts.
    """

    key: str
    name: str
    kinds_left_out: tuple[str, ...]
    columns: tuple[str, ...]
    sections: tuple[Section, ...]
    only_finished: bool = False
    is_by_name: bool = True  # else the newest first, which makes the UI fold runs with a parent into it


def _tag(name: str) -> str:
    return f"tags.`{name}`"


def _metric(name: str) -> str:
    return f"metrics.`{name}`"


def _param(name: str) -> str:
    return f"params.`{name}`"


_NAME, _DATASET, _MODELS = (f"attributes.`{name}`" for name in ("Run Name", "Dataset", "Models"))

TRAININGS = View(
    key="gradiend-trainings",
    name="Trainings",
    kinds_left_out=(tags.SEED_RUN, tags.COMPARISON),
    columns=(
        _tag(tags.TARGET_CLASSES),
        _metric(tags.BEST_CORRELATION),
        _tag(tags.CONVERGED),
        _tag(tags.BASE_MODEL),
        _tag(tags.SEED),
        _tag(tags.K),
        _DATASET,
        _MODELS,
    ),
    sections=(
        Section("best", bars=[tags.BEST_CORRELATION]),
        Section("eval", lines=["eval/correlation"]),
        Section("train", lines=["train/loss", "train/encoder_norm"]),
    ),
)
COMPARISONS = View(
    key="gradiend-comparisons",
    name="Comparisons",
    kinds_left_out=(tags.SEED_RUN, tags.TRAINING, tags.SUITE),
    columns=(
        _param("part"),
        _param("topk"),
        _param("value"),
        _param("n_runs"),
        _metric(tags.OVERLAP_MEAN),
        _metric(tags.OVERLAP_WITHIN),
        _metric(tags.OVERLAP_BETWEEN),
        _metric(tags.OVERLAP_LIFT),
    ),
    sections=(
        Section("overlap", bars=[tags.OVERLAP_MEAN, tags.OVERLAP_LIFT], height=260),
        # The UI shows a picture in a square as high as its card allows, and cuts it where the card is narrower.
        Section("comparison", images=["comparison/heatmap", "comparison/layers"], columns=1, height=640),
    ),
    only_finished=True,  # one that was stopped has numbers, and neither name nor figures
    is_by_name=False,
)
SEEDS = View(
    key="gradiend-seeds",
    name="Seeds",
    kinds_left_out=(tags.TRAINING, tags.SUITE, tags.COMPARISON),
    columns=(
        _tag(tags.TARGET_CLASSES),
        _tag(tags.SEED),
        _metric(tags.BEST_CORRELATION),
        _tag(tags.CONVERGED),
        _metric("seed/selection_score"),
        _metric("seed/training_score"),
    ),
    sections=(Section("seed", bars=["seed/selection_score", "seed/training_score"]),),
)
VIEWS = (TRAININGS, COMPARISONS, SEEDS)


def tags_of_views(existing: Mapping[str, str], now: int) -> dict[str, str]:
    """The tags that give an experiment its views; none if it has got them before.

    Args:
        existing: The experiment's tags.
        now: Milliseconds since the epoch; the UI does not list a view without the time of its making.
    """
    if WRITTEN in existing:
        return {}
    missing = {_PREFIX + view.key: _value(view, now) for view in VIEWS if _PREFIX + view.key not in existing}
    return {**missing, WRITTEN: _WRITTEN_VALUE}


def _value(view: View, now: int) -> str:
    state = _state(view)
    # MLflow 3.13 reads the state from the top level, later versions from the string.
    return _packed({**state, "name": view.name, "createdAt": now, "state": _packed(state)})


def _packed(content: Any) -> str:
    return json.dumps(content, separators=(",", ":"))


def _state(view: View) -> dict[str, Any]:
    """The state of the UI's run list, with every field that MLflow 3.13 needs."""
    conditions = [f"{_tag(tags.KIND)} != '{kind}'" for kind in view.kinds_left_out]
    conditions += ["attributes.status = 'FINISHED'"] if view.only_finished else []
    return {
        "searchFilter": " AND ".join(conditions),
        "orderByKey": _tag(tags.MLFLOW_RUN_NAME) if view.is_by_name else "attributes.start_time",
        "orderByAsc": view.is_by_name,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": list(view.columns),
        "columnOrder": [_NAME, *view.columns],
        "columnWidths": {_NAME: _WIDE, view.columns[0]: _WIDE // 2},
        "runsExpanded": {},
        "runsPinned": [],
        "runsHidden": [],
        "runsVisibilityMap": {},
        "runsHiddenMode": "FIRST_10_RUNS",
        "viewMaximized": False,
        "runListHidden": False,
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "groupBy": None,
        "groupsExpanded": {},
        "autoRefreshEnabled": True,
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
        **chart_state(view.sections),
    }
