"""The runs of a session: that of its training or suite, and those of the seeds below it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gradiend_mlflow.delivery.journals.records import Destination
from gradiend_mlflow.delivery.recorder import Recorder
from gradiend_mlflow.delivery.run_writer import RunWriter
from gradiend_mlflow.store import tags
from gradiend_mlflow.store.store import now_ms
from gradiend_mlflow.trainings.options import LogOptions
from gradiend_mlflow.trainings.words.terms import version_tags


class SessionRuns:
    """Starts, names and ends them.

    Args:
        recorder: Where they are logged.
        options: How.
        name: Says the run's name, unless the options have one; asked again when more is known.
        about: Says its tags, besides the kind, the versions and the options' extra tags.
        kind: The run's kind; that of a suite starts when the first run below it does.
        suite: The runs of the suite that the training is part of; its run becomes the parent.
    """

    def __init__(
        self,
        recorder: Recorder,
        options: LogOptions,
        *,
        name: Callable[[], str],
        about: Callable[[], Mapping[str, str]],
        kind: str,
        suite: SessionRuns | None,
    ) -> None:
        self.begun = now_ms()
        self.seeds: dict[int, RunWriter] = {}
        self.destination = Destination.now(options)
        self._recorder = recorder
        self._options = options
        self._name = name
        self._name_at_start = ""
        self._about = about
        self._kind = kind
        self._suite = suite
        self._own: RunWriter | None = None
        self._open: list[RunWriter] = []

    @property
    def name(self) -> str:
        """The run's name, as far as it is known now."""
        return self._options.run_name or self._name()

    @property
    def started(self) -> bool:
        """Whether there is a run yet."""
        return self._own is not None

    @property
    def own(self) -> RunWriter:
        """The training's run; started when first asked for, as of the session's beginning."""
        if self._own is None:
            run_tags, self._name_at_start = self._tags_of(self._kind), self.name
            if self._suite is not None:
                self._own = self._suite.own.child(self.name, run_tags, start_time=self.begun)
            else:
                waits = self._kind == tags.SUITE
                self._own = self._recorder.start(
                    self.name, run_tags, self.destination, start_time=self.begun, deferred=waits
                )
            self._open.append(self._own)
        return self._own

    def is_own(self, run: RunWriter) -> bool:
        """Whether it is the training's run, and not that of a seed."""
        return run is self._own

    def take(self, run: RunWriter) -> None:
        """Let the training's run be one that is started and ended elsewhere."""
        self._own = run

    def start_seed(self, seed: int, params: Mapping[str, str], *, start_time: int | None = None) -> RunWriter:
        """Start the run of a seed, by default now."""
        run_tags = {**self._tags_of(tags.SEED_RUN), tags.SEED: str(seed)}
        run = self.seeds[seed] = self.own.child(f"{self.name}/seed_{seed}", run_tags, start_time=start_time)
        self._open.append(run)
        run.params({**params, "seed": str(seed)})  # gradiend's config keeps the first seed
        return run

    def rename(self) -> None:
        """Let them have the name that is known now, if it was not known when they started."""
        if self._own is not None and self.name != self._name_at_start:
            self._own.tags({tags.MLFLOW_RUN_NAME: self.name})
            for seed, run in self.seeds.items():
                run.tags({tags.MLFLOW_RUN_NAME: f"{self.name}/seed_{seed}"})

    def end(self, run: RunWriter) -> None:
        """End the run of one seed, once."""
        if run in self._open:
            self._open.remove(run)
            run.end("FINISHED")

    def end_all(self, status: str) -> None:
        """End every run that is still open, children first."""
        for run in reversed(self._open):
            run.end(status)
        self._open.clear()

    def _tags_of(self, kind: str) -> dict[str, str]:
        return {tags.KIND: kind, **version_tags(), **self._about(), **(self._options.extra_tags or {})}
