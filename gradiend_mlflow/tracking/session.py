"""One training or suite on its way into MLflow: its recorder, its run and the runs of its seeds."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gradiend_mlflow.delivery.recorder import Recorder
from gradiend_mlflow.delivery.run_writer import RunWriter
from gradiend_mlflow.errors import logger
from gradiend_mlflow.sets.parts import Part
from gradiend_mlflow.sets.topk import TopKSet
from gradiend_mlflow.store import pending, tags
from gradiend_mlflow.store.store import MetricPoint, Store
from gradiend_mlflow.tracking.loops.logged_sets import StepSets, log_selected
from gradiend_mlflow.tracking.loops.loop import LoopConfig, TrainingLoop
from gradiend_mlflow.tracking.loops.training_data import DataReader, TrainingData
from gradiend_mlflow.tracking.session_runs import SessionRuns
from gradiend_mlflow.trainings.account import Account, model_of
from gradiend_mlflow.trainings.description import description_of
from gradiend_mlflow.trainings.directories import TrainingDirectory
from gradiend_mlflow.trainings.options import LogOptions
from gradiend_mlflow.trainings.words.terms import Outcome

_EXIT_DEADLINE = 5.0


class Session:
    """The runs of one training or suite. Nothing is sent before `run` is first used.

    Args:
        options: How to log.
        name: Says the run's name, unless the options have one; asked again when more is known.
        about: Says its tags, besides the kind, the versions and the options' extra tags.
        suite: The session of the suite that the training is part of; its run becomes the parent.
        experiment_dir: Where gradiend puts what the training leaves, and the journal goes. None: there is no journal.
        data: Returns what the training is trained on, at that moment; asked when a loop begins.
        is_of_loop: Whether one training loop is all that it logs, because there is no block around the training.
        kind: The run's kind; that of a suite starts when the first run below it does.
    """

    def __init__(
        self,
        options: LogOptions,
        *,
        name: Callable[[], str],
        about: Callable[[], Mapping[str, str]],
        suite: Session | None = None,
        experiment_dir: Path | None = None,
        data: Callable[[], TrainingData | None] = lambda: None,
        is_of_loop: bool = False,
        kind: str = tags.TRAINING,
    ) -> None:
        self.options = options
        self.is_of_loop = is_of_loop
        self.loops: dict[int | None, TrainingLoop] = {}  # by seed; None: that of the training's own run
        self.directory: TrainingDirectory | None = None  # once the training has ended
        self.closed = False
        self._data = DataReader(data if options.log_datasets else lambda: None)
        self._suite = suite
        self._recorder: Recorder = (
            suite._recorder  # noqa: SLF001  # its own class
            if suite is not None
            else Recorder(Store(options.tracking_uri, once=True), experiment_dir, deadline=options.deadline)
        )
        self.runs: SessionRuns = SessionRuns(
            self._recorder, options, name=name, about=about, kind=kind, suite=None if suite is None else suite.runs
        )
        self._evaluated: set[str] = set()  # the keys of the metrics of evaluations
        self._uploaded: dict[Path, int] = {}  # when those files were modified
        pending.call_at_exit(self._abandon)

    @property
    def is_foreign(self) -> bool:
        """Whether it is the session of the process from which this one was forked."""
        return self._recorder.is_foreign

    @property
    def started(self) -> bool:
        """Whether there is a run yet."""
        return self.runs.started

    @property
    def run(self) -> RunWriter:
        """The training's run; started when first asked for, as of the session's beginning."""
        return self.runs.own

    def run_id(self) -> str | None:
        """MLflow's id of the run; waits for it as long as the options allow. None if there is no run."""
        is_over = (self.closed or self.is_foreign) and not self.started
        return None if is_over else self.run.run_id(self.options.deadline)

    # ------------------------------------------------------------------------------------------------------- its loops

    def start_loop(self, config: LoopConfig) -> TrainingLoop:
        """Start logging a training loop: to a run of its own below the training's, if it is one of several seeds."""
        seed, params = config.seed, config.params()
        directory = Path(config.output_dir).resolve()
        own = seed if config.several_seeds and not self.is_of_loop else None
        if own is None or not self.runs.seeds:
            self.run.params(params)
        run = self.run if own is None else self.runs.start_seed(own, params)
        if own is not None:
            # gradiend copies the selected seed from <experiment>/seeds/seed_<n> to <experiment>/model.
            self.run.tags({tags.DIRECTORY: str(directory.parents[1] / "model")})
        run.tags({tags.DIRECTORY: str(directory)} | ({} if seed is None else {tags.SEED: str(seed)}))
        keeps_steps = own is not None and not config.writes_training_file
        loop = TrainingLoop(run, config, StepSets(self.options), self._data.begin(), keeps_steps=keeps_steps)
        self.loops[own] = loop
        return loop

    def end_loop(self, loop: TrainingLoop, training_stats: Mapping[str, Any]) -> None:
        """Log the loop's outcome and sets where the end of the training will not, and end its run if it is its own."""
        is_seed = not self.runs.is_own(loop.run)
        try:
            if is_seed or self.is_of_loop:
                self.log_outcome(loop.run, loop.end(training_stats, of_best=loop.has_best))
                later = is_seed and loop.config.changes_model_later  # then the model is not the final one yet
                steps = None if later else loop.step_sets
                sets = self.log_sets(loop.run, loop.checkpoint, picture=not is_seed, steps=steps)
                loop.step_sets.final = sets.get(loop.step_sets.part)
            else:
                # With delete_models gradiend deletes the best model and then saves the last step's.
                loop.end(training_stats, of_best=loop.has_best and not loop.config.deletes_models)
        finally:
            if self.is_of_loop:
                self.close("FINISHED")
            elif is_seed:
                loop.log_data(loop.run)
                self.runs.end(loop.run)

    # ---------------------------------------------------------------------------------------------- the whole training

    def log_account(self, account: Account) -> None:
        """Queue what the selected model's directory says, as far as it is not logged already.

        Raises:
            CheckpointError: If its weights cannot be ranked.
        """
        own = self.loops.get(None)
        selected = own or self.loops.get(int(account.run_tags.get(tags.SEED, -1)))
        if own is None:
            self._log_steps(account, selected)
            self.run.params({} if self.runs.seeds else account.params)
        if selected is not None:
            selected.log_data(self.run)
        self.log_seeds(account.seeds)
        outcome = account.outcome
        if selected is not None and selected.outcome is not None and (own or account.gap is not None):
            outcome = replace(selected.outcome, converged=outcome.converged)
        points = self._log(self.run, account, outcome)
        for folder, files in account.files.items():
            self.log_files(files, folder)
        if account.has_weights:
            self.log_sets(self.run, account.directory, steps=None if selected is None else selected.step_sets)
            self._log_model(account, points)
        self.run.describe(description_of(account, outcome))
        self.run.tags({tags.FINGERPRINT: account.fingerprint})
        self.directory = account.training
        self._end_loops()

    def _log_steps(self, account: Account, selected: TrainingLoop | None) -> None:
        """The metrics by step of the selected model: as its file has them, or else as they were live."""
        steps = account.steps or (() if selected is None else selected.steps)
        if not steps and account.gap is not None:
            logger.warning("The run %s lacks params and metrics: %s", self.runs.name, account.gap)
        for step, values in steps:
            self.run.metrics(step, values)

    def log_seeds(self, seeds: Iterable[Account]) -> None:
        """Queue what the seeds came to: to their runs, or to new ones if gradiend took them from its cache."""
        changed = any(loop.config.changes_model_later for loop in self.loops.values())
        for account in seeds:
            seed = int(account.run_tags[tags.SEED])
            is_new = seed not in self.runs.seeds
            start = account.start_time
            run = self.runs.start_seed(seed, account.params, start_time=start) if is_new else self.runs.seeds[seed]
            for step, values in account.steps if is_new else ():
                run.metrics(step, values)
            self._log(run, account, account.outcome if is_new else Outcome(converged=account.outcome.converged))
            if account.has_weights and (is_new or changed):
                loop = self.loops.get(seed)
                steps = None if loop is None else loop.step_sets
                self.log_sets(run, account.directory, picture=False, steps=steps)
            elif changed and not is_new:  # gradiend keeps the models of some seeds only
                logger.info("The sets of seed %s are those before pruning: its model was not kept", seed)
            self.runs.end(run)

    def _log(self, run: RunWriter, account: Account, outcome: Outcome) -> tuple[MetricPoint, ...]:
        """What a training or one of its seeds came to, apart from evaluations that have been logged live."""
        points = self.log_outcome(run, outcome)
        run.tags(account.run_tags)
        run.metrics(0, {key: value for key, value in account.metrics.items() if key not in self._evaluated})
        return points

    def import_account(self, account: Account) -> None:
        """Import a model that gradiend took from its cache, unless it has a run already; that is then the run."""
        parent = None if self._suite is None else self._suite.run
        self.runs.take(self._recorder.import_account(account, self.options, self.runs.destination, parent=parent))
        self.directory = account.training

    def log_sets(
        self, run: RunWriter, directory: Path, *, picture: bool = True, steps: StepSets | None = None
    ) -> Mapping[Part, TopKSet]:
        """Rank the weights of a checkpoint now, and queue its sets; see `log_selected`."""
        return log_selected(run, directory, self.options, self._recorder.new_folder, picture=picture, steps=steps)

    def _end_loops(self) -> None:
        """Log the data and sets of steps that are not logged yet: no final sets will come but those that are known."""
        for loop in self.loops.values():
            loop.log_data(loop.run)
            loop.step_sets.log_own(loop.run, self._recorder.new_folder)
        self.loops.clear()

    def log_outcome(self, run: RunWriter, outcome: Outcome) -> tuple[MetricPoint, ...]:
        """Queue what a training came to; returns its metrics."""
        run.tags(outcome.run_tags())
        return run.metrics(outcome.step or 0, outcome.metrics())

    def log_evaluation(self, metrics: Mapping[str, float]) -> None:
        """Queue the figures of an evaluation of the trained model."""
        self._evaluated |= set(metrics)
        self.run.metrics(0, metrics)

    def log_files(self, files: Iterable[Path], folder: str) -> None:
        """Queue copies of the files that are new or have changed; the originals may change or vanish afterwards."""
        copies = self._recorder.new_folder()
        new = [file for file in files if self._uploaded.get(file) != file.stat().st_mtime_ns]
        self._uploaded |= {file: file.stat().st_mtime_ns for file in new}
        self.run.upload([Path(shutil.copy2(file, copies)) for file in new], folder)

    def _log_model(self, account: Account, points: tuple[MetricPoint, ...]) -> None:
        if (model := model_of(account, self.options, self.runs.name)) is not None:
            self.run.log_model(model, points)

    # --------------------------------------------------------------------------------------------------------- the end

    def close(self, status: str, reason: str | None = None, *, wait: bool = False) -> None:
        """End every run that is still open, children first; wait until all is delivered, if wanted."""
        if self.closed or self.is_foreign:
            return
        self.closed = True
        pending.do_not_call_at_exit(self._abandon)
        self._end_loops()
        if reason is not None:
            self.run.tags({tags.FAILURE: reason})
        self.runs.end_all(status)
        if self._suite is None:  # else the end of the suite closes it
            self._recorder.close(self.options.deadline if wait else None)

    def release(self) -> None:
        """Let what has been logged after the end be delivered: nothing comes after it for now."""
        self._recorder.close()

    def _abandon(self) -> None:
        """Close a session that is still open when the interpreter ends: the training never came to its end."""
        if self.started:
            self._recorder.deadline = min(_EXIT_DEADLINE, self._recorder.deadline)
            self.close("FAILED", "the training did not come to its end before the process ended")
