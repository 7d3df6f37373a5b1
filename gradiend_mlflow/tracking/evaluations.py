"""Evaluations of a trained model go to the run of its training."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from gradiend_mlflow.store import tags
from gradiend_mlflow.tracking.guard import safely
from gradiend_mlflow.tracking.session import Session
from gradiend_mlflow.trainings.directories import seed_number
from gradiend_mlflow.trainings.words.terms import decoder_metrics, encoder_metrics

EVALUATIONS = ("evaluate_encoder", "evaluate_decoder", "evaluate")

_attached: WeakKeyDictionary[Any, Session] = WeakKeyDictionary()


def attach(trainer: Any, session: Session) -> None:
    """From now on, log this trainer's evaluations to that session's run."""
    _attached[trainer] = session


def detach(trainer: Any) -> Session | None:
    """Log no more evaluations of this trainer; returns the session to which they went."""
    return _attached.pop(trainer, None)


@contextmanager
def evaluations_logged(trainer: Any, session: Session, *, after_training: Callable[[], None]) -> Iterator[None]:
    """Within the block, log this one trainer's evaluations to the session's run, once it has trained.

    Args:
        trainer: The trainer; its own methods are back when the block ends.
        session: The training's.
        after_training: Called when `train()` has returned.
    """
    own = {name: vars(trainer)[name] for name in ("train", *EVALUATIONS) if name in vars(trainer)}
    train = trainer.train

    @functools.wraps(train)
    def train_and_attach(*args: Any, **kwargs: Any) -> Any:
        detach(trainer)  # what gradiend evaluates while it trains is its own business
        result = train(*args, **kwargs)
        attach(trainer, session)
        with safely("look for the run of a model from gradiend's cache"):
            after_training()
        return result

    trainer.train = train_and_attach
    for name in EVALUATIONS:
        setattr(trainer, name, _logging(getattr(trainer, name), name, trainer))
    try:
        yield
    finally:
        detach(trainer)
        for name in ("train", *EVALUATIONS):
            vars(trainer).pop(name, None)
        vars(trainer).update(own)


def _logging(evaluation: Callable[..., Any], name: str, trainer: Any) -> Callable[..., Any]:
    @functools.wraps(evaluation)
    def evaluate(*args: Any, **kwargs: Any) -> Any:
        return evaluate_and_log(trainer, name, functools.partial(evaluation, *args, **kwargs))

    return evaluate


def evaluate_and_log(trainer: Any, name: str, evaluation: functools.partial[Any]) -> Any:
    """Evaluate, and log what that returned and wrote to the run of the trainer's training, if it was logged.

    Args:
        trainer: The trainer.
        name: Which of `EVALUATIONS` it is.
        evaluation: The function with its arguments.
    """
    session = detach(trainer)  # what it evaluates in turn is a part of it
    try:
        result = evaluation()
    finally:
        if session is not None:
            attach(trainer, session)
    if session is not None:
        with safely(f"log {name}"):
            _log(session, trainer, name, _arguments(evaluation), result)
    return result


def _arguments(call: functools.partial[Any]) -> Mapping[str, Any]:
    """The arguments of a call by name, with the defaults of those that were not given."""
    bound = inspect.signature(call.func).bind(*call.args, **call.keywords)
    bound.apply_defaults()
    return bound.arguments


def _log(session: Session, trainer: Any, name: str, arguments: Mapping[str, Any], result: Mapping[str, Any]) -> None:
    if _is_of_another_model(trainer, arguments.get("model_with_gradiend")):
        return
    metrics = _metrics(name, arguments, result)
    seed = _seed_under_evaluation(session, trainer)
    if seed is None:
        session.log_evaluation(metrics)
    elif seed in session.runs.seeds:  # gradiend points the trainer at one seed after the other
        session.runs.seeds[seed].metrics(0, metrics)
    if session.closed:  # if not, the end of the block logs the files
        if seed is None and session.directory is not None:
            session.log_files(session.directory.evaluation_files(), tags.EVALUATION_FOLDER)
            session.run.tags({tags.FINGERPRINT: session.directory.fingerprint()})
        session.release()


def _metrics(name: str, arguments: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, float]:
    if name == "evaluate":  # both at once
        options, results = {**arguments.get("kwargs", {}), **(arguments.get("kwargs_encoder") or {})}, result
    else:
        options, results = dict(arguments), {name.removeprefix("evaluate_"): result}
    split = options.get("split") or "test"  # gradiend's default
    split_name = (
        "_".join(map(str, split)) if isinstance(split, (list, tuple)) else str(split)
    )  # as in gradiend's files
    encoder, decoder = results.get("encoder") or {}, results.get("decoder") or {}
    return {**encoder_metrics(encoder, split_name), **decoder_metrics(decoder)}


def _is_of_another_model(trainer: Any, model: Any) -> bool:
    """Whether an evaluation is of a model that is not the trained one, or of one while seeds are being tried."""
    own, path = Path(trainer.model_path), getattr(model, "name_or_path", None)
    return own.parent.name == "seeds" or (path is not None and Path(path) != own)


def _seed_under_evaluation(session: Session, trainer: Any) -> int | None:
    """The seed at which gradiend has pointed the trainer's experiment directory, if it has."""
    where = Path(trainer.experiment_dir or "").resolve()
    for seed in () if session.directory is None else session.directory.seeds:
        if where.is_relative_to(seed.with_name(f"seed_{seed_number(seed)}")) or where.is_relative_to(seed):
            return seed_number(seed)
    return None
