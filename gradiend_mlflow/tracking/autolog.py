"""`autolog()`: a run for every training of this process, by patches on gradiend's trainers, suites and collections."""

from __future__ import annotations

import functools
import inspect
import logging
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gradiend.trainer.trainer import Trainer
from mlflow.utils.autologging_utils import (
    ExceptionSafeAbstractClass,
    autologging_integration,
    get_autologging_config,
    safe_patch,
)

from gradiend_mlflow.errors import logger
from gradiend_mlflow.sets.parts import DEFAULT_TOPK, PARTS
from gradiend_mlflow.store import tags
from gradiend_mlflow.tracking.callback import MLflowCallback, is_first_rank
from gradiend_mlflow.tracking.evaluations import EVALUATIONS, evaluate_and_log
from gradiend_mlflow.tracking.guard import safely
from gradiend_mlflow.tracking.session import Session
from gradiend_mlflow.tracking.start_run import claimed, closing, suite, training_block
from gradiend_mlflow.tracking.trainers import name_of_suite, suite_tags
from gradiend_mlflow.trainings.options import DEFAULT_DEADLINE, LogModels, TopkSteps

FLAVOR = "gradiend"

NewCallback = Callable[[], MLflowCallback]


def _may_speak(_: logging.LogRecord) -> bool:
    """Whether autologging is not silent now."""
    is_on = not get_autologging_config(FLAVOR, "disable", default_value=True)
    return not (is_on and get_autologging_config(FLAVOR, "silent", default_value=False))


logger.addFilter(_may_speak)


@autologging_integration(FLAVOR)
def autolog(
    *,
    topk: float = DEFAULT_TOPK,
    parts: Sequence[str] = PARTS,
    topk_steps: TopkSteps = None,
    disable: bool = False,  # noqa: ARG001  # MLflow's decorator reads it
    exclusive: bool = False,  # noqa: ARG001  # MLflow's decorator reads it
    silent: bool = False,  # noqa: ARG001  # MLflow's decorator reads it
    extra_tags: Mapping[str, str] | None = None,
    log_models: LogModels = False,
    registered_model_name: str | None = None,
    experiment_name: str | None = None,
    tracking_uri: str | None = None,
    deadline: float = DEFAULT_DEADLINE,
    views: bool = True,
    log_datasets: bool = True,
) -> None:
    """Log every `Trainer.train()` of this process to MLflow from now on, each as a run of its own.

    What is logged is what `start_run` logs, and later evaluations of the trained model go to its run. The trainers of
    a `TrainerSuite` or `TrainerCollection` become runs below one of the suite. A trainer that is logged already - by
    `start_run`, or by an `MLflowCallback` among its callbacks - is not logged twice. A model that gradiend takes from
    its cache is imported from disk, unless it has a run already. Calling it again replaces the options.

    `train()` does not wait for MLflow: a thread delivers, also while the next training runs. This package's functions
    wait for it before they read; call `flush()` before you read by other means.

    Args:
        topk: How many weights per part to log, or which fraction of the GRADIEND's inputs. Any smaller number can be
            compared later.
        parts: Which of gradiend's four importances; one that the GRADIEND lacks is left out and named.
        topk_steps: When to rank the weights during the training too: every so many steps, at a list of up to 50 steps,
            or whenever gradiend evaluates ("eval"); step 0 is the GRADIEND before it is trained. Each set is of one
            part (decoder-weight, or else the first of `parts`) and of at most 1000 weights. When the selected model
            is known, the metric `topk/overlap_with_final` says by step which share of them is in its set. Of more
            than 50 steps every second is left out, as often as needed. Default: never.
        disable: Stop logging.
        exclusive: Do not log to a run that the user has started: trainings inside one are not logged.
        silent: Suppress MLflow's event logs and warnings, as for MLflow's own flavors, and this package's: where runs
            go (said once for each experiment) and are (at the end of each training), and what could not be logged.
        extra_tags: More tags for every run.
        log_models: True logs each selected model as an MLflow model of the flavor `gradiend`, which `load_model` and
            `mlflow.pyfunc.load_model` load; "external" as an MLflow external model, the weights staying where they
            are. Its base model is not copied.
        registered_model_name: Also make each logged model a version of this registered model.
        experiment_name: Where runs go, created if needed; default MLflow's active experiment. Inside an active run
            the training is logged to that run.
        tracking_uri: The MLflow server or database; default MLflow's current one when training begins.
        deadline: How many seconds the end of the process, and this package's readers, may wait for MLflow.
        views: Whether an experiment that gets its first runs also gets saved views of its run list in MLflow's UI:
            Trainings, Comparisons and Seeds. Once: a view that you change or delete stays so.
        log_datasets: Whether each run says what it was trained on, as MLflow datasets: one per class and split, called
            as the class, in the context "train", "validation" or "test", with the number of rows, the columns, where
            they come from, and a digest that is equal for equal rows in the same order. Never the texts. They are
            read while the training goes on, in another thread.

    Raises:
        InvalidInputError: If an argument is not acceptable, or gradiend is older than 0.2.0; nothing is patched then.

    Example:
        >>> import gradiend_mlflow
        >>> gradiend_mlflow.autolog(topk=1000)
        >>> gradiend_mlflow.autolog(disable=True)
    """
    own = {tags.MLFLOW_AUTOLOGGING: FLAVOR}
    new_callback = functools.partial(
        _Callback,
        topk=topk,
        parts=parts,
        topk_steps=topk_steps,
        experiment_name=experiment_name,
        extra_tags={**own, **extra_tags} if isinstance(extra_tags, Mapping) else extra_tags or own,
        log_models=log_models,
        registered_model_name=registered_model_name,
        tracking_uri=tracking_uri,
        deadline=deadline,
        views=views,
        log_datasets=log_datasets,
    )
    new_callback()  # raises here, not in a training, if an option is not acceptable
    from gradiend.trainer.suite import TrainerCollection, TrainerSuite  # which older ones lack

    safe_patch(FLAVOR, Trainer, "train", functools.partial(_train, new_callback))
    if hasattr(Trainer, "tune_learning_rate"):  # since 0.2.2
        safe_patch(FLAVOR, Trainer, "tune_learning_rate", _tune)
    for name in EVALUATIONS:
        safe_patch(FLAVOR, Trainer, name, functools.partial(_evaluate, name))
    for group in (TrainerSuite, TrainerCollection):
        safe_patch(FLAVOR, group, "train", functools.partial(_train_suite, new_callback))


class _Callback(MLflowCallback, metaclass=ExceptionSafeAbstractClass):
    """The callback as MLflow requires it of what a patch passes on; its testing mode checks that."""


def _train(new_callback: NewCallback, original: Callable[..., Any], self: Any, *args: Any, **kwargs: Any) -> Any:
    # A learning-rate search trains the same trainer again inside train(): its probes are no runs.
    with claimed(self) as is_free:
        if not is_free or not is_first_rank():
            return original(self, *args, **kwargs)
        args, kwargs, callback = _with_callback(new_callback, inspect.signature(original), args, kwargs)
        with training_block(self, callback):
            return original(self, *args, **kwargs)


def _tune(original: Callable[..., Any], self: Any, *args: Any, **kwargs: Any) -> Any:
    """A learning-rate search outside `train()`: its probes are no runs either."""
    with claimed(self):
        return original(self, *args, **kwargs)


def _evaluate(name: str, original: Callable[..., Any], self: Any, *args: Any, **kwargs: Any) -> Any:
    return evaluate_and_log(self, name, functools.partial(original, self, *args, **kwargs))


def _train_suite(new_callback: NewCallback, original: Callable[..., Any], self: Any, *args: Any, **kwargs: Any) -> Any:
    session, around = None, suite.get()
    if (around is None or around.is_foreign) and is_first_rank():
        with safely("begin the run of a suite"):
            session = _suite_session(self, new_callback())
    if session is None:  # its trainers are logged nevertheless
        return original(self, *args, **kwargs)
    token = suite.set(session)
    try:
        with closing(session):
            return original(self, *args, **kwargs)
    finally:
        suite.reset(token)


def _suite_session(group: Any, callback: MLflowCallback) -> Session:
    """The session of a suite: the runs of its trainers go below its run."""
    about = suite_tags(group)
    return Session(
        callback.options,
        name=functools.partial(name_of_suite, weakref.proxy(group)),  # its trainers' sessions must not keep it
        about=lambda: about,
        experiment_dir=Path(about[tags.DIRECTORY]) if tags.DIRECTORY in about else None,
        kind=tags.SUITE,
    )


def _with_callback(
    new_callback: NewCallback, signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any], MLflowCallback]:
    """The arguments of `train()` with an MLflowCallback among them: the user's own, or else a new one at the end."""
    position = list(signature.parameters).index("callbacks") - 1  # self is not among the arguments
    positional = len(args) > position
    callbacks = list((args[position] if positional else kwargs.get("callbacks")) or [])
    # One that serves another trainer's block at the moment cannot serve this training too.
    given = [callback for callback in callbacks if isinstance(callback, MLflowCallback) and not callback.serves]
    if given:
        return args, kwargs, given[0]
    callback = new_callback()
    callbacks = [other for other in callbacks if not isinstance(other, MLflowCallback)] + [callback]
    if positional:
        return (*args[:position], callbacks, *args[position + 1 :]), kwargs, callback
    return args, {**kwargs, "callbacks": callbacks}, callback
