"""A comparison as a run in MLflow, made once for the same question about the same sets."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import logging
import re
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from gradiend_mlflow.comparison.description import description_of, name_of_comparison, summary_of
from gradiend_mlflow.comparison.files import FACTS, FORMAT, fetch_files, sha256_of, write_files
from gradiend_mlflow.comparison.selection import FINISHED
from gradiend_mlflow.environment import installed_version
from gradiend_mlflow.errors import ArtifactError, StoreError, UnavailableError
from gradiend_mlflow.runs.search import PARALLEL_REQUESTS
from gradiend_mlflow.store import tags
from gradiend_mlflow.store.store import MetricPoint, Store, now_ms

if TYPE_CHECKING:
    from gradiend_mlflow.comparison.comparison import Comparison

SHARED_EXPERIMENT = "gradiend-comparisons"

_UNFINISHED = "comparison, not finished"
_LISTED_RUNS = 200  # ids that fit into one tag
# The UI shows these side by side for several comparisons.
_IMAGES = {"comparison/heatmap": "overlap_heatmap.png", "comparison/layers": "layers.png"}


def log_comparison(
    comparison: Comparison, store: Store, *, log_to: str | None, run_name: str | None, refresh: bool, link: bool
) -> str:
    """Log a comparison as a run of its own, unless one is there, and return its id; see `compare` for where and what.

    Raises:
        StoreError: If MLflow refuses or cannot be reached; a run that was begun is then FAILED.
    """
    experiments = list(dict.fromkeys(comparison.runs["experiment_id"]))
    if log_to is None and len(experiments) == 1:
        experiment_id = experiments[0]
    else:
        experiment_id = store.experiment_id(log_to or SHARED_EXPERIMENT)
    question = question_of(comparison)
    run_id = None if refresh else find_answer(store, experiment_id, question, run_name=run_name)
    if run_id is None:
        name = run_name or free_name(store, experiment_id, name_of_comparison(comparison))
        run_id = _log(comparison, store, experiment_id, question, name)
    if link:
        link_sources(store, list(comparison.runs["run_id"]), run_id)
    return run_id


def _log(comparison: Comparison, store: Store, experiment_id: str, question: str, name: str) -> str:
    run_tags = {tags.KIND: tags.COMPARISON, tags.PLUGIN_VERSION: installed_version("gradiend-mlflow")}
    if len(comparison.runs) <= _LISTED_RUNS:
        run_tags[tags.SOURCE_RUNS] = json.dumps(list(comparison.runs["run_id"]))
    run_id = store.create_run(experiment_id, name=_UNFINISHED, run_tags=run_tags)
    try:
        store.log_params(
            run_id,
            {
                "part": comparison.part,
                "topk": str(comparison.topk),
                "value": comparison.value,
                "n_runs": str(len(comparison.shown.labels)),
            },
        )
        now = now_ms()
        store.log_metrics(run_id, [MetricPoint(key, value, now, 0) for key, value in summary_of(comparison).items()])
        with tempfile.TemporaryDirectory(prefix="gradiend-mlflow-") as temporary:
            folder = Path(temporary)
            write_files(comparison, folder)
            store.upload(run_id, folder, None)
            _log_images(store, run_id, folder)
            digest = sha256_of(folder / FACTS)
        # Last: only a complete comparison has the answer as its name and description, and is found by its question.
        store.set_tags(run_id, {tags.MLFLOW_RUN_NAME: name, tags.MLFLOW_DESCRIPTION: description_of(comparison)})
        store.set_tags(run_id, {tags.COMPARISON_SHA256: digest, tags.QUESTION: question})
    except BaseException:
        with contextlib.suppress(StoreError):  # the first error is the one to tell
            store.end_run(run_id, "FAILED")
        raise
    store.end_run(run_id, "FINISHED")
    return run_id


def _log_images(store: Store, run_id: str, folder: Path) -> None:
    from PIL import Image

    for key, name in _IMAGES.items():
        with Image.open(folder / name) as image:
            store.log_image(run_id, image, key)


logger = logging.getLogger("gradiend_mlflow")

_LINKED = 200  # ids that fit into one tag


def question_of(comparison: Comparison) -> str:
    """A digest of the settings, the runs and the SHA-256 of their sets: the same for the same answer.

    The order of the runs is no part of it: every number is one of a pair, whichever comes first. What the runs are
    called and how they are grouped is, because the figures and the description say it; so are the runs left out.
    """
    runs, seeds = comparison.runs, comparison.seed_overlap
    ids = list(runs["run_id"])
    asked = {
        "format": FORMAT,
        "part": comparison.part,
        "topk": str(comparison.topk),
        "value": comparison.value,
        "rbo_p": comparison.overlap.rbo_p,
        "runs": sorted(
            [run_id, label, sets[comparison.part]["sha256"], converged is False]
            for run_id, label, sets, converged in zip(ids, runs["label"], runs["sets"], runs["converged"], strict=True)
        ),
        "groups": None if comparison.groups is None else sorted(comparison.groups.items()),
        # The seeds of one training are in the order in which they were tried: pairs are matched by it.
        "seeds": None
        if seeds is None
        else [
            asdict(seeds.policy),
            sorted((x, [ids[y] for y in z]) for x, z in zip(seeds.labels, seeds.members, strict=True)),
        ],
        "skipped": sorted([run.run_id, run.reason] for run in comparison.skipped),
    }
    return hashlib.sha256(json.dumps(asked, separators=(",", ":")).encode()).hexdigest()


def find_answer(store: Store, experiment_id: str, question: str, *, run_name: str | None) -> str | None:
    """The newest comparison that answers the question already, if one does; of that name, if one is given.

    One whose files are gone or damaged is no answer, and is warned of.
    """
    found = store.search(
        [experiment_id],
        f"tags.`{tags.QUESTION}` = '{question}' AND attributes.status = '{FINISHED}'",
        order_by=["attributes.start_time DESC"],
    )
    for run in found:
        if run_name is None or run.name == run_name:
            try:
                fetch_files(store, run)
            except UnavailableError:
                raise
            except (ArtifactError, StoreError) as error:
                logger.warning("The comparison %s is logged anew: of the one that is there, %s", run.run_id, error)
            else:
                return run.run_id
    return None


def free_name(store: Store, experiment_id: str, name: str) -> str:
    """The name, numbered if comparisons of the experiment have it already: lists show nothing else of them."""
    # Quotes would end the filter's string; the sign for any letter finds too much rather than too little.
    pattern = re.sub(r"['\\]", "_", name)
    found = store.search(
        [experiment_id],
        f"tags.`{tags.KIND}` = '{tags.COMPARISON}' AND attributes.run_name LIKE '{pattern}%'",
    )
    taken = {run.name for run in found}
    numbered = (f"{name} ({number})" for number in itertools.count(2))
    return next(candidate for candidate in itertools.chain([name], numbered) if candidate not in taken)


def link_sources(store: Store, run_ids: Sequence[str], comparison_id: str) -> None:
    """Tag the compared runs with the comparison, besides those that they are tagged with already."""

    def link(run_id: str) -> None:
        linked = linked_comparisons(store.run(run_id).tags)
        if comparison_id not in linked:
            store.set_tags(run_id, {tags.COMPARISONS: json.dumps([*linked, comparison_id][-_LINKED:])})

    with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
        list(pool.map(link, run_ids))


def linked_comparisons(run_tags: Mapping[str, str]) -> list[str]:
    """The comparisons that a run is tagged with."""
    try:
        linked = json.loads(run_tags.get(tags.COMPARISONS, "[]"))
    except ValueError:
        return []
    return [str(run_id) for run_id in linked] if isinstance(linked, list) else []
