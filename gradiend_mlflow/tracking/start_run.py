"""`start_run(trainer)`: the block that owns a training's run, from its first step to the selected model."""

from __future__ import annotations

import functools
import os
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from gradiend.trainer.trainer import Trainer

from gradiend_mlflow.errors import InvalidInputError, logger
from gradiend_mlflow.store import tags
from gradiend_mlflow.tracking.callback import MLflowCallback, is_first_rank
from gradiend_mlflow.tracking.evaluations import attach, detach, evaluations_logged
from gradiend_mlflow.tracking.guard import describe, safely
from gradiend_mlflow.tracking.session import Session
from gradiend_mlflow.tracking.trainers import (
    data_of,
    directory_of,
    experiment_dir_of,
    has_trained,
    is_cached,
    name_of,
    trainer_tags,
)
from gradiend_mlflow.trainings.account import Account, account_of, seed_accounts
from gradiend_mlflow.trainings.directories import CONFIG, TrainingDirectory, best_of, modified
from gradiend_mlflow.trainings.files import SeedFiles
from gradiend_mlflow.trainings.options import LogKeywords

if TYPE_CHECKING:
    from typing_extensions import Unpack

_owners: dict[int, object] = {}  # by the id of the trainer whose training is being logged
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_owners.clear)  # a training of the child's own is logged
# The suite whose trainers are being trained in this context.
suite: ContextVar[Session | None] = ContextVar("gradiend_mlflow_suite", default=None)


@contextmanager
def start_run(trainer: Any, **options: Unpack[LogKeywords]) -> Iterator[MLflowCallback]:
    """Own one MLflow run around a trainer's whole `train()`.

    The run holds the model that `train()` finally selects - after all seeds, the choice among them and pruning: its
    metrics by step, its top-k sets. Seeds that were tried are child runs. Evaluations inside the block go to the run
    too. When the block ends, the run is FINISHED, or FAILED with the reason if an exception leaves it, or KILLED on an
    interrupt; the exception goes on. A model that gradiend takes from its cache is imported from disk, unless it has a
    run already: then the block's run is that one. Of several `torchrun` processes only rank 0 logs.

    Inside an active MLflow run the training is logged to that run, which is then not ended.

    Args:
        trainer: The gradiend Trainer that is trained inside the block.
        options: `run_name`, the run's name (default the trainer's run_id, or its target classes), and the options of
            `autolog`, which documents them: `topk`, `parts`, `topk_steps`, `extra_tags`, `log_models`,
            `registered_model_name`, `log_datasets`, `experiment_name`, `tracking_uri`, `deadline`, `views`. The end of
            the block waits up to `deadline` seconds for MLflow.

    Yields:
        The callback to pass: ``trainer.train(callbacks=[callback])``. Its `run_id` is the run's.

    Raises:
        TypeError: If a keyword is none of these options.
        InvalidInputError: If `trainer` is not a gradiend Trainer, is being logged already, or an option is not
            acceptable. MLflow's faults are not raised; they are logged as warnings.

    Example:
        ::

            with gradiend_mlflow.start_run(trainer, experiment_name="pronouns") as callback:
                trainer.train(callbacks=[callback])
                trainer.evaluate_encoder()
    """
    callback = MLflowCallback(**options)
    if not isinstance(trainer, Trainer):
        raise InvalidInputError(
            f"start_run needs a gradiend Trainer; got {type(trainer).__name__}. autolog() logs suites and collections."
        )
    with claimed(trainer) as is_free:
        if not is_free:
            raise InvalidInputError(f"this trainer is being logged already: {trainer}")
        if not is_first_rank():
            yield callback
            return
        with (
            training_block(trainer, callback, wait=True) as session,
            evaluations_logged(trainer, session, after_training=lambda: _import_cached(session, trainer)),
        ):
            yield callback


@contextmanager
def claimed(trainer: Any) -> Iterator[bool]:
    """Claim a trainer within the block, so that no training is logged twice: False if it is claimed already."""
    owner = object()
    is_free = _owners.setdefault(id(trainer), owner) is owner
    try:
        yield is_free
    finally:
        if _owners.get(id(trainer)) is owner:  # not so in a child that was forked within the block
            del _owners[id(trainer)]


@contextmanager
def training_block(trainer: Any, callback: MLflowCallback, *, wait: bool = False) -> Iterator[Session]:
    """The block itself: `callback` logs to one session, which ends as the block does.

    With `wait` the block's end waits for MLflow, up to the callback's deadline.
    """
    own = weakref.proxy(trainer)  # the session stays as long as the trainer, which it must not keep
    session = Session(
        callback.options,
        name=functools.partial(name_of, own),
        about=functools.partial(trainer_tags, own),
        suite=_suite_for(callback),
        experiment_dir=experiment_dir_of(trainer),
        data=functools.partial(data_of, own),
    )
    detach(trainer)  # an earlier training's model is not evaluated any more
    with (
        callback.serving(session),
        closing(
            session,
            at_end=lambda: _log_selected(session, trainer),
            at_failure=lambda: _log_remains(session, trainer),
            wait=wait,
        ),
    ):
        yield session
    if session.started:
        attach(trainer, session)


@contextmanager
def closing(
    session: Session,
    *,
    at_end: Callable[[], None] = lambda: None,
    at_failure: Callable[[], None] = lambda: None,
    wait: bool = False,
) -> Iterator[None]:
    """End the session's runs with the block, as it ends: FINISHED, FAILED with the reason, or KILLED by an interrupt.

    Before that `at_end` or `at_failure` logs what is left to be logged. With `wait`, wait until all is delivered.
    """
    try:
        yield
    except BaseException as error:
        if session.is_foreign:  # a forked child leaves the block of its parent
            raise
        with safely("log what a failed training has left"):
            at_failure()
        with safely("end the run of a failed training"):
            status = "FAILED" if isinstance(error, Exception) else "KILLED"
            session.close(status, describe(error), wait=wait)
        raise
    if session.is_foreign:
        return
    with safely("log the selected model"):
        at_end()
    with safely("end the run"):
        session.close("FINISHED", wait=wait)


def _account(session: Session, trainer: Any) -> Account:
    return account_of(directory_of(trainer), name=session.runs.name, about=trainer_tags(trainer))


def _import_cached(session: Session, trainer: Any) -> None:
    """When `train()` returns: a model from gradiend's cache has a run already, or gets one from disk."""
    if is_cached(trainer) and has_trained(trainer) and not session.started:
        session.import_account(_account(session, trainer))


def _log_selected(session: Session, trainer: Any) -> None:
    """Log what is known once `train()` has returned: the selected model and, for several seeds, their report."""
    session.runs.rename()
    _import_cached(session, trainer)
    if session.directory is not None:  # it was imported
        return
    if not has_trained(trainer):
        session.run  # noqa: B018  # nothing was trained, but the block is to have its run
        return
    account = _account(session, trainer)
    if not (is_cached(trainer) or session.loops or account.is_resumed):
        logger.warning(
            "train() was not given the block's callback: train(callbacks=[callback]). The run %s has what gradiend's "
            "training.json said when the training had ended.",
            session.runs.name,
        )
    session.log_account(account)


def _log_remains(session: Session, trainer: Any) -> None:
    """Log what a training that failed has written since it began: the report on its seeds, a learning-rate search."""
    session.runs.rename()
    experiment_dir = experiment_dir_of(trainer)
    if experiment_dir is None:
        return
    training = TrainingDirectory.of(best_of(experiment_dir / "model"), experiment_dir)
    fresh = [file for file in training.reports() if modified(file) * 1000 >= session.runs.begun]
    if fresh:
        session.log_files(fresh, tags.FILES_FOLDER)
    if session.runs.seeds and training.report_file in fresh:
        seeds = SeedFiles.read(training)
        session.log_seeds(seed_accounts(training, seeds, session.runs.name, trainer_tags(trainer)))
    if modified(training.model / CONFIG) * 1000 >= session.runs.begun:
        # Its model is there, so an import would take it for a finished training: this run is what became of it.
        session.run.tags({tags.DIRECTORY: str(training.model), tags.FINGERPRINT: training.fingerprint()})


def _suite_for(callback: MLflowCallback) -> Session | None:
    """The suite that is being trained, if the training is logged to the same server."""
    around = suite.get()
    same = (
        around is not None and not around.is_foreign and around.options.tracking_uri == callback.options.tracking_uri
    )
    return around if same else None
