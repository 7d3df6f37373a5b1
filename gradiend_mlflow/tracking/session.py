"""One training on its way into MLflow: its recorder, its run and the runs of its seeds."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from gradiend_mlflow.delivery.recorder import Recorder
from gradiend_mlflow.delivery.records import Destination
from gradiend_mlflow.delivery.run_writer import RunWriter
from gradiend_mlflow.store import tags
from gradiend_mlflow.store.current import active_run_id, chosen_experiment
from gradiend_mlflow.store.store import Store, now_ms
from gradiend_mlflow.trainings.account import Account
from gradiend_mlflow.trainings.directories import TrainingDirectory
from gradiend_mlflow.trainings.options import LogOptions
from gradiend_mlflow.trainings.staging import stage_topk
from gradiend_mlflow.trainings.terms import Outcome, version_tags

logger = logging.getLogger("gradiend_mlflow")

_EXIT_DEADLINE = 5.0
_OF_ONE_SEED = ("output_dir", "experiment_dir")  # params that gradiend sets anew for every seed


class Session:
    """One training's runs. Nothing is sent before `run` is first used.

    Args:
        options: How to log.
        name: The run's name, unless the options have one.
        run_tags: Its tags, besides the kind, the versions and the options' extra tags.
        suite: The session of the suite that the training is part of; its run becomes the parent.
        experiment_dir: Where gradiend puts what the training leaves, and we the journal; None: there is no journal.
    """

    def __init__(
        self,
        options: LogOptions,
        *,
        name: str,
        run_tags: Mapping[str, str],
        suite: Session | None = None,
        experiment_dir: Path | None = None,
    ) -> None:
        self.options = options
        self.seeds: dict[int, RunWriter] = {}
        self.was_live = False  # whether a training loop has logged to the run itself
        self.seeds_change_later = False  # whether gradiend prunes or rewrites a seed's model after its loop
        self.live_outcome: Outcome | None = None  # what that loop came to, where gradiend's file may not say it
        self.live_steps: dict[int, list[tuple[int, Mapping[str, float]]]] = {}  # the same of seeds, and their metrics
        self.live_outcomes: dict[int, Outcome] = {}
        self.directory: TrainingDirectory | None = None  # once it is known
        self.was_imported = False  # whether the run is one that is imported from disk
        self.begun = now_ms()
        self.name = options.run_name or name
        self._about = dict(run_tags)
        self._suite = suite
        self._destination = _destination(options)
        self._recorder: Recorder = (
            suite._recorder  # noqa: SLF001  # its own class
            if suite is not None
            else Recorder(Store(options.tracking_uri, once=True), experiment_dir, deadline=options.deadline)
        )
        self._run: RunWriter | None = None
        self._open: list[RunWriter] = []
        self._evaluated: set[str] = set()  # the keys of the metrics of evaluations
        self._uploaded: dict[Path, int] = {}  # when those files were modified
        self.closed = False
        atexit.register(self._abandon)

    @property
    def started(self) -> bool:
        """Whether there is a run yet."""
        return self._run is not None

    @property
    def run(self) -> RunWriter:
        """The training's run; started when first asked for, as of the session's beginning."""
        if self._run is None:
            run_tags = self._tags_of(tags.TRAINING)
            if self._suite is None:
                self._run = self._recorder.start(self.name, run_tags, self._destination, start_time=self.begun)
            else:
                self._run = self._suite.run.child(self.name, run_tags, start_time=self.begun)
            self._open.append(self._run)
        return self._run

    def start_suite(self) -> None:
        """Make the run one of a suite, to be started when the first run below it is."""
        run_tags = self._tags_of(tags.SUITE)
        self._run = self._recorder.start(self.name, run_tags, self._destination, start_time=self.begun, deferred=True)
        self._open.append(self._run)

    def seed_run(self, seed: int, params: Mapping[str, str]) -> RunWriter:
        """Start the run of one seed that is tried, below the training's, which shares its params."""
        if not self.seeds:
            self.run.params({key: value for key, value in params.items() if key not in _OF_ONE_SEED})
        self.seeds[seed] = self._start_seed(seed)
        self.seeds[seed].params({**params, "seed": str(seed)})  # gradiend's config keeps the first seed
        return self.seeds[seed]

    def _start_seed(self, seed: int, *, start_time: int | None = None) -> RunWriter:
        run_tags = {**self._tags_of(tags.SEED_RUN), tags.SEED: str(seed)}
        run = self.run.child(f"{self.name}/seed_{seed}", run_tags, start_time=start_time)
        self._open.append(run)
        return run

    def _tags_of(self, kind: str) -> dict[str, str]:
        return {tags.KIND: kind, **version_tags(), **self._about, **(self.options.extra_tags or {})}

    # ----------------------------------------------------------------------------------------------------- what it was

    def log_account(self, account: Account) -> None:
        """Queue what the selected model's directory says, as far as it is not logged already.

        Raises:
            CheckpointError: If its weights cannot be ranked.
        """
        if not self.was_live:
            self._log_steps(account)
            live = account.params if not self.seeds else {key: account.params[key] for key in _OF_ONE_SEED}
            self.run.params(live)
        self.log_seeds(account.seeds)
        outcome = self.live_outcome
        if outcome is None and account.gap is not None:
            outcome = self.live_outcomes.get(int(account.run_tags.get(tags.SEED, -1)))
        converged = account.outcome.converged
        self.log_outcome(self.run, account.outcome if outcome is None else replace(outcome, converged=converged))
        self.run.tags(account.run_tags)
        self.run.metrics(0, {key: value for key, value in account.metrics.items() if key not in self._evaluated})
        for folder, files in account.files.items():
            self.log_files(files, folder)
        if account.has_weights:
            self.log_sets(self.run, account.directory)
            self._log_model(account)
        self.run.tags({tags.FINGERPRINT: account.fingerprint})
        self.directory = account.training
        self.live_steps.clear()

    def _log_steps(self, account: Account) -> None:
        """The metrics by step of the selected model: as its file has them, or else as they were live."""
        steps = account.steps or self.live_steps.get(int(account.run_tags.get(tags.SEED, -1)), ())
        if not steps and account.gap is not None:
            logger.warning("The run %s lacks params and metrics: %s", self.name, account.gap)
        for step, values in steps:
            self.run.metrics(step, values)

    def log_seeds(self, seeds: Iterable[Account]) -> None:
        """Queue what the seeds came to: to their runs, or to new ones if gradiend took them from its cache."""
        for account in seeds:
            seed = int(account.run_tags[tags.SEED])
            live = self.seeds.get(seed)
            run = self.seeds[seed] = live or self._start_seed(seed, start_time=account.start_time)
            run.metrics(0, account.metrics)
            run.tags({**account.run_tags, **Outcome(converged=account.outcome.converged).run_tags()})
            if live is None:
                run.params(account.params)
                for step, values in account.steps:
                    run.metrics(step, values)
                self.log_outcome(run, account.outcome)
            if account.has_weights and (live is None or self.seeds_change_later):
                self.log_sets(run, account.directory, picture=False)
            elif live is not None and self.seeds_change_later:  # gradiend keeps the models of some seeds only
                logger.info("The sets of seed %s are those before pruning: its model was not kept", seed)
            self.end(run, "FINISHED")

    def import_account(self, account: Account) -> None:
        """Import a model that gradiend took from its cache, unless it has a run already; that is then the run."""
        parent = None if self._suite is None else self._suite.run
        self._run = self._recorder.import_account(account, self.options, self._destination, parent=parent)
        self.was_imported, self.directory = True, account.training

    def log_sets(self, run: RunWriter, directory: Path, *, picture: bool = True) -> None:
        """Rank the weights of a checkpoint now, and queue its sets; the tag that lists them comes last.

        Seeds go without the picture.

        Raises:
            CheckpointError: If the directory holds no checkpoint that can be ranked.
        """
        from gradiend_mlflow.sets.weights import open_checkpoint

        folder = self._recorder.new_folder()
        staged = stage_topk(
            open_checkpoint(directory),
            topk=self.options.topk,
            parts=self.options.parts,
            folder=folder,
            picture=False,
        )
        run.upload(staged.files, tags.TOPK_FOLDER)
        if picture:
            run.draw(folder)
        run.tags(staged.run_tags)

    def log_outcome(self, run: RunWriter, outcome: Outcome) -> None:
        """Queue what a training came to."""
        run.metrics(outcome.step or 0, outcome.metrics())
        run.tags(outcome.run_tags())

    def log_evaluation(self, metrics: Mapping[str, float]) -> None:
        """Queue the figures of an evaluation of the trained model."""
        self._evaluated |= set(metrics)
        self.run.metrics(0, metrics)

    def log_files(self, files: Iterable[Path], folder: str) -> None:
        """Queue copies of the files that are new or have changed; they may change or vanish afterwards."""
        copies = self._recorder.new_folder()
        new = [file for file in files if self._uploaded.get(file) != file.stat().st_mtime_ns]
        self._uploaded |= {file: file.stat().st_mtime_ns for file in new}
        self.run.upload([Path(shutil.copy2(file, copies)) for file in new], folder)

    def _log_model(self, account: Account) -> None:
        if self.options.log_models is True:
            self.run.upload([account.directory], tags.MODEL_FOLDER)
        elif self.options.log_models:
            self.run.link_model(self.name, account.directory, account.params)

    # --------------------------------------------------------------------------------------------------------- the end

    def end(self, run: RunWriter, status: str) -> None:
        """End one run, once."""
        if run in self._open:
            self._open.remove(run)
            run.end(status)

    def close(self, status: str, reason: str | None = None, *, wait: bool = False) -> None:
        """End every run that is still open, children first; wait until all is delivered, if wanted."""
        if self.closed:
            return
        self.closed = True
        atexit.unregister(self._abandon)
        if reason is not None:
            self.run.tags({tags.FAILURE: reason})
        for run in reversed(self._open):
            run.end(status)
        self._open.clear()
        if self._suite is None:  # else the suite's end is the end
            self._recorder.close(self.options.deadline if wait else None)

    def release(self) -> None:
        """More has been said after the end: nothing comes after it for now."""
        self._recorder.close()

    def _abandon(self) -> None:
        """The interpreter ends and nobody closed: a training that never came to its end."""
        if self.started:
            self._recorder.deadline = min(_EXIT_DEADLINE, self._recorder.deadline)
            self.close("FAILED", "the training did not come to its end before the process ended")


def _destination(options: LogOptions) -> Destination:
    """Where a run that starts now, in this thread, goes."""
    experiment_id, experiment_name = chosen_experiment(options.tracking_uri)
    return Destination(
        experiment_id=experiment_id,
        experiment_name=options.experiment_name or experiment_name,
        adopt=active_run_id(options.tracking_uri),
    )


def run_id_of(session: Session | None) -> str | None:
    """MLflow's id of the session's run; waits for it as long as the options allow."""
    if session is None or (session.closed and not session.started):
        return None
    return session.run.run_id(session.options.deadline)


def is_first_rank() -> bool:
    """Whether this process is the one of its `torchrun` group that logs; true outside of one."""
    return os.environ.get("RANK", "0") == "0"
