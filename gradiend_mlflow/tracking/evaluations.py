"""Evaluations of a trained model go to the run of its training."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from gradiend_mlflow.store import tags
from gradiend_mlflow.tracking.guard import safely
from gradiend_mlflow.tracking.session import Session
from gradiend_mlflow.trainings.directories import seed_number
from gradiend_mlflow.trainings.terms import decoder_metrics, encoder_metrics

logger = logging.getLogger("gradiend_mlflow")

EVALUATIONS = ("evaluate_encoder", "evaluate_decoder", "evaluate")

_sessions: WeakKeyDictionary[Any, Session] = WeakKeyDictionary()


def remember(trainer: Any, session: Session | None) -> None:
    """Later evaluations of this trainer belong to that session's run; None forgets it."""
    _sessions.pop(trainer, None)
    if session is not None and session.started:
        _sessions[trainer] = session


def session_of(trainer: Any) -> Session | None:
    """The session of the trainer's last training, if it was logged."""
    return _sessions.get(trainer)


@contextmanager
def followed(trainer: Any, session: Session, *, trained: Callable[[], None]) -> Iterator[None]:
    """Within the block, log this one trainer's evaluations to the session's run, once it has trained.

    Args:
        trainer: The trainer; its own methods are back when the block ends.
        session: The training's.
        trained: Called when `train()` has returned.
    """
    before = {name: vars(trainer)[name] for name in ("train", *EVALUATIONS) if name in vars(trainer)}
    has_trained = [False]

    def train(*args: Any, **kwargs: Any) -> Any:
        has_trained[0] = False  # what gradiend evaluates meanwhile is its own business
        result = original_train(*args, **kwargs)
        has_trained[0] = True
        safely("look for the run of a model from gradiend's cache", trained)
        return result

    original_train = trainer.train
    trainer.train = functools.wraps(original_train)(train)
    for name in EVALUATIONS:
        setattr(trainer, name, _followed(getattr(trainer, name), name, trainer, session, lambda: has_trained[0]))
    try:
        yield
    finally:
        for name in ("train", *EVALUATIONS):
            vars(trainer).pop(name, None)
        vars(trainer).update(before)


def _followed(
    original: Callable[..., Any], name: str, trainer: Any, session: Session, has_trained: Callable[[], bool]
) -> Callable[..., Any]:
    @functools.wraps(original)
    def evaluate(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        if has_trained():
            log_evaluation(session, trainer, Evaluation(name, original, args, kwargs, result))
        return result

    return evaluate


@dataclass(frozen=True)
class Evaluation:
    """One call of one of `EVALUATIONS`: its name, the function, its arguments, what it returned."""

    name: str
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    result: Mapping[str, Any]

    def arguments(self) -> dict[str, Any]:
        """The arguments by name, with the defaults of those that were not given."""
        bound = inspect.signature(self.function).bind(*self.args, **self.kwargs)
        bound.apply_defaults()
        return dict(bound.arguments)


def log_evaluation(session: Session, trainer: Any, evaluation: Evaluation) -> None:
    """Log what an evaluation of a trained model returned and wrote to the run of its training; never raises."""
    safely(f"log {evaluation.name}", lambda: _log(session, trainer, evaluation))


def _log(session: Session, trainer: Any, evaluation: Evaluation) -> None:
    arguments = evaluation.arguments()
    if _is_of_another_model(trainer, arguments.get("model_with_gradiend")):
        return
    metrics = _metrics(evaluation.name, arguments, evaluation.result)
    seed = _seed_under_evaluation(session, trainer)
    if seed is None:
        session.log_evaluation(metrics)
    elif seed in session.seeds:  # gradiend points the trainer at one seed after the other
        session.seeds[seed].metrics(0, metrics)
    if session.closed:  # else the end of the block logs the files
        if seed is None and session.directory is not None:
            session.log_files(session.directory.evaluation_files(), tags.EVALUATION_FOLDER)
            session.run.tags({tags.FINGERPRINT: session.directory.fingerprint()})
        session.release()


def _metrics(name: str, arguments: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, float]:
    if name == "evaluate_decoder":
        return decoder_metrics(result)
    if name == "evaluate_encoder":
        return encoder_metrics(result, _split_name(arguments.get("split")))
    options = {**arguments.get("kwargs", {}), **(arguments.get("kwargs_encoder") or {})}
    encoder, decoder = result.get("encoder") or {}, result.get("decoder") or {}
    return {**encoder_metrics(encoder, _split_name(options.get("split"))), **decoder_metrics(decoder)}


def _split_name(split: Any) -> str:
    """As gradiend names splits in its files; it evaluates the test split by default."""
    return "_".join(map(str, split)) if isinstance(split, (list, tuple)) else str(split or "test")


def _is_of_another_model(trainer: Any, model: Any) -> bool:
    """Whether an evaluation is of a model that is not the trained one, or of one while seeds are being tried."""
    own = Path(trainer.model_path)
    if own.parent.name == "seeds":  # gradiend chooses among the seeds
        return True
    path = getattr(model, "name_or_path", None)
    return model is not None and path is not None and Path(path) != own


def _seed_under_evaluation(session: Session, trainer: Any) -> int | None:
    """The seed at which gradiend has pointed the trainer's experiment directory, if it has."""
    where = Path(trainer.experiment_dir or "").resolve()
    if session.directory is None:
        return None
    for seed in session.directory.seeds:
        if where.is_relative_to(seed.with_name(f"seed_{seed_number(seed)}")) or where.is_relative_to(seed):
            return seed_number(seed)
    return None
