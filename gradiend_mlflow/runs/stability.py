"""How early trainings had the top-k set that they ended with, by what their runs say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pandas as pd

from gradiend_mlflow.errors import ArtifactError, StoreError
from gradiend_mlflow.runs.pulling import NO_STEPS
from gradiend_mlflow.runs.search import PARALLEL_REQUESTS, all_results, complete_frame, result_or_error
from gradiend_mlflow.store import tags
from gradiend_mlflow.store.reader import Reader


def load_stability(runs: Sequence[str] | pd.DataFrame, *, tracking_uri: str | None = None) -> pd.DataFrame:
    """What share of each step's top-k set is in the set of the model that the training selected.

    Args:
        runs: MLflow run ids, or rows of `search_runs`, of trainings that `autolog(topk_steps=...)` logged. With
            `kinds=["seed"]` these are the seeds that were tried, each with a final set of its own.
        tracking_uri: The MLflow server or database; default MLflow's current one.

    Returns:
        A row per step, ascending, and a column per run, in the order of `runs`, called by the run's name, with its id
        where several have the same name. Shares between 0 and 1; NaN where a run has no set of that step.

    Raises:
        StoreError: If a run is missing or has no such metric: it was logged without `topk_steps`, was imported, or its
            training did not come to its end.
        ArtifactError: If a run's metric is no share.
        InvalidInputError: If `runs` is neither ids nor a frame with the column run_id, or names a run twice.

    Example:
        ::

            curves = gradiend_mlflow.load_stability(gradiend_mlflow.search_runs(["pronouns"]))
            gradiend_mlflow.plot_stability(curves, output_path="stability.pdf")
    """
    frame = complete_frame(runs, tracking_uri=tracking_uri)
    run_ids, names = frame["run_id"].tolist(), frame["run_name"].tolist()
    store = Reader(tracking_uri)
    with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
        answers = list(pool.map(lambda run_id: result_or_error(_shares, store, run_id), run_ids))
    found = all_results(run_ids, answers, f"have no metric {tags.OVERLAP_WITH_FINAL} that can be read")
    times = Counter(names)
    labels = [
        name if times[name] == 1 and name else f"{name or 'run'} {run_id[:8]}"
        for run_id, name in zip(run_ids, names, strict=True)
    ]
    curves = pd.DataFrame({label: pd.Series(found[run_id]) for label, run_id in zip(labels, run_ids, strict=True)})
    return curves.sort_index().rename_axis("step")


def _shares(store: Reader, run_id: str) -> dict[int, float]:
    shares = store.metric_history(run_id, tags.OVERLAP_WITH_FINAL)
    if not shares:
        raise StoreError(f"it has none: {NO_STEPS}")
    if odd := [value for value in shares.values() if not 0 <= value <= 1]:
        raise ArtifactError(f"it has the value {odd[0]}, which is no share")
    return shares
