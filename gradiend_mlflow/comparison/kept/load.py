"""`load_comparison`: a logged comparison with all its numbers, by its id, its name or a row that lists it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd

from gradiend_mlflow.comparison.comparison import Comparison
from gradiend_mlflow.comparison.loading import fetch_files, read_sets, rebuilt
from gradiend_mlflow.errors import ArtifactError, InvalidInputError
from gradiend_mlflow.runs.named import find_run
from gradiend_mlflow.store import tags
from gradiend_mlflow.store.reader import LoggedRun, Reader
from gradiend_mlflow.store.ui.pages import page_of_run, told


def load_comparison(
    comparison: str | Mapping[str, Any] | pd.Series[Any] | pd.DataFrame, *, tracking_uri: str | None = None
) -> Comparison:
    """Load a logged comparison from its own run; the compared runs need not exist any more.

    The comparison holds the sets as they were compared, so every measure, chance level, layer, shared weight, table
    and figure is that of the comparison that `compare` returned. It does not hold weights beyond the compared `topk`:
    `stored` is `sets`, and `overlap_curve` ends there.

    Args:
        comparison: MLflow's id of the comparison's run, `comparison.run_id`; or its name, in whatever experiment it
            is; or a row of `search_comparisons`.
        tracking_uri: The MLflow server or database; default MLflow's current one.

    Raises:
        InvalidInputError: If the run is not a comparison, or was not completed; if several comparisons have that
            name, with their ids.
        StoreError: If the run does not exist or MLflow cannot be reached.
        ArtifactError: If its files are damaged or not those that were logged; it names the run and the file.

    Example:
        ::

            load_comparison(run_id).matrix
            load_comparison(search_comparisons("pronouns").iloc[0]).matrix
    """
    store = Reader(tracking_uri)
    return comparison_of(store, find_run(store, comparison, kinds=[tags.COMPARISON]))


def comparison_of(store: Reader, run: LoggedRun) -> Comparison:
    """The comparison that a run holds.

    Raises:
        InvalidInputError, StoreError, ArtifactError: As for `load_comparison`.
    """
    if run.tags.get(tags.KIND) != tags.COMPARISON:
        raise InvalidInputError(f"the run {run.run_id} is not a comparison")
    facts, archive = fetch_files(store, run)
    try:
        found = rebuilt(facts, read_sets(archive, facts), run.run_id)
    except ArtifactError as error:
        raise ArtifactError(f"the comparison {run.run_id}: {error}") from error
    return replace(found, page=told(page_of_run(run.experiment_id, run.run_id), store.uri))
