"""`start_run(trainer)`: the block that owns a training's run; `autolog()`: that block around every `train()`."""

from __future__ import annotations

import functools
import inspect
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gradiend.trainer.trainer import Trainer
from mlflow.utils.autologging_utils import autologging_integration, is_testing, safe_patch

from gradiend_mlflow import tags
from gradiend_mlflow.callback import MLflowCallback
from gradiend_mlflow.errors import CheckpointError, InvalidInputError
from gradiend_mlflow.parts import DEFAULT_TOPK, PARTS
from gradiend_mlflow.session import DEFAULT_DEADLINE, Session, describe
from gradiend_mlflow.training import Outcome, trainer_tags

logger = logging.getLogger("gradiend_mlflow")

FLAVOR = "gradiend"


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


_owned = _Owned()


@contextmanager
def start_run(
    trainer: Any,
    *,
    topk: float = DEFAULT_TOPK,
    parts: Sequence[str] = PARTS,
    experiment_name: str | None = None,
    run_name: str | None = None,
    extra_tags: Mapping[str, str] | None = None,
    tracking_uri: str | None = None,
    deadline: float = DEFAULT_DEADLINE,
) -> Iterator[MLflowCallback]:
    """Own one MLflow run around a trainer's whole `train()`.

    The run holds the model that `train()` finally selects - after all seeds, the choice among them and pruning: its
    metrics by step, its top-k sets. Seeds that were tried are child runs. When the block ends the run is FINISHED,
    or FAILED with the reason if an exception leaves it, or KILLED on an interrupt; the exception goes on.

    Args:
        trainer: The gradiend Trainer that is trained inside the block.
        topk: How many weights per part to log, or which fraction of the GRADIEND's inputs.
        parts: Which of gradiend's four importances; one that the GRADIEND lacks is left out and named.
        experiment_name: Where the run goes, made if needed; default MLflow's active experiment. Inside an active
            run the training is logged to that run, which is then not ended.
        run_name: The run's name; default the trainer's run_id, or its target classes.
        extra_tags: More tags for the run.
        tracking_uri: The MLflow server or database; default MLflow's current one.
        deadline: How many seconds the end of the block may wait for MLflow.

    Yields:
        The callback to pass: ``trainer.train(callbacks=[callback])``. Its `run_id` is the run's.

    Raises:
        InvalidInputError: If `trainer` is no gradiend Trainer, is being logged already, or an option is not
            acceptable. MLflow's faults are not raised; they are logged as warnings.

    Example:
        ::

            with gradiend_mlflow.start_run(trainer) as callback:
                trainer.train(callbacks=[callback])
    """
    callback = MLflowCallback(
        topk=topk,
        parts=parts,
        experiment_name=experiment_name,
        run_name=run_name,
        extra_tags=extra_tags,
        tracking_uri=tracking_uri,
        deadline=deadline,
    )
    if not isinstance(trainer, Trainer):
        raise InvalidInputError(f"start_run needs a gradiend Trainer; got {type(trainer).__name__}")
    if not _owned.claim(trainer):
        raise InvalidInputError(f"this trainer is being logged already: {trainer}")
    try:
        with _session(trainer, callback) as session:
            session.run  # noqa: B018  # starts it: the block has a run even if train() is never reached
            yield callback
    finally:
        _owned.release(trainer)


@contextmanager
def _session(trainer: Any, callback: MLflowCallback) -> Iterator[Session]:
    """The block itself: `callback` logs to one session, which ends as the block does."""
    session = Session(callback.options, name=_name_of(trainer), run_tags=trainer_tags(trainer))
    before = callback._session  # noqa: SLF001  # callback and block are one mechanism
    callback._last = callback._session = session  # noqa: SLF001
    try:
        yield session
    except BaseException as error:
        status, reason = "FAILED" if isinstance(error, Exception) else "KILLED", describe(error)
        _safely("end the run of a failed training", lambda: session.close(status, reason))
        raise
    else:
        if session.started:
            _safely("log the selected model", lambda: _log_selected(session, trainer))
        elif getattr(trainer, "_last_train_used_cache", False):
            logger.warning(
                "train() of %s was served from gradiend's cache: nothing was trained, so no run was made. "
                "log_topk(trainer, run_id=...) records the model.",
                session.name,
            )
        _safely("end the run", lambda: session.close("FINISHED"))
    finally:
        callback._session, callback._loop = before, None  # noqa: SLF001


def _safely(what: str, action: Callable[[], None]) -> None:
    try:
        action()
    except Exception as error:
        if is_testing():
            raise
        logger.warning("Could not %s: %s", what, error, exc_info=logger.isEnabledFor(logging.DEBUG))


def _log_selected(session: Session, trainer: Any) -> None:
    """What is known once `train()` has returned: the selected model and, for several seeds, their report."""
    directory = Path(trainer.model_path)
    if directory == Path(trainer.base_model_path):
        return  # nothing was trained
    experiment_dir = Path(trainer.experiment_dir) if trainer.experiment_dir else directory
    multi_seed = bool(session.seeds)
    report = trainer.get_seed_report() if multi_seed else None
    if report:
        _log_seed_report(session, report)
    if multi_seed:
        session.run.params({"experiment_dir": str(experiment_dir), "output_dir": str(directory)})
    elif not (session.was_live or getattr(trainer, "_last_train_used_cache", False)):
        logger.warning(
            "train() was not given the block's callback: train(callbacks=[callback]). The run %s has what gradiend's "
            "training.json says, at the time of its end.",
            session.name,
        )
    session.log_record(directory)
    files = [directory / "training.json", directory / "config.json"]
    if multi_seed and trainer.get_seed_report_path():
        files.append(Path(trainer.get_seed_report_path()))
    session.log_files(session.run, files, tags.FILES_FOLDER)
    session.log_files(session.run, sorted(experiment_dir.glob("training_convergence.*")), tags.FIGURES_FOLDER)
    session.log_sets(session.run, directory)


def _log_seed_report(session: Session, report: Mapping[str, Any]) -> None:
    """Every tried seed's outcome to its own run, and which one was selected to the training's."""
    best = report.get("best_seed")
    if best is not None:
        session.run.tags({tags.SEED: str(best)})
    for entry in report.get("runs") or []:
        run = session.seeds.get(entry.get("seed"))
        if run is None:
            continue
        run.tags(Outcome(converged=entry.get("converged")).run_tags())
        if session.seeds_change_later:
            try:
                session.log_sets(run, Path(entry["output_dir"]))
            except CheckpointError as error:  # gradiend keeps the models of some seeds only
                logger.info("The sets of seed %s are those before pruning: %s", entry.get("seed"), error)


@autologging_integration(FLAVOR)
def autolog(
    *,
    topk: float = DEFAULT_TOPK,
    parts: Sequence[str] = PARTS,
    disable: bool = False,  # noqa: ARG001  # MLflow's decorator reads it
    exclusive: bool = False,  # noqa: ARG001  # MLflow's decorator reads it
    silent: bool = False,  # noqa: ARG001  # MLflow's decorator reads it
    extra_tags: Mapping[str, str] | None = None,
    experiment_name: str | None = None,
    tracking_uri: str | None = None,
    deadline: float = DEFAULT_DEADLINE,
) -> None:
    """Log every `Trainer.train()` of this process to MLflow from now on, each as a run of its own.

    What is logged is what `start_run` logs. A trainer that is logged already - by `start_run`, or by an
    `MLflowCallback` among its callbacks - is not logged twice. A training that gradiend serves from its cache makes
    no run. Calling it again replaces the options.

    Args:
        topk: How many weights per part to log, or which fraction of the GRADIEND's inputs.
        parts: Which of gradiend's four importances; one that the GRADIEND lacks is left out and named.
        disable: Stop logging.
        exclusive: Do not log to a run that the user has started: trainings inside one are not logged.
        silent: Suppress MLflow's event logs and warnings, as for MLflow's own flavors.
        extra_tags: More tags for every run.
        experiment_name: Where runs go, made if needed; default MLflow's active experiment.
        tracking_uri: The MLflow server or database; default MLflow's current one when training begins.
        deadline: How many seconds the end of a training may wait for MLflow.

    Raises:
        InvalidInputError: If an argument is not acceptable.

    Example:
        >>> import gradiend_mlflow
        >>> gradiend_mlflow.autolog(topk=1000)
        >>> gradiend_mlflow.autolog(disable=True)
    """
    new_callback = functools.partial(
        MLflowCallback,
        topk=topk,
        parts=parts,
        experiment_name=experiment_name,
        extra_tags={tags.MLFLOW_AUTOLOGGING: FLAVOR, **(extra_tags or {})},
        tracking_uri=tracking_uri,
        deadline=deadline,
    )
    new_callback()  # raises here, not in a training, if an option is not acceptable

    def train(original: Callable[..., Any], self: Any, *args: Any, **kwargs: Any) -> Any:
        # A learning-rate search trains the same trainer again inside train(): its probes are no runs.
        if not _owned.claim(self):
            return original(self, *args, **kwargs)
        try:
            args, kwargs, callback = _with_callback(new_callback, inspect.signature(original), args, kwargs)
            with _session(self, callback):
                return original(self, *args, **kwargs)
        finally:
            _owned.release(self)

    safe_patch(FLAVOR, Trainer, "train", train)


def _with_callback(
    new_callback: Callable[[], MLflowCallback],
    signature: inspect.Signature,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> tuple[tuple[Any, ...], dict[str, Any], MLflowCallback]:
    """The arguments of `train()` with our callback among them: the user's own one, or else a new one at the end."""
    position = list(signature.parameters).index("callbacks") - 1  # self is not among the arguments
    positional = len(args) > position
    callbacks = list((args[position] if positional else kwargs.get("callbacks")) or [])
    # One that serves another trainer's block at the moment cannot serve this training too.
    given = [c for c in callbacks if isinstance(c, MLflowCallback) and c._session is None]  # noqa: SLF001
    if given:
        return args, kwargs, given[0]
    callback = new_callback()
    callbacks = [c for c in callbacks if not isinstance(c, MLflowCallback)] + [callback]
    if positional:
        return (*args[:position], callbacks, *args[position + 1 :]), kwargs, callback
    return args, {**kwargs, "callbacks": callbacks}, callback


def _name_of(trainer: Any) -> str:
    if trainer.run_id:
        return str(trainer.run_id)
    return " vs ".join(map(str, trainer.target_classes or [])) or "gradiend"
