"""The sets that a training logs: of the selected model, and of steps on the way, with how far they agree with it.

Those of steps are ranked in the training's thread and kept in memory; they are written and queued when the final set
is known. They are few, of few weights each, however long the training is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gradiend_mlflow.delivery.run_writer import RunWriter
from gradiend_mlflow.errors import logger
from gradiend_mlflow.sets.artifact import save_topk
from gradiend_mlflow.sets.parts import Part, resolve_topk
from gradiend_mlflow.sets.topk import TopKSet
from gradiend_mlflow.sets.weights import open_checkpoint, open_model
from gradiend_mlflow.store import tags
from gradiend_mlflow.tracking.guard import safely
from gradiend_mlflow.trainings.options import MOST_STEPS, LogOptions
from gradiend_mlflow.trainings.staging import stage_topk

_MOST_WEIGHTS = 1000  # of the set of a step: what `load_topk` and `compare` ask for by default

NewFolder = Callable[[], Path]


class StepSets:
    """The sets of one part at the steps of a training loop that the option `topk_steps` asks for.

    Where that means more than 50 of them, every second one is dropped, and from then on only every second one is
    ranked; and so on, so that they cover the whole training evenly.

    Attributes:
        final: The loop's own final set, once it is known.
    """

    def __init__(self, options: LogOptions) -> None:
        self.final: TopKSet | None = None
        self._options = options
        self._sets: dict[int, TopKSet] = {}
        self._asked = 0  # for how many steps
        self._every = 1  # of those that are asked for
        self._logged: set[str] = set()  # the keys of runs

    @property
    def part(self) -> Part:
        """The part that is ranked."""
        return self._options.part_of_steps

    def rank(self, step: int, model: Any, *, evaluated: bool) -> None:
        """Rank a live model's weights, if its step is one of those asked for.

        Raises:
            CheckpointError: If the model lacks the part, or has diverged.
        """
        if step in self._sets or not self._is_wanted(step, evaluated=evaluated):
            return
        self._asked += 1
        if (self._asked - 1) % self._every:
            return
        weights = open_model(model)
        topk = min(_MOST_WEIGHTS, resolve_topk(self._options.topk, weights.input_dim))
        self._sets[step] = TopKSet.from_weights(weights, part=self.part, topk=topk)
        if len(self._sets) > MOST_STEPS:
            self._thin_out(step)

    def _is_wanted(self, step: int, *, evaluated: bool) -> bool:
        match self._options.topk_steps:
            case None:
                return False
            case "eval":
                return evaluated
            case int(interval):
                return step % interval == 0
            case steps:
                return step in steps

    def _thin_out(self, step: int) -> None:
        if self._every == 1:
            logger.warning(
                "topk_steps=%r means more than %d sets of a training. From step %d on every second of these steps is "
                "left out, and every second earlier set is dropped; and again when there are as many",
                self._options.topk_steps,
                MOST_STEPS,
                step,
            )
        self._every *= 2
        self._sets = dict(list(self._sets.items())[::2])

    def log(self, run: RunWriter, final: TopKSet | None, new_folder: NewFolder) -> None:
        """Queue the sets, and what share of each is in the final one, if there is one; to each run once."""
        if not self._sets or run.key in self._logged:
            return
        self._logged.add(run.key)
        folder, digests = new_folder(), {}
        for step, topk_set in self._sets.items():
            if final is not None:
                shared = topk_set.intersection_frac(final.top(min(len(topk_set), len(final))))
                run.metrics(step, {tags.OVERLAP_WITH_FINAL: shared})
            file = folder / f"{step}.parquet"
            save_topk(topk_set, file)
            digests[step] = hashlib.sha256(file.read_bytes()).hexdigest()
            run.upload([file], tags.STEPS_FOLDER)
        listed = {"part": self.part, "k": len(topk_set), "sha256": digests}
        run.tags({tags.TOPK_STEPS: json.dumps(listed, separators=(",", ":"))})

    def log_own(self, run: RunWriter, new_folder: NewFolder) -> None:
        """The same with the loop's own final set; without one, as of a training that failed, only the sets."""
        with safely("log the sets of steps"):
            self.log(run, self.final, new_folder)


def log_selected(
    run: RunWriter,
    directory: Path,
    options: LogOptions,
    new_folder: NewFolder,
    *,
    picture: bool,
    steps: StepSets | None,
) -> Mapping[Part, TopKSet]:
    """Rank the weights of a checkpoint now, and queue its sets and those of steps; the tag that lists its own is last.

    Args:
        run: Where they are logged.
        directory: The checkpoint.
        options: How to log.
        new_folder: Returns an empty folder, whose files are kept until they are delivered.
        picture: Whether to queue a picture of the sets.
        steps: The sets of steps whose final ones these are.

    Returns:
        The sets by part.

    Raises:
        CheckpointError: If the directory holds no checkpoint that can be ranked.
    """
    folder = new_folder()
    staged = stage_topk(
        open_checkpoint(directory), topk=options.topk, parts=options.parts, folder=folder, picture=False
    )
    for artifact_folder, files in staged.files.items():
        run.upload(files, artifact_folder)
    if picture:
        run.draw(folder)
    if steps is not None:
        with safely("log the sets of steps"):
            steps.log(run, staged.sets.get(steps.part), new_folder)
    run.tags(staged.run_tags)
    return staged.sets
