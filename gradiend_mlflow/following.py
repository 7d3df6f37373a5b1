"""Evaluations of a trained model go to the run of its training."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from mlflow.utils.autologging_utils import is_testing

from gradiend_mlflow import tags
from gradiend_mlflow.directories import TrainingDirectory
from gradiend_mlflow.evaluation import decoder_metrics, encoder_metrics
from gradiend_mlflow.session import Session

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
def followed(trainer: Any, session: Session) -> Iterator[None]:
    """Log the evaluations of this one trainer to the session's run, within the block."""
    for name in EVALUATIONS:
        setattr(trainer, name, _followed(getattr(trainer, name), name, trainer, session))
    try:
        yield
    finally:
        for name in EVALUATIONS:
            delattr(trainer, name)


def _followed(original: Callable[..., Any], name: str, trainer: Any, session: Session) -> Callable[..., Any]:
    @functools.wraps(original)
    def evaluate(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        log_evaluation(session, trainer, name, arguments_of(original, args, kwargs), result)
        return result

    return evaluate


def log_evaluation(
    session: Session, trainer: Any, name: str, arguments: Mapping[str, Any], result: Mapping[str, Any]
) -> None:
    """Log what an evaluation of a trained model returned and wrote to the run of its training; never raises.

    Args:
        session: The training's.
        trainer: Its trainer.
        name: One of `EVALUATIONS`.
        arguments: The evaluation's arguments by name.
        result: What it returned.
    """
    try:
        _log(session, trainer, name, arguments, result)
    except Exception as error:
        if is_testing():
            raise
        logger.warning("Could not log %s: %s", name, error, exc_info=logger.isEnabledFor(logging.DEBUG))


def _log(session: Session, trainer: Any, name: str, arguments: Mapping[str, Any], result: Mapping[str, Any]) -> None:
    if _is_of_another_model(trainer, arguments.get("model_with_gradiend")):
        return
    metrics = _metrics(name, arguments, result)
    seed = _seed_under_evaluation(trainer)
    if seed is None:
        session.log_evaluation(metrics)
    elif seed in session.seeds:  # gradiend points the trainer at one seed after the other
        session.seeds[seed].metrics(0, metrics)
    if session.closed:  # else the end of the block logs the files and waits
        if seed is None and trainer.experiment_dir:
            training = TrainingDirectory.of(Path(trainer.model_path), Path(trainer.experiment_dir))
            session.log_files(training.evaluation_files(), tags.EVALUATION_FOLDER)
            session.run.tags({tags.FINGERPRINT: training.fingerprint()})
        session.flush()


def _metrics(name: str, arguments: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, float]:
    if name == "evaluate_decoder":
        return decoder_metrics(result)
    if name == "evaluate_encoder":
        return encoder_metrics(result, _split_name(arguments.get("split")))
    options = {**arguments.get("kwargs", {}), **(arguments.get("kwargs_encoder") or {})}
    encoder, decoder = result.get("encoder") or {}, result.get("decoder") or {}
    return {**encoder_metrics(encoder, _split_name(options.get("split"))), **decoder_metrics(decoder)}


def arguments_of(original: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call by name, with the defaults of those that were not given."""
    bound = inspect.signature(original).bind(*args, **kwargs)
    bound.apply_defaults()
    return dict(bound.arguments)


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


def _seed_under_evaluation(trainer: Any) -> int | None:
    where = Path(trainer.experiment_dir or "")
    for part, inside in zip(where.parts[1:], where.parts, strict=False):
        if inside == "seeds" and part.startswith("seed_"):
            return int(part.removeprefix("seed_"))
    return None
