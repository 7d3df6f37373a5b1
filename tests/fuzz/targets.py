"""What is fuzzed: a function per reader, the inputs to start from, and what a right reader does.

A target is called with any bytes. It returns normally if they are read or refused with a `GradiendMLflowError`;
whatever else comes out, a wrong content that is accepted included, is a finding.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from gradiend_mlflow.delivery.journals.lines import read_line, write_line
from gradiend_mlflow.delivery.journals.records import Destination, KnownRun, StartRun
from gradiend_mlflow.errors import ArtifactError, GradiendMLflowError
from gradiend_mlflow.sets import artifact
from gradiend_mlflow.sets.artifact import parse_topk, save_topk
from gradiend_mlflow.sets.config import parse_config
from gradiend_mlflow.sets.described import parse_description
from gradiend_mlflow.sets.space import WeightSpace, parse_space
from gradiend_mlflow.sets.topk import TopKSet
from tests.fuzz.tags_and_comparisons import comparison_seeds, read_comparison, read_tags, tag_seeds

GOLDEN = Path(__file__).parents[1] / "golden"
_JOURNAL = Path("/journal")  # a place that nobody opens


@dataclass(frozen=True)
class Target:
    """A reader under test.

    Attributes:
        read: Reads bytes, or raises.
        seeds: Valid inputs, from which mutations start.
        runs: How many inputs `make fuzz` tries.
    """

    read: Callable[[bytes], object]
    seeds: Callable[[], list[bytes]]
    runs: int = 1_000_000

    def __call__(self, data: bytes) -> None:
        """Read once; the package's own errors are answers."""
        reason, begun = "", time.thread_time()
        try:
            self.read(data)
        except GradiendMLflowError as error:
            reason = str(error)
        assert len(reason) < 2000, "an error quotes too much of what came"
        assert time.thread_time() - begun < 1, "an input took more than a second"


def _golden_files(pattern: str) -> list[bytes]:
    return [file.read_bytes() for file in sorted(GOLDEN.rglob(pattern))]


def _sets() -> list[TopKSet]:
    """One that is plain, one of many parameters, one of several latent neurons."""
    space = WeightSpace([f"layer.{number}.weight" for number in range(9)], [(4, 5)] * 9, base_model="tiny")
    plain = TopKSet.from_indices([3, 1], space=5)
    ranked = TopKSet.from_indices(range(170, 10, -3), space=space)
    return [plain, ranked, replace(ranked, weights=np.outer(ranked.importance, [1, -2, 3]), latent_dim=3)]


@functools.cache
def _set_files() -> list[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        for number, topk_set in enumerate(_sets()):
            save_topk(topk_set, Path(folder, f"{number}"))
        return [Path(folder, f"{number}").read_bytes() for number in range(len(_sets()))]


@functools.cache
def _known_sets() -> list[TopKSet]:
    return [parse_topk(data, origin="seed") for data in _set_files()]


def _read_set(data: bytes) -> None:
    """A file is refused, or holds what one of the seeds holds: a mutation has no right digest."""
    found = parse_topk(data, origin="fuzz")
    assert any(found == known for known in _known_sets()), "a set with other content was accepted"


def _read_old_set(data: bytes) -> None:
    """Files of version 1 have no digest, so that what is in them is looked at too."""
    parse_topk(data, origin="fuzz")


def _metadata_seeds() -> list[bytes]:
    metadata = [pq.ParquetFile(io.BytesIO(data)).metadata.metadata for data in _set_files()]
    return [entries[key] for entries in metadata for key in (artifact.SET_KEY, artifact.SPACE_KEY)]


def _read_metadata(data: bytes) -> None:
    """What a file says of its set, and of its space."""
    for read in (parse_description, parse_space):
        with contextlib.suppress(ValueError, ArtifactError):  # who reads a file names it
            read(data)


def _read_config(data: bytes) -> None:
    parse_config(data, "fuzz")


def _read_line(data: bytes) -> None:
    """A line is refused, or says the same when it is written again: nothing in it was understood as something else."""
    try:
        line = read_line(data, _JOURNAL)
    except ValueError as error:  # who reads a journal names the line
        raise GradiendMLflowError(str(error)) from error
    written = write_line(line.record, line.made, _JOURNAL)
    again = read_line(written, _JOURNAL)
    assert again.made == line.made
    assert write_line(again.record, again.made, _JOURNAL) == written


def _lines() -> list[bytes]:
    """Lines of real journals, one of each kind, and of the kinds that these do not have."""
    lines = [line for data in _golden_files("journal.jsonl") for line in data.splitlines(keepends=True)[1:]]
    first = {json.loads(line)["is"]: line for line in reversed(lines)}
    start = StartRun("a" * 32, "child", {}, 0, Destination(experiment_id="7", experiment_name="x"), parent="b" * 32)
    others = [
        start,
        replace(start, parent=None, deferred=True),
        KnownRun("a" * 32, run_id="c" * 32, experiment_id="7"),
    ]
    return [*first.values(), *(write_line(record, made=0, folder=_JOURNAL) for record in others)]


TARGETS: dict[str, Target] = {
    "sets": Target(_read_set, _set_files),
    "old-sets": Target(_read_old_set, lambda: _golden_files("*.parquet")[:4]),
    "metadata": Target(_read_metadata, _metadata_seeds),
    "tags": Target(read_tags, tag_seeds),
    "config": Target(_read_config, lambda: _golden_files("config.json")[:2]),
    "journal": Target(_read_line, _lines),
    "comparison": Target(read_comparison, comparison_seeds, runs=200_000),
}
