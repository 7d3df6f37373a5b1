"""`import_runs`: finished trainings in a directory tree become runs, each once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd

from gradiend_mlflow.checks import check_experiment, existing_directory
from gradiend_mlflow.disk.trees import LEADS_OUT
from gradiend_mlflow.display.progress import check_progress, with_progress
from gradiend_mlflow.errors import CheckpointError, GradiendMLflowError, InvalidInputError, logger
from gradiend_mlflow.sets.parts import DEFAULT_TOPK, PARTS
from gradiend_mlflow.store.pending import flush
from gradiend_mlflow.store.store import Store
from gradiend_mlflow.trainings.account import Account, account_of
from gradiend_mlflow.trainings.backfill import Backfill
from gradiend_mlflow.trainings.directories import TRAINING_FILE, TrainingDirectory
from gradiend_mlflow.trainings.options import LogModels, LogOptions
from gradiend_mlflow.trainings.results import frame_of_results
from gradiend_mlflow.trainings.search import find_trainings
from gradiend_mlflow.wording import some_of

COLUMNS = ("directory", "result", "run_id", "run_name", "reason")

_PARALLEL = 4


def import_runs(
    path: str | PathLike[str],
    *,
    experiment_name: str | None = None,
    topk: float = DEFAULT_TOPK,
    parts: Sequence[str] = PARTS,
    extra_tags: Mapping[str, str] | None = None,
    log_models: LogModels = False,
    views: bool = True,
    strict: bool = False,
    progress: bool | None = None,
    tracking_uri: str | None = None,
) -> pd.DataFrame:
    """Import finished GRADIEND trainings that were not tracked, as if they had been.

    Every training in or below `path` becomes a run with its params, metrics by step, seeds, sets, files and plots;
    its start and end are those of its files. Suites become parent runs. What the experiment holds already - imported
    before or tracked live - is left alone, whatever the options say; a directory that has changed since updates its
    run, and one that holds another training than before becomes a new run, to which the old one's tag
    `gradiend.superseded_by` points. Two imports of the same directories at the same time may add them twice.

    Args:
        path: An experiment directory, a model directory, or any directory above them.
        experiment_name: Where runs go, created if needed; default MLflow's active experiment.
        topk: As for `autolog`, like the next three.
        parts: As for `autolog`.
        extra_tags: As for `autolog`.
        log_models: As for `autolog`.
        views: As for `autolog`.
        strict: Raise if a directory could not be imported; the others are imported nevertheless.
        progress: Whether to show a progress bar; default one in a terminal or a notebook, if it takes over a second.
        tracking_uri: The MLflow server or database; default MLflow's current one.

    Returns:
        A row for each directory that cannot be imported, then one per training, ordered by their ends. Columns:
        directory (of the model), result ("imported", "updated", "unchanged", "failed", or "left out" for a link to a
        directory outside `path`), run_id (None if failed or left out), run_name, and reason: why it failed, or what
        the run lacks because the files do not say it, or are links that lead out of `path`.

    Raises:
        InvalidInputError: If `path` does not exist, nothing below it is a training, or an option is not acceptable.
        CheckpointError: With `strict`, if directories failed; it names them.
        StoreError: If MLflow cannot be reached.

    Example:
        ::

            frame = gradiend_mlflow.import_runs("runs/", experiment_name="pronouns")
    """
    root = existing_directory(path, "import")
    check_progress(progress)
    check_experiment(experiment_name=experiment_name)
    options = LogOptions(
        topk=topk,
        parts=parts,
        extra_tags=extra_tags,
        log_models=log_models,
        tracking_uri=tracking_uri,
        views=views,
    )
    found = find_trainings(root)
    if not (found.trainings or found.faults or found.links):
        raise InvalidInputError(f"no GRADIEND training below {root}: no directory there has a {TRAINING_FILE}")
    flush()  # the trainings of this process may be about to log these directories
    store = Store(tracking_uri)
    if experiment_name is None:
        experiment_id = store.active_experiment_id()
        store.check_not_deleted(id=experiment_id)
    else:
        experiment_id = store.experiment_id(experiment_name)
    backfill = Backfill(store, experiment_id, options)
    backfill.look_up()  # a server that cannot be reached is one error, not one per directory
    rows = [_failed(directory, reason) for directory, reason in found.faults]
    rows += [(str(link), "left out", None, None, f"{reason}; import what it leads to") for link, reason in found.links]
    suites = _suites(found.trainings)
    with ThreadPoolExecutor(_PARALLEL) as pool:
        results = pool.map(lambda training: _attempt(backfill, training, suites.get(training)), found.trainings)
        rows += with_progress(results, "import", "training", show=progress, total=len(found.trainings))
    backfill.end_suites()
    raising = CheckpointError if strict else None
    return frame_of_results(rows, COLUMNS, "could not be imported", things="directories", raising=raising)


def _suites(found: Sequence[TrainingDirectory]) -> dict[TrainingDirectory, Path]:
    """The directory of the suite that each training seems to belong to, if any.

    gradiend's suites name their trainers, and so their directories, `<class>__<class>`; one alone is no suite.
    """
    parents = {training: training.experiment_dir.parent for training in found if "__" in training.experiment_dir.name}
    siblings = Counter(parents.values())
    return {training: parent for training, parent in parents.items() if siblings[parent] > 1}


def _attempt(backfill: Backfill, training: TrainingDirectory, suite: Path | None) -> tuple[Any, ...]:
    try:
        account = account_of(training)
        added = backfill.add(account, parent=None if suite is None else lambda: backfill.suite(suite, account))
    except GradiendMLflowError as error:
        return _failed(training.model, str(error))
    except OSError as error:
        return _failed(training.model, f"it cannot be read: {error}")
    except Exception as error:  # one broken directory must not cost the others
        logger.debug("%s", training.model, exc_info=True)
        return _failed(training.model, f"{type(error).__name__}: {error}")
    return (str(training.model), added.result, added.run_id, account.name, _lacking(account))


def _lacking(account: Account) -> str | None:
    """What a run lacks of what its directory should hold."""
    links = [f"{link.name}: {LEADS_OUT.format(account.training.root)}" for link in account.training.links_out()]
    return "; ".join([*([] if account.gap is None else [account.gap]), *some_of(links)]) or None


def _failed(directory: Path, reason: str) -> tuple[Any, ...]:
    return (str(directory), "failed", None, None, reason)
