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
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from gradiend_mlflow.errors import ArtifactError, GradiendMLflowError
from gradiend_mlflow.sets import artifact
from gradiend_mlflow.sets.artifact import parse_topk, save_topk
from gradiend_mlflow.sets.space import WeightSpace, parse_space
from gradiend_mlflow.sets.topk import TopKSet
from gradiend_mlflow.store import tags

GOLDEN = Path(__file__).parents[1] / "golden"


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
    for read in (artifact.parse_description, parse_space):
        with contextlib.suppress(ValueError, ArtifactError):  # who reads a file names it
            read(data)


def _read_tags(data: bytes) -> None:
    tags.sets_of({tags.TOPK: data.decode("utf-8", "replace")})


def _tag_seeds() -> list[bytes]:
    runs = [json.loads(data) for data in _golden_files("run.json")]
    return [run["tags"][tags.TOPK].encode() for run in runs if tags.TOPK in run["tags"]]


@functools.cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="gradiend-mlflow-fuzz-"))


def _read_config(data: bytes) -> None:
    from gradiend_mlflow.sets.weights import parse_config

    parse_config(data, "fuzz")


def _lines(pattern: str) -> Iterator[bytes]:
    for data in _golden_files(pattern):
        yield from data.splitlines(keepends=True)[1:]  # the first is the header


def _read_journal_line(data: bytes) -> None:
    from gradiend_mlflow.delivery.journals.lines import read_line

    try:
        read_line(data, _folder())
    except ValueError as error:  # who reads a journal names the line
        raise GradiendMLflowError(str(error)) from error


TARGETS: dict[str, Target] = {
    "sets": Target(_read_set, _set_files),
    "old-sets": Target(_read_old_set, lambda: _golden_files("*.parquet")[:4]),
    "metadata": Target(_read_metadata, _metadata_seeds),
    "tags": Target(_read_tags, _tag_seeds),
    "config": Target(_read_config, lambda: _golden_files("config.json")[:2]),
    "journal": Target(_read_journal_line, lambda: list(_lines("journal.jsonl"))),
}
