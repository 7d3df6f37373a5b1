"""A comparison as a run in MLflow, logged once for the same question about the same sets."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import re
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from gradiend_mlflow.checks import check_experiment, check_flags, check_names
from gradiend_mlflow.comparison.chosen.selection import FINISHED
from gradiend_mlflow.comparison.comparison import Comparison
from gradiend_mlflow.comparison.files import FACTS, FORMAT, written_files
from gradiend_mlflow.comparison.loading import fetch_files
from gradiend_mlflow.comparison.said.answers import summary_of
from gradiend_mlflow.comparison.said.description import description_of, name_of_comparison
from gradiend_mlflow.disk.temporary import temporary_folder
from gradiend_mlflow.disk.trees import sha256_of
from gradiend_mlflow.display.progress import check_progress
from gradiend_mlflow.environment import installed_version
from gradiend_mlflow.errors import DeniedError, InvalidInputError, StoreError, UnavailableError, logger
from gradiend_mlflow.runs.labels import TRAINING_RUN
from gradiend_mlflow.runs.search import PARALLEL_REQUESTS, result_or_error
from gradiend_mlflow.store import tags
from gradiend_mlflow.store.store import MetricPoint, Store, now_ms
from gradiend_mlflow.store.ui.pages import page_of_run, told

SHARED_EXPERIMENT = "gradiend-comparisons"

_UNFINISHED = "comparison, not finished"
_MOST_IDS = 200  # run ids that fit into one tag
# The UI shows these side by side for several comparisons.
_IMAGES = {"overlap_heatmap.png": "comparison/heatmap", "layers.png": "comparison/layers"}


@dataclass(frozen=True)
class LoggingChoices:
    """Whether, where and how to log a comparison; the arguments of `compare`.

    Raises:
        InvalidInputError: If a value is not acceptable, or `link` is set without `log`.
    """

    log: bool
    log_to: str | None
    run_name: str | None
    refresh: bool
    link: bool
    views: bool = True
    progress: bool | None = None

    def __post_init__(self) -> None:
        check_flags(log=self.log, refresh=self.refresh, link=self.link, views=self.views)
        check_progress(self.progress)
        check_names(run_name=self.run_name)
        check_experiment(log_to=self.log_to)
        if self.link and not self.log:
            raise InvalidInputError(
                "link=True tags the runs with the logged comparison, so it cannot go with log=False"
            )


def logged(comparison: Comparison, store: Store, options: LoggingChoices) -> Comparison:
    """The comparison with its run, which is logged unless a run answers the same question already.

    What is computed is not lost to an account that may not write, or to a server that has gone: then the comparison
    comes without a run, and a warning says so. A run that was begun is FAILED.

    Raises:
        StoreError: If MLflow refuses for another reason.
    """
    try:
        found = _logged(comparison, store, options)
    except (DeniedError, UnavailableError) as error:
        logger.warning(
            "The comparison is computed, but not logged. %s. log_to=... logs it to another experiment, and log=False "
            "to none",
            str(error).rstrip("."),
        )
        return comparison
    if options.link and found.run_id is not None:
        try:
            _link(store, list(found.runs["run_id"]), found.run_id)
        except (DeniedError, UnavailableError) as error:
            logger.warning("The comparison is logged, but not all runs are tagged with it. %s", error)
    return found


def _logged(comparison: Comparison, store: Store, options: LoggingChoices) -> Comparison:
    experiment_id, *others = comparison.runs["experiment_id"].unique()
    if options.log_to is not None or others:
        experiment_id = store.experiment_id(options.log_to or SHARED_EXPERIMENT)
    question = question_of(comparison)
    run_id = None if options.refresh else _find_answer(store, experiment_id, question, options.run_name)
    if run_id is None:
        name = options.run_name or _free_name(store, experiment_id, name_of_comparison(comparison))
        run_id = _log(comparison, store, experiment_id, question, name, progress=options.progress)
        if options.views:
            store.add_views(experiment_id)
    page = told(page_of_run(experiment_id, run_id), store.uri)
    logger.info("The comparison is a run in MLflow: %s", page)
    return replace(comparison, run_id=run_id, page=page)


def question_of(comparison: Comparison) -> str:
    """A digest of the settings, the runs and the SHA-256 of their sets: the same for the same answer.

    The order of the runs does not matter, because every number is one of a pair. What the runs are called, how they
    are grouped, whether they converged and which are skipped does matter, because the figures and the description
    show it.
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
        # The seeds of one training keep the order in which they were tried, by which they are matched.
        "seeds": None
        if seeds is None
        else [
            asdict(seeds.policy),
            sorted((x, [ids[y] for y in z]) for x, z in zip(seeds.labels, seeds.members, strict=True)),
        ],
        "skipped": sorted([run.run_id, run.reason] for run in comparison.skipped),
    }
    if comparison.unit != "weight":  # comparisons that were logged before there was a choice are of weights
        asked["unit"] = comparison.unit
    return hashlib.sha256(json.dumps(asked, separators=(",", ":")).encode()).hexdigest()


def _find_answer(store: Store, experiment_id: str, question: str, run_name: str | None) -> str | None:
    """The id of the newest comparison that answers the question, if there is one; only of that name, if one is given.

    A comparison whose files are missing or damaged does not count, and is warned of.
    """
    found = store.search(
        [experiment_id],
        f"tags.`{tags.QUESTION}` = '{question}' AND attributes.status = '{FINISHED}'",
        order_by=["attributes.start_time DESC"],
    )
    for run in found:
        if run_name in (None, run.name):
            files = result_or_error(fetch_files, store, run)
            if isinstance(files, tuple):
                return run.run_id
            if isinstance(files, UnavailableError):
                raise files
            logger.warning("The comparison %s cannot be read, so it is logged anew: %s", run.run_id, files)
    return None


def _free_name(store: Store, experiment_id: str, name: str) -> str:
    """The name, numbered if comparisons of the experiment have it already: lists of runs show nothing else of them."""
    # A quote would end the filter's string; `_` stands for any character, so it finds too much, not too little.
    pattern = re.sub(r"['\\]", "_", name)
    found = store.search(
        [experiment_id],
        f"tags.`{tags.KIND}` = '{tags.COMPARISON}' AND attributes.run_name LIKE '{pattern}%'",
    )
    taken = {run.name for run in found}
    numbered = (f"{name} ({number})" for number in itertools.count(2))
    return next(free for free in itertools.chain([name], numbered) if free not in taken)


def _log(
    comparison: Comparison, store: Store, experiment_id: str, question: str, name: str, *, progress: bool | None
) -> str:
    """Log the comparison as a new run and return its id."""
    run_tags = {
        tags.KIND: tags.COMPARISON,
        tags.UNIT: comparison.unit,
        tags.PLUGIN_VERSION: installed_version("gradiend-mlflow"),
    }
    if len(comparison.runs) <= _MOST_IDS:
        run_tags[tags.SOURCE_RUNS] = json.dumps(list(comparison.runs["run_id"]))
        trainings = [run_id for run_id in comparison.runs[TRAINING_RUN].unique() if run_id]
        if set(trainings) - set(comparison.runs["run_id"]):
            run_tags[tags.SOURCE_TRAININGS] = json.dumps(trainings)
    run_id = store.create_run(experiment_id, name=_UNFINISHED, run_tags=run_tags)
    try:
        params = {name: str(getattr(comparison, name)) for name in ("part", "topk", "value", "unit")}
        store.log_params(run_id, params | {"n_runs": str(len(comparison.shown.labels))})
        now = now_ms()
        store.log_metrics(run_id, [MetricPoint(key, value, now, 0) for key, value in summary_of(comparison).items()])
        digest = _upload_files(comparison, store, run_id, progress=progress)
        # Last: only a complete comparison has the answer as its name and description, and is found by its question.
        store.set_tags(run_id, {tags.MLFLOW_RUN_NAME: name, tags.MLFLOW_DESCRIPTION: description_of(comparison)})
        store.set_tags(run_id, {tags.COMPARISON_SHA256: digest, tags.QUESTION: question})
    except BaseException as error:
        with contextlib.suppress(StoreError):  # the first error is the one to raise
            store.end_run(run_id, "KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise
    store.end_run(run_id, "FINISHED")
    return run_id


def _upload_files(comparison: Comparison, store: Store, run_id: str, *, progress: bool | None) -> str:
    """Upload each file of a comparison while the next is made; returns the SHA-256 of comparison.json."""
    # Images go one after the other, because all of a run's are in one tag.
    with temporary_folder() as folder, ThreadPoolExecutor(PARALLEL_REQUESTS) as pool, ThreadPoolExecutor(1) as images:
        sent: list[Future[None]] = []
        try:
            with contextlib.closing(written_files(comparison, folder, progress=progress)) as files:
                for file in files:
                    sent.append(pool.submit(store.upload, run_id, file, None))
                    if file.name in _IMAGES:
                        sent.append(images.submit(_log_image, store, run_id, file))
                    _raise_failed(sent)
            wait(sent, return_when=FIRST_EXCEPTION)
            _raise_failed(sent)
        finally:  # what has not begun is of no use to a run that failed
            for one in sent:
                one.cancel()
        return sha256_of(folder / FACTS).hex()


def _raise_failed(sent: Sequence[Future[None]]) -> None:
    """Raise the error of the first upload that has failed."""
    for one in sent:
        if one.done():
            one.result()


def _log_image(store: Store, run_id: str, file: Path) -> None:
    from PIL import Image

    with Image.open(file) as image:
        store.log_image(run_id, image, _IMAGES[file.name])


def _link(store: Store, run_ids: Sequence[str], comparison_id: str) -> None:
    """Tag the compared runs with the comparison, in addition to those that they are tagged with already."""

    def link(run_id: str) -> None:
        linked = tags.comparisons_of(store.run(run_id).tags)
        if comparison_id not in linked:
            store.set_tags(run_id, {tags.COMPARISONS: json.dumps([*linked, comparison_id][-_MOST_IDS:])})

    with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
        list(pool.map(link, run_ids))
