"""`start_run(trainer)`: the block that owns a training's run, from its first step to the selected model."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from gradiend.trainer.trainer import Trainer

from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.sets.parts import DEFAULT_TOPK, PARTS
from gradiend_mlflow.store import tags
from gradiend_mlflow.tracking.callback import MLflowCallback
from gradiend_mlflow.tracking.evaluations import followed, remember
from gradiend_mlflow.tracking.guard import describe, safely
from gradiend_mlflow.tracking.session import Session, is_first_rank
from gradiend_mlflow.trainings.account import Account, account_of, seed_accounts
from gradiend_mlflow.trainings.directories import CONFIG, TrainingDirectory, best_of, modified
from gradiend_mlflow.trainings.options import DEFAULT_DEADLINE, LogModels
from gradiend_mlflow.trainings.terms import trainer_tags

logger = logging.getLogger("gradiend_mlflow")


class _Owned:
    """The trainers whose training is being logged, so that no training is logged twice."""

    def __init__(self) -> None:
        self._trainers: set[int] = set()
        self._lock = threading.Lock()

    def claim(self, trainer: Any) -> bool:
        with self._lock:
            if id(trainer) in self._trainers:
                return False
            self._trainers.add(id(trainer))
            return True

    def release(self, trainer: Any) -> None:
        with self._lock:
            self._trainers.discard(id(trainer))


owned = _Owned()
# The suite whose trainers are being trained in this context.
suite: ContextVar[Session | None] = ContextVar("gradiend_mlflow_suite", default=None)


@contextmanager
def start_run(
    trainer: Any,
    *,
    topk: float = DEFAULT_TOPK,
    parts: Sequence[str] = PARTS,
    experiment_name: str | None = None,
    run_name: str | None = None,
    extra_tags: Mapping[str, str] | None = None,
    log_models: LogModels = False,
    tracking_uri: str | None = None,
    deadline: float = DEFAULT_DEADLINE,
) -> Iterator[MLflowCallback]:
    """Own one MLflow run around a trainer's whole `train()`.

    The run holds the model that `train()` finally selects - after all seeds, the choice among them and pruning: its
    metrics by step, its top-k sets. Seeds that were tried are child runs. Evaluations inside the block go to the run
    too. When the block ends the run is FINISHED, or FAILED with the reason if an exception leaves it, or KILLED on an
    interrupt; the exception goes on. A model that gradiend takes from its cache is recorded from disk, unless it is
    recorded already: then the block's run is that one. Of several `torchrun` processes only rank 0 logs.

    Args:
        trainer: The gradiend Trainer that is trained inside the block.
        topk: How many weights per part to log, or which fraction of the GRADIEND's inputs.
        parts: Which of gradiend's four importances; one that the GRADIEND lacks is left out and named.
        experiment_name: Where the run goes, made if needed; default MLflow's active experiment. Inside an active
            run the training is logged to that run, which is then not ended.
        run_name: The run's name; default the trainer's run_id, or its target classes.
        extra_tags: More tags for the run.
        log_models: True logs the selected model's directory as `model/`; "external" registers it as an MLflow
            external model, the weights staying where they are.
        tracking_uri: The MLflow server or database; default MLflow's current one.
        deadline: How many seconds the end of the block may wait for MLflow, and the end of the process once more.

    Yields:
        The callback to pass: ``trainer.train(callbacks=[callback])``. Its `run_id` is the run's.

    Raises:
        InvalidInputError: If `trainer` is no gradiend Trainer, is being logged already, or an option is not
            acceptable. MLflow's faults are not raised; they are logged as warnings.

    Example:
        ::

            with gradiend_mlflow.start_run(trainer) as callback:
                trainer.train(callbacks=[callback])
                trainer.evaluate_encoder()
    """
    callback = MLflowCallback(
        topk=topk,
        parts=parts,
        experiment_name=experiment_name,
        run_name=run_name,
        extra_tags=extra_tags,
        log_models=log_models,
        tracking_uri=tracking_uri,
        deadline=deadline,
    )
    if not isinstance(trainer, Trainer):
        raise InvalidInputError(
            f"start_run needs a gradiend Trainer; got {type(trainer).__name__}. autolog() logs suites and collections."
        )
    if not owned.claim(trainer):
        raise InvalidInputError(f"this trainer is being logged already: {trainer}")
    try:
        with training_block(trainer, callback, wait=True) as session:
            if session is None:
                yield callback
            else:
                with followed(trainer, session, trained=lambda: _log_cached(session, trainer)):
                    yield callback
    finally:
        owned.release(trainer)


@contextmanager
def training_block(trainer: Any, callback: MLflowCallback, *, wait: bool = False) -> Iterator[Session | None]:
    """The block itself: `callback` logs to one session, which ends as the block does. None where no rank 0 is.

    With `wait` the block's end waits for MLflow, up to the callback's deadline.
    """
    if not is_first_rank():
        yield None
        return
    session = Session(
        callback.options,
        name=_name_of(trainer),
        run_tags=trainer_tags(trainer),
        suite=_suite_for(callback),
        experiment_dir=Path(trainer.experiment_dir) if trainer.experiment_dir else None,
    )
    before = callback.serve(session)
    remember(trainer, None)  # evaluations of an earlier training's model are over
    try:
        yield session
    except BaseException as error:
        status = "FAILED" if isinstance(error, Exception) else "KILLED"
        reason = describe(error)
        safely("log what there is of a failed training", lambda: _log_remains(session, trainer))
        safely("end the run of a failed training", lambda: session.close(status, reason, wait=wait))
        raise
    else:
        safely("log the selected model", lambda: _log_selected(session, trainer))
        safely("end the run", lambda: session.close("FINISHED", wait=wait))
        remember(trainer, session)
    finally:
        callback.serve(before)


def directory_of(trainer: Any) -> TrainingDirectory:
    """Where a trainer's results lie."""
    return TrainingDirectory.of(
        Path(trainer.model_path), Path(trainer.experiment_dir) if trainer.experiment_dir else None
    )


def _account_of(session: Session, trainer: Any) -> Account | None:
    """What the trainer's selected model says; None where nothing was trained."""
    if Path(trainer.model_path) == Path(trainer.base_model_path):
        return None
    return account_of(directory_of(trainer), name=session.name, about=trainer_tags(trainer))


def _is_cached(trainer: Any) -> bool:
    return bool(getattr(trainer, "_last_train_used_cache", False))


def _log_cached(session: Session, trainer: Any) -> None:
    """When `train()` returns: a model from gradiend's cache has a run already, or gets one from disk."""
    if _is_cached(trainer) and not session.started:
        account = _account_of(session, trainer)
        if account is not None:
            session.import_account(account)


def _log_selected(session: Session, trainer: Any) -> None:
    """What is known once `train()` has returned: the selected model and, for several seeds, their report."""
    _log_cached(session, trainer)
    if session.was_imported:
        return
    account = _account_of(session, trainer)
    if account is None:
        session.run  # noqa: B018  # nothing was trained, but the block is to have its run
        return
    if not (_is_cached(trainer) or session.was_live or session.seeds):
        logger.warning(
            "train() was not given the block's callback: train(callbacks=[callback]). The run %s has what gradiend's "
            "training.json says, at the time of its end.",
            session.name,
        )
    session.log_account(account)


def _log_remains(session: Session, trainer: Any) -> None:
    """What a training that failed has written since it began: the report on its seeds, a learning-rate search."""
    if not trainer.experiment_dir:
        return
    training = TrainingDirectory.of(best_of(Path(trainer.experiment_dir) / "model"), Path(trainer.experiment_dir))
    fresh = [file for file in training.reports() if modified(file) * 1000 >= session.begun]
    if fresh:
        session.log_files(fresh, tags.FILES_FOLDER)
    if session.seeds and training.report_file() in fresh:
        session.log_seeds(seed_accounts(training, session.name, trainer_tags(trainer)))
    if modified(training.model / CONFIG) * 1000 >= session.begun:
        # Its model is there, so an import would take it for a finished training: this run is what became of it.
        session.run.tags({tags.DIRECTORY: str(training.model), tags.FINGERPRINT: training.fingerprint()})


def _suite_for(callback: MLflowCallback) -> Session | None:
    """The suite that is being trained, if the training is logged to the same server."""
    around = suite.get()
    same = around is not None and around.options.tracking_uri == callback.options.tracking_uri
    return around if same else None


def _name_of(trainer: Any) -> str:
    if trainer.run_id:
        return str(trainer.run_id)
    return " vs ".join(map(str, trainer.target_classes or [])) or "gradiend"
