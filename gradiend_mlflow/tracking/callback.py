"""gradiend's training hooks, turned into MLflow runs."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from gradiend.trainer.core.callbacks import TrainingCallback

from gradiend_mlflow.delivery.run_writer import RunWriter
from gradiend_mlflow.sets.parts import DEFAULT_TOPK, PARTS
from gradiend_mlflow.store import tags
from gradiend_mlflow.store.current import ExceptionSafe, is_testing
from gradiend_mlflow.tracking.session import Session, is_first_rank, run_id_of
from gradiend_mlflow.trainings.options import DEFAULT_DEADLINE, LogModels, LogOptions
from gradiend_mlflow.trainings.terms import Outcome, is_multi_seed, params_of, seed_of, step_metrics

logger = logging.getLogger("gradiend_mlflow")

Hook = TypeVar("Hook", bound=Callable[..., None])


def _guarded(hook: Hook) -> Hook:
    """Keep every fault of ours out of the training, and tell of the first one in each hook."""

    @functools.wraps(hook)
    def guarded(self: MLflowCallback, *args: Any, **kwargs: Any) -> None:
        try:
            hook(self, *args, **kwargs)
        except Exception as error:
            if is_testing():
                raise
            if hook.__name__ not in self._told:
                self._told.add(hook.__name__)
                logger.warning(
                    "%s of MLflowCallback failed; the training goes on, and this is not told again: %s",
                    hook.__name__,
                    error,
                    exc_info=logger.isEnabledFor(logging.DEBUG),
                )

    return guarded  # type: ignore[return-value]


@dataclass
class _Loop:
    """One training loop under way."""

    session: Session
    run: RunWriter
    config: Mapping[str, Any]
    best_before: int | None
    last_step: int = 0
    best_step: int | None = None
    best_score: float | None = None

    @property
    def is_seed(self) -> bool:
        """Whether this is one of several seeds, below the run of their training."""
        return self.run is not self.session.run

    @property
    def output_dir(self) -> str:
        """Where gradiend puts the model."""
        return str(self.config.get("output_dir") or "")

    def follow(self, step: int, loss: float, training_stats: Mapping[str, Any]) -> None:
        """Follow which step gradiend takes for the best, by the rule of its `CheckpointCallback`."""
        self.last_step = max(step, self.last_step)
        by_loss = self.config.get("supervised_decoder")
        score = loss if by_loss else training_stats.get("correlation")
        if score is None:
            return
        best = self.best_score
        if best is None or (score < best if by_loss else abs(score) > abs(best)):
            self.best_step, self.best_score = step, float(score)

    def best_checkpoint(self) -> tuple[Path, bool]:
        """The best checkpoint at the loop's end, which gradiend has not yet moved; and whether it is the best step's.

        `<output_dir>_best` holds it if a step after 0 was the best of this loop; one that lay there before does not.
        Else the model is the last step's.
        """
        best = Path(f"{self.output_dir}_best")
        fresh = _stamp(best) not in (None, self.best_before)
        return (best, True) if fresh else (Path(self.output_dir), False)

    def outcome(self, *, of_best: bool, training_stats: Mapping[str, Any]) -> Outcome:
        """The figures of the best step, or else of the last."""
        step = self.best_step if of_best else self.last_step
        if self.config.get("supervised_decoder"):
            return Outcome(loss=self.best_score if of_best else None, step=step)
        # Not gradiend's running correlation: it begins at -1 and stays there if nothing is evaluated.
        return Outcome(correlation=(training_stats.get("scores") or {}).get(step), step=step)


class _Configured(TrainingCallback):
    """The constructor, apart from the hooks: its errors are the caller's and must be raised."""

    def __init__(
        self,
        *,
        topk: float = DEFAULT_TOPK,
        parts: Sequence[str] = PARTS,
        experiment_name: str | None = None,
        run_name: str | None = None,
        extra_tags: Mapping[str, str] | None = None,
        log_models: LogModels = False,
        tracking_uri: str | None = None,
        deadline: float = DEFAULT_DEADLINE,
    ) -> None:
        self.options = LogOptions(
            topk=topk,
            parts=parts,
            experiment_name=experiment_name,
            run_name=run_name,
            extra_tags=extra_tags,
            log_models=log_models,
            tracking_uri=tracking_uri,
            deadline=deadline,
        )
        self._session: Session | None = None  # that of a block, if the callback serves one
        self._loop: _Loop | None = None
        self._last: Session | None = None
        self._told: set[str] = set()


class MLflowCallback(_Configured, metaclass=ExceptionSafe):
    """Logs a GRADIEND training: params, metrics by step and the top-k sets of its best checkpoint.

    Alone, as in ``trainer.train(callbacks=[MLflowCallback()])``, it makes one MLflow run per training loop - one per
    seed where gradiend tries several. A callback sees neither an exception that ends the training nor which seed is
    selected nor pruning afterwards; `start_run` and `autolog` do, with this callback inside.

    It never raises into the training and never waits for the network: a thread of its own delivers, and who reads the
    run afterwards waits for it (see `flush`).

    Args:
        topk: How many weights per part to log, or which fraction of the GRADIEND's inputs. Any smaller number can
            be compared later.
        parts: Which of gradiend's four importances; one that the GRADIEND lacks is left out and named.
        experiment_name: Where runs go, made if needed; default MLflow's active experiment. Inside an active run
            the training is logged to that run.
        run_name: The run's name; default the trainer's run_id, or the output directory's.
        extra_tags: More tags for the run.
        log_models: Only `start_run` and `autolog`, which know the selected model, log it.
        tracking_uri: The MLflow server or database; default MLflow's current one when training begins.
        deadline: How many seconds the end of the process, and this package's readers, may wait for MLflow.

    Raises:
        InvalidInputError: If an argument is not acceptable.
    """

    @property
    def serves(self) -> bool:
        """Whether it logs to a block's run at the moment."""
        return self._session is not None

    def serve(self, session: Session | None) -> Session | None:
        """Log to a block's session from now on, or again to runs of its own (None); returns the session until now."""
        before, self._session, self._loop = self._session, session, None
        self._last = session or self._last
        return before

    @property
    def run_id(self) -> str | None:
        """MLflow's id of the current or last training's run; waits for it if needed. None if there is none."""
        return run_id_of(self._session or self._last)

    @_guarded
    def on_train_begin(self, config: Mapping[str, Any], **_: Any) -> None:
        """Start the loop's run and log its params."""
        if not is_first_rank():
            return
        if self._loop is not None and self._session is None:
            # gradiend does not call on_train_end when a training fails.
            self._loop.session.close("FAILED", "the training ended without reaching its end")
        output_dir = str(config.get("output_dir") or "")
        session = self._session or Session(
            self.options, name=_name_of(output_dir), run_tags={}, experiment_dir=_experiment_dir(config)
        )
        alone = self._session is None
        seed = seed_of(config)
        about = {tags.DIRECTORY: str(Path(output_dir).resolve())}
        if is_multi_seed(config) and not alone and seed is not None:
            run = session.seed_run(seed, params_of(config))
            # gradiend copies the selected seed from <experiment>/seeds/seed_<n> to <experiment>/model.
            session.run.tags({tags.DIRECTORY: str(Path(output_dir).resolve().parents[1] / "model")})
            session.seeds_change_later = bool(config.get("post_prune_config") or config.get("delete_models"))
        else:
            run = session.run
            session.was_live = True
            about |= {} if seed is None else {tags.SEED: str(seed)}
            run.params(params_of(config))
        run.tags(about)
        self._last = session
        self._loop = _Loop(session, run, dict(config), _stamp(Path(f"{output_dir}_best")))

    @_guarded
    def on_step_end(
        self,
        step: int,
        loss: float,
        model: Any,  # noqa: ARG002  # gradiend passes it
        config: Mapping[str, Any],  # noqa: ARG002  # gradiend passes it
        training_stats: Mapping[str, Any],
        **_: Any,
    ) -> None:
        """Queue the step's metrics."""
        if self._loop is None:
            return
        # Step 0 is the evaluation before training, and the last step may come twice; neither has a loss of its own.
        has_loss = step > self._loop.last_step
        self._loop.follow(step, loss, training_stats)
        values = step_metrics(step, loss if has_loss else None, training_stats)
        self._loop.run.metrics(step, values)
        seed = seed_of(self._loop.config)
        if self._loop.is_seed and seed is not None and not _leaves_a_record(self._loop.config):
            self._loop.session.live_steps.setdefault(seed, []).append((step, values))

    @_guarded
    def on_train_end(
        self,
        config: Mapping[str, Any],  # noqa: ARG002  # gradiend passes it
        training_stats: Mapping[str, Any],
        **_: Any,
    ) -> None:
        """Log the best checkpoint's sets where nobody else will, and end the loop's run."""
        if self._loop is None:
            return
        loop, self._loop = self._loop, None
        alone, is_seed = self._session is None, loop.is_seed
        try:
            # The block reads the model that is selected in the end; what nobody else will log is logged here.
            checkpoint, of_best = loop.best_checkpoint()
            if alone or is_seed:
                outcome = loop.outcome(of_best=of_best, training_stats=training_stats)
                seed = seed_of(loop.config)
                if is_seed and seed is not None:
                    loop.session.live_outcomes[seed] = outcome
                loop.session.log_outcome(loop.run, outcome)
                loop.session.log_sets(loop.run, checkpoint, picture=alone)
            else:
                # With delete_models gradiend deletes the best model and then saves the last step's.
                of_best = of_best and not loop.config.get("delete_models")
                loop.session.live_outcome = loop.outcome(of_best=of_best, training_stats=training_stats)
        finally:
            if alone:
                loop.session.close("FINISHED")
            elif is_seed:
                loop.session.end(loop.run, "FINISHED")


def _leaves_a_record(config: Mapping[str, Any]) -> bool:
    """Whether gradiend's training.json will say what the training was; without it only we know."""
    return bool(config.get("save_only_best", True)) and not config.get("delete_models")


def _stamp(directory: Path) -> int | None:
    """When a checkpoint was written, or None if there is none."""
    try:
        return (directory / "config.json").stat().st_mtime_ns
    except OSError:
        return None


def _experiment_dir(config: Mapping[str, Any]) -> Path | None:
    """Where the training's results lie, as far as its config says; a seed's own directory may be removed or copied."""
    if not config.get("experiment_dir") or not config.get("output_dir"):
        return None
    model = Path(str(config["output_dir"])).absolute()
    return model.parents[1] if model.parent.name == "seeds" else model.parent


def _name_of(output_dir: str) -> str:
    """A run's name from where its model goes: gradiend appends `model`, and `seeds/seed_<n>` for seeds."""
    parts = [part for part in Path(output_dir).parts if part not in ("model", "seeds", "/", "\\")]
    if not parts:
        return "gradiend"
    return "/".join(parts[-2:]) if parts[-1].startswith("seed_") else parts[-1]
