"""One training on its way into MLflow: its options, its recorder, its run and the runs of its seeds."""

from __future__ import annotations

import atexit
import logging
import shutil
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gradiend_mlflow import tags
from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.parts import DEFAULT_TOPK, PARTS, Part, check_parts, check_topk
from gradiend_mlflow.publish import stage_topk
from gradiend_mlflow.recorder import Recorder, RunWriter
from gradiend_mlflow.records import Destination
from gradiend_mlflow.store import Store, active_run_id, chosen_experiment_id
from gradiend_mlflow.training import Outcome, history, outcome_of, params_of, read_record, version_tags

logger = logging.getLogger("gradiend_mlflow")

DEFAULT_DEADLINE = 60.0
_EXIT_DEADLINE = 5.0
_OF_ONE_SEED = ("output_dir", "experiment_dir")  # params that gradiend sets anew for every seed


@dataclass(frozen=True)
class LogOptions:
    """How trainings are logged; the arguments that `MLflowCallback`, `start_run` and `autolog` share.

    Raises:
        InvalidInputError: If one is not acceptable.
    """

    topk: int | float = DEFAULT_TOPK
    parts: tuple[Part, ...] = PARTS
    experiment_name: str | None = None
    run_name: str | None = None
    extra_tags: Mapping[str, str] = field(default_factory=dict)
    tracking_uri: str | None = None
    deadline: float = DEFAULT_DEADLINE

    def __post_init__(self) -> None:
        object.__setattr__(self, "topk", check_topk(self.topk))
        object.__setattr__(self, "parts", check_parts(self.parts))
        object.__setattr__(self, "extra_tags", dict(self.extra_tags))
        reserved = [name for name in self.extra_tags if str(name).startswith("gradiend.")]
        if reserved:
            raise InvalidInputError(
                f"extra_tags may not begin with 'gradiend.', which the plugin sets; got {reserved}"
            )
        if (
            isinstance(self.deadline, bool)
            or not isinstance(self.deadline, (int, float))
            or not 0 <= self.deadline <= threading.TIMEOUT_MAX
        ):
            raise InvalidInputError(f"deadline must be a finite number of seconds, 0 or more; got {self.deadline!r}")

    def destination(self) -> Destination:
        """Where a run that starts now, in this thread, goes."""
        return Destination(
            experiment_id=chosen_experiment_id(self.tracking_uri),
            experiment_name=self.experiment_name,
            adopt=active_run_id(self.tracking_uri),
        )


class Session:
    """One training's runs. Nothing is sent before `run` is first used.

    Args:
        options: How to log.
        name: The run's name, unless the options have one.
        run_tags: Its tags, besides the kind, the versions and the options' extra tags.
    """

    def __init__(self, options: LogOptions, *, name: str, run_tags: Mapping[str, str]) -> None:
        self.options = options
        self.seeds: dict[int, RunWriter] = {}
        self.was_live = False  # whether a training loop has logged to the run itself
        self.seeds_change_later = False  # whether gradiend prunes or rewrites a seed's model after its loop
        self.live_outcome: Outcome | None = None  # what that loop came to, where gradiend's file may not say it
        self.name = options.run_name or name
        self._about = dict(run_tags)
        self._destination = options.destination()
        self._recorder = Recorder(Store(options.tracking_uri))
        self._run: RunWriter | None = None
        self._open: list[RunWriter] = []
        self._closed = False
        atexit.register(self._abandon)

    @property
    def started(self) -> bool:
        """Whether there is a run yet."""
        return self._run is not None

    @property
    def run(self) -> RunWriter:
        """The training's run; started when first asked for."""
        if self._run is None:
            self._run = self._recorder.start(self.name, self._tags_of(tags.TRAINING), self._destination)
            self._open.append(self._run)
        return self._run

    def seed_run(self, seed: int, params: Mapping[str, str]) -> RunWriter:
        """Start the run of one seed that is tried, below the training's, which shares its params."""
        if not self.seeds:
            self.run.params({key: value for key, value in params.items() if key not in _OF_ONE_SEED})
        run = self.run.child(f"{self.name}/seed_{seed}", {**self._tags_of(tags.SEED_RUN), tags.SEED: str(seed)})
        run.params({**params, "seed": str(seed)})  # gradiend's config keeps the first seed
        self.seeds[seed] = run
        self._open.append(run)
        return run

    def _tags_of(self, kind: str) -> dict[str, str]:
        return {tags.KIND: kind, **version_tags(), **self._about, **self.options.extra_tags}

    def log_sets(self, run: RunWriter, directory: Path) -> None:
        """Rank the weights of a checkpoint now, and queue its sets; the tag that lists them comes last.

        Raises:
            CheckpointError: If the directory holds no checkpoint that can be ranked.
        """
        from gradiend_mlflow.weights import open_checkpoint

        staged = stage_topk(
            open_checkpoint(directory),
            topk=self.options.topk,
            parts=self.options.parts,
            folder=self._recorder.new_folder(),
        )
        run.upload(staged.files, tags.TOPK_FOLDER)
        run.tags(staged.run_tags)

    def log_record(self, directory: Path) -> None:
        """Queue what the training.json of the selected model says, as far as it is not logged already."""
        record = read_record(directory)
        if record is None:
            return
        seed = (record.get("training_args") or {}).get("seed")
        if not (self.was_live or self.seeds) and seed is not None:
            self.run.tags({tags.SEED: str(seed)})
        if not self.was_live:
            for step, values in history(record):
                self.run.metrics(step, values)
        if not (self.was_live or self.seeds):  # nothing was trained: the model comes from gradiend's cache
            self.run.params(params_of(record.get("training_args") or {}))
        outcome = outcome_of(record)
        if self.live_outcome is not None:
            outcome = replace(self.live_outcome, converged=outcome.converged)
        self.log_outcome(self.run, outcome)

    def log_outcome(self, run: RunWriter, outcome: Outcome) -> None:
        """Queue what a training came to."""
        run.metrics(outcome.step or 0, outcome.metrics())
        run.tags(outcome.run_tags())

    def log_files(self, run: RunWriter, files: Sequence[Path], folder: str) -> None:
        """Queue copies of those files that exist; they may change or vanish afterwards."""
        copies = self._recorder.new_folder()
        run.upload([Path(shutil.copy2(file, copies)) for file in files if file.is_file()], folder)

    def end(self, run: RunWriter, status: str) -> None:
        """End one run, once."""
        if run in self._open:
            self._open.remove(run)
            run.end(status)

    def close(self, status: str, reason: str | None = None, *, deadline: float | None = None) -> None:
        """End every run that is still open, children first, and wait until all is delivered (or the deadline)."""
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self._abandon)
        if reason is not None:
            self.run.tags({tags.FAILURE: reason})
        for run in reversed(self._open):
            run.end(status)
        self._open.clear()
        self._recorder.close(self.options.deadline if deadline is None else deadline)

    def _abandon(self) -> None:
        """The interpreter ends and nobody closed: a training that never came to its end."""
        if self.started:
            self.close(
                "FAILED", "the training did not come to its end before the process ended", deadline=_EXIT_DEADLINE
            )


def run_id_of(session: Session | None) -> str | None:
    """MLflow's id of the session's run; waits for it as long as the options allow."""
    if session is None or not session.started:
        return None
    return session.run.run_id(session.options.deadline)


def describe(value: Any) -> str:
    """A one-line account of an exception, for a tag."""
    return f"{type(value).__name__}: {value}".strip().rstrip(":")
