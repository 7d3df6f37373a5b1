"""gradiend's training hooks, turned into MLflow runs."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from gradiend.trainer.core.callbacks import TrainingCallback

from gradiend_mlflow.environment import installed_version
from gradiend_mlflow.errors import InvalidInputError, logger
from gradiend_mlflow.tracking.guard import safely
from gradiend_mlflow.tracking.loops.loop import LoopConfig, TrainingLoop
from gradiend_mlflow.tracking.session import Session
from gradiend_mlflow.trainings.options import LogKeywords, LogOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack

_HOOK = "run the hook {} of MLflowCallback; the training goes on, and this is reported once"


class MLflowCallback(TrainingCallback):
    """Logs a GRADIEND training: params, metrics by step and the top-k sets of its best checkpoint.

    Alone, as in ``trainer.train(callbacks=[MLflowCallback()])``, it makes one MLflow run per training loop - one per
    seed where gradiend tries several. A callback sees neither an exception that ends the training nor which seed is
    selected nor pruning afterwards; `start_run` and `autolog` do, with this callback inside.

    It never raises into the training and never waits for the network: a thread delivers in the background, and this
    package's functions that read the run afterwards wait for it (see `flush`).

    Args:
        options: `run_name`, the run's name (default the trainer's run_id, or the output directory's name), and the
            options of `autolog`, which documents them: `topk`, `parts`, `topk_steps`, `extra_tags`, `log_models`,
            `registered_model_name`, `log_datasets`, `experiment_name`, `tracking_uri`, `deadline`, `views`. A
            callback alone knows neither the selected model nor the data, and so logs neither, whatever `log_models`
            and `log_datasets` say.

    Raises:
        TypeError: If a keyword is none of these options.
        InvalidInputError: If an option is not acceptable, or gradiend is older than 0.2.0.

    Example:
        >>> import gradiend_mlflow
        >>> callback = gradiend_mlflow.MLflowCallback(topk=1000, run_name="my training")
    """

    def __init__(self, **options: Unpack[LogKeywords]) -> None:
        check_gradiend()
        self.options = LogOptions.of(**options)
        self._block: Session | None = None  # that of the block that the callback serves, if it serves one
        self._last: Session | None = None
        self._loop: TrainingLoop | None = None
        self._reported: set[str] = set()

    @property
    def serves(self) -> bool:
        """Whether it logs to a block's run at the moment."""
        return self._block is not None and not self._block.is_foreign

    @contextmanager
    def serving(self, session: Session) -> Iterator[None]:
        """Within the block, log to that session instead of to runs of the callback's own."""
        self._block = self._last = session
        self._loop = None
        try:
            yield
        finally:
            self._block = self._loop = None

    @property
    def run_id(self) -> str | None:
        """MLflow's id of the current or last training's run, or None; waits for it up to `deadline` seconds."""
        return None if self._last is None else self._last.run_id()

    def on_train_begin(self, config: Mapping[str, Any], **_: Any) -> None:
        """Start the loop's run and log its params."""
        with safely(_HOOK.format("on_train_begin"), reported=self._reported):
            if not is_first_rank():
                return
            if self._loop is not None and self._last is not None and self._last.is_of_loop:
                # gradiend does not call on_train_end when a training fails.
                self._last.close("FAILED", "the training ended without reaching its end")
            loop = LoopConfig(config)
            if self._block is not None and self.serves:
                self._last = self._block
            else:
                self._last = Session(
                    self.options,
                    name=lambda: loop.name,
                    about=dict,
                    experiment_dir=loop.experiment_dir,
                    is_of_loop=True,
                )
            self._loop = self._last.start_loop(loop)

    def on_step_end(
        self,
        step: int,
        loss: float,
        model: Any,
        config: Mapping[str, Any],  # noqa: ARG002  # gradiend passes it
        training_stats: Mapping[str, Any],
        **_: Any,
    ) -> None:
        """Queue the step's metrics, and rank its weights if the options ask for it."""
        with safely(_HOOK.format("on_step_end"), reported=self._reported):
            if self._loop is not None:
                self._loop.log_step(step, loss, training_stats)
        if self.options.topk_steps is not None and self._loop is not None:
            with safely(
                "rank the weights at a step; the training goes on, and this is reported once", reported=self._reported
            ):
                self._loop.rank_step(step, model, training_stats)

    def on_train_end(
        self,
        config: Mapping[str, Any],  # noqa: ARG002  # gradiend passes it
        training_stats: Mapping[str, Any],
        **_: Any,
    ) -> None:
        """Log the best checkpoint's sets where nothing else will, and end the loop's run."""
        with safely(_HOOK.format("on_train_end"), reported=self._reported):
            loop, self._loop = self._loop, None
            if loop is not None and self._last is not None:
                self._last.end_loop(loop, training_stats)


@functools.cache  # where nothing is raised: the installed version does not change
def check_gradiend() -> None:
    """Accept a gradiend that has suites and tries seeds, as tracking expects: 0.2.0 and newer do.

    Raises:
        InvalidInputError: If it is older.
    """
    if find_spec("gradiend.trainer.suite") is None:
        raise InvalidInputError(
            f"tracking needs gradiend 0.2.0 or newer; {installed_version('gradiend')} is installed. Upgrade it "
            '(pip install "gradiend>=0.2"); what it has trained can be imported as it is'
        )


def is_first_rank() -> bool:
    """Whether this process is the one of its `torchrun` group that logs; true outside of one."""
    rank = os.environ.get("RANK", "0")
    if rank != "0" and "WORLD_SIZE" not in os.environ:
        _warn_of_rank(rank)
    return rank == "0"


@functools.cache  # once
def _warn_of_rank(rank: str) -> None:
    logger.warning(
        "This process does not log its trainings, because the environment says RANK=%s: of the processes of torchrun "
        "only the one of rank 0 logs. WORLD_SIZE is not set, so RANK may be left from a job array: then unset it.",
        rank,
    )
