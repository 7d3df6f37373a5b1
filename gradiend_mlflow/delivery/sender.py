"""The sender: it carries records out in MLflow, one after the other."""

from __future__ import annotations

import contextlib
import json
import logging
from collections import defaultdict

from gradiend_mlflow.delivery.held_files import HeldFiles, LostFileError
from gradiend_mlflow.delivery.journals.records import (
    Describe,
    Destination,
    DrawPicture,
    EndRun,
    ImportAccount,
    KnownRun,
    LinkModel,
    LogInputs,
    LogMetrics,
    LogParams,
    Record,
    SetTags,
    StartRun,
    Upload,
)
from gradiend_mlflow.disk.temporary import temporary_folder
from gradiend_mlflow.errors import StoreError, UnavailableError, logger
from gradiend_mlflow.store import tags
from gradiend_mlflow.store.limits import is_long_param
from gradiend_mlflow.store.reader import DEFAULT_EXPERIMENT_ID
from gradiend_mlflow.store.store import Store
from gradiend_mlflow.store.ui.pages import page_of_run, page_of_view, told
from gradiend_mlflow.store.ui.views import TRAININGS
from gradiend_mlflow.trainings.description import with_ids

_told_of: set[tuple[str, str]] = set()  # experiments, by server, of which this process has said that runs go there


class Sender:
    """Carries records out, one after the other; knows MLflow's ids of every run that it has started.

    Args:
        store: Where to send the records.
        held: The contents of files that may vanish; default none.
        again: Whether some of the records may have been carried out before. If so, runs that exist already are looked
            up instead of started; everything else has the same effect when it is done twice.
    """

    def __init__(self, store: Store, held: HeldFiles | None = None, *, again: bool = False) -> None:
        self._store = store
        self._held = HeldFiles() if held is None else held
        self._again = again
        self._runs: dict[str, KnownRun] = {}  # by key; other threads read it
        self._adopted: set[str] = set()  # the keys of runs that their owner ends
        self._deferred: dict[str, StartRun] = {}  # runs that start when their first child does
        self._requested: set[str] = set()  # the keys of runs that may exist although no answer has confirmed it
        self._told: dict[str, str] = {}  # by run, the names of those whose end is told
        self._untrue: dict[str, set[str]] = {}  # by run, the tags that would claim that lost records had arrived
        self._lost: dict[str, dict[str, str]] = defaultdict(dict)  # by run, the parts whose sets are gone, and why
        self.experiments: dict[str, str] = {}  # the names, by id, of those that were chosen by id
        self.reason = ""  # of the first failure
        self.refused = 0  # values that MLflow will never accept
        self.undelivered = 0  # values and other records that failed, except by an outage

    def run_id(self, key: str) -> str | None:
        """MLflow's id of the run `key`, or None if it has not started."""
        return self._runs[key].run_id if key in self._runs else None

    def known_runs(self) -> list[KnownRun]:
        """The runs that exist in MLflow, in the order in which they started."""
        return list(self._runs.values())

    def deliver(self, record: Record) -> None:
        """Carry one record out; a failure is counted, and the first one is logged.

        Raises:
            UnavailableError: If the same call may work later.
        """
        try:
            self._carry_out(record)
        except UnavailableError:
            raise
        except Exception as error:
            self.set_aside(record, error)

    def is_about_one(self) -> bool:
        """Whether the server works, so that only the record that has just failed, or a store, has a fault."""
        return self._store.is_answering()

    def set_aside(self, record: Record, reason: object) -> None:
        """Give a record up, so that those after it can be delivered."""
        untrue = {tags.FINGERPRINT}
        if isinstance(record, Upload):
            if isinstance(reason, LostFileError) and record.folder == tags.TOPK_FOLDER:
                self._lost[record.key][record.file.stem] = str(reason)
            elif record.folder in tags.LISTED_BY:
                untrue.add(tags.LISTED_BY[record.folder])
        self._untrue.setdefault(record.key, set()).update(untrue)
        self.undelivered += len(record.points) if isinstance(record, LogMetrics) else 1
        self._report(reason)

    def _report(self, reason: object) -> None:
        if not self.reason:
            self.reason = str(reason) or type(reason).__name__
            if not self._again:  # `sync` reports the reason itself, and no training is running
                logger.warning("Logging to MLflow failed; the training goes on. %s", reason)

    def _carry_out(self, record: Record) -> None:
        match record:
            case KnownRun():
                self._runs[record.key] = record
            case StartRun(deferred=True):
                self._deferred[record.key] = record
            case StartRun():
                self._start(record)
            case ImportAccount():
                self._import(record)
            case _ if record.key not in self._deferred:
                self._write(record, self._run(record.key))

    def _run(self, key: str) -> KnownRun:
        """The run `key`; if it is deferred, it starts now."""
        if key in self._deferred:
            self._start(self._deferred[key])
            del self._deferred[key]
        if key not in self._runs:
            raise StoreError("its run was never started")
        return self._runs[key]

    def _write(self, record: Record, run: KnownRun) -> None:
        match record:
            case LogMetrics():
                self._log_metrics(record, run.run_id)
            case LogParams():
                self._log_params(record, run.run_id)
            case SetTags():
                self._set_tags(record, run.run_id)
            case Describe():
                self._describe(record, run)
            case LogInputs():
                self._store.log_inputs(run.run_id, record.inputs)
            case Upload():
                with self._held.on_disk(record.key, record.file) as file:
                    self._store.upload(run.run_id, file, record.folder)
            case DrawPicture():
                self._draw(record, run.run_id)
            case LinkModel():
                self._store.log_model(run.run_id, run.experiment_id, record.model(), record.points)
            case EndRun():
                self._end(record, run)

    def _end(self, record: EndRun, run: KnownRun) -> None:
        self._held.release(record.key)
        if record.key not in self._adopted:
            self._store.end_run(run.run_id, record.status, record.end_time)
        if name := self._told.pop(record.key, None):
            page = told(page_of_run(run.experiment_id, run.run_id), self._store.uri)
            missing = ", but not all of it" if record.key in self._untrue else ""
            logger.info("%s is %s in MLflow%s: %s", name, record.status, missing, page)

    def _set_tags(self, record: SetTags, run_id: str) -> None:
        """Set tags, except those that would claim that lost records had arrived; name the sets that are gone."""
        untrue, lost = self._untrue.get(record.key, set()), self._lost.get(record.key, {})
        true = {key: value for key, value in record.run_tags.items() if key not in untrue}
        self.undelivered += len(record.run_tags) - len(true)
        if record.key in self._adopted:  # it keeps the name that its owner gave it
            true.pop(tags.MLFLOW_RUN_NAME, None)
        listed = tags.sets_of(true)
        gone = {part: reason for part, reason in lost.items() if part in listed}
        if gone:
            kept = {part: entry for part, entry in listed.items() if part not in gone}
            left_out = json.loads(true.get(tags.TOPK_LEFT_OUT, "{}")) | gone
            true |= {tags.TOPK: json.dumps(kept), tags.TOPK_LEFT_OUT: json.dumps(left_out)}
            if not kept:
                true = {key: value for key, value in true.items() if key not in (tags.TOPK, tags.K)}
        self._store.set_tags(run_id, true)

    def _describe(self, record: Describe, run: KnownRun) -> None:
        if tags.MLFLOW_DESCRIPTION in self._store.run(run.run_id).tags:
            return  # its owner's, or ours of an earlier attempt
        description = with_ids(record.description, run.run_id, run.experiment_id)
        self._store.set_tags(run.run_id, {tags.MLFLOW_DESCRIPTION: description})

    def _log_metrics(self, record: LogMetrics, run_id: str) -> None:
        refused = self._store.log_metrics(run_id, record.points)
        if refused:
            self.refused += len(refused)
            self._report(f"MLflow refuses the metric {refused[0]}")

    def _log_params(self, record: LogParams, run_id: str) -> None:
        refused = self._store.log_params(run_id, record.params)
        if refused:
            logger.warning("The run %s already has other values of these params: %s", run_id, ", ".join(refused))
        cut = [key for key, value in record.params.items() if is_long_param(value)]
        if cut:
            logger.warning("These params are too long for MLflow and are cut: %s", ", ".join(cut))

    def _draw(self, record: DrawPicture, run_id: str) -> None:
        """Draw here and not in the training's thread: drawing takes longer than ranking."""
        from gradiend_mlflow.sets.picture import save_picture

        with temporary_folder() as folder:
            for file in save_picture(self._held.sets(record.key, record.directory), folder):
                self._store.upload(run_id, file, tags.FIGURES_FOLDER)

    def _start(self, record: StartRun) -> None:
        run_tags = {**record.run_tags, tags.KEY: tags.shown_key(record.key)}
        adopt = record.destination.adopt
        if adopt is not None:
            active = self._store.run(adopt)
            parent: str | None = adopt
            experiment_id = active.experiment_id
            # On replay it must carry our key: a journal may name any run.
            is_free = tags.KIND not in active.tags and not self._again
            if tags.carries_key(active.tags, record.key) or (is_free and tags.KEY not in active.tags):
                self._note_name(experiment_id)
                self._store.set_tags(adopt, run_tags)
                self._adopted.add(record.key)
                self._runs[record.key] = KnownRun(record.key, adopt, experiment_id)
                if record.destination.views:
                    self._store.add_views(experiment_id)
                return
            # It already holds a training: this one becomes its child instead of overwriting it.
        elif record.parent is not None:
            above = self._run(record.parent)
            parent, experiment_id = above.run_id, above.experiment_id
        else:
            parent, experiment_id = None, self._experiment(record.destination)
        if parent is not None:
            run_tags[tags.MLFLOW_PARENT] = parent
        if record.destination.experiment_id is not None or adopt is not None:
            self._note_name(experiment_id)
        run_id = self._find_or_create(record, experiment_id, run_tags)
        self._runs[record.key] = KnownRun(record.key, run_id, experiment_id)
        if record.destination.views and record.parent is None:
            self._store.add_views(experiment_id)
        if not self._again and record.run_tags.get(tags.KIND) != tags.SEED_RUN:
            self._tell(record, experiment_id)

    def _tell(self, record: StartRun, experiment_id: str) -> None:
        """Say where runs go, once for each experiment; at its end, where this one is."""
        self._told[record.key] = record.name
        if logger.isEnabledFor(logging.INFO) and (self._store.uri, experiment_id) not in _told_of:
            _told_of.add((self._store.uri, experiment_id))
            with contextlib.suppress(StoreError):
                page = told(page_of_view(experiment_id, TRAININGS), self._store.uri)
                logger.info("Runs go to the experiment %r: %s", self._store.experiment_name(experiment_id), page)

    def _note_name(self, experiment_id: str) -> None:
        """Find out what an experiment is called: on another server its id means another one."""
        if not self._again and experiment_id not in self.experiments:
            with contextlib.suppress(StoreError):
                self.experiments[experiment_id] = self._store.experiment_name(experiment_id)

    def _find_or_create(self, record: StartRun, experiment_id: str, run_tags: dict[str, str]) -> str:
        """Start a run, unless an earlier request has started it, whose answer may have been lost."""
        found = None
        if self._again or record.key in self._requested:
            found = self._store.run_of_key(experiment_id, record.key)
        self._requested.add(record.key)
        return found or self._store.create_run(
            experiment_id, name=record.name, run_tags=run_tags, start_time=record.start_time
        )

    def _import(self, record: ImportAccount) -> None:
        from gradiend_mlflow.trainings.backfill import Backfill

        parent = record.parent
        backfill = Backfill(
            self._store, self._experiment_of(record), record.options, keep_open=record.destination.adopt
        )
        done = backfill.add(record.account, parent=None if parent is None else lambda: self._run(parent).run_id)
        self._runs[record.key] = KnownRun(record.key, done.run_id, backfill.experiment_id)

    def _experiment_of(self, record: ImportAccount) -> str:
        """The experiment in which the training is looked for, and imported if it is not there."""
        parent = self._runs.get(record.parent or "")
        if parent is not None:
            return parent.experiment_id
        if record.destination.adopt is not None:
            return self._store.run(record.destination.adopt).experiment_id
        return self._experiment(record.destination)

    def _experiment(self, destination: Destination) -> str:
        if destination.experiment_name is not None:
            return self._store.experiment_id(destination.experiment_name)
        if destination.experiment_id is not None:
            return destination.experiment_id
        # The experiment that is active during `sync` is not the one that was active in the training.
        return DEFAULT_EXPERIMENT_ID if self._again else self._store.active_experiment_id()
