"""What is fuzzed: a function per reader, the inputs to start from, and what a right reader does.

A target is called with any bytes. It returns normally if they are read or refused with a `GradiendMLflowError`;
whatever else comes out, a wrong content that is accepted included, is a finding.
"""

from __future__ import annotations

import functools
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gradiend_mlflow.errors import GradiendMLflowError
from gradiend_mlflow.sets.artifact import parse_topk
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
        reason = ""
        try:
            self.read(data)
        except GradiendMLflowError as error:
            reason = str(error)
        assert len(reason) < 2000, "an error quotes too much of what came"


def _golden_files(pattern: str) -> list[bytes]:
    return [file.read_bytes() for file in sorted(GOLDEN.rglob(pattern))]


@functools.cache
def _known_sets() -> list[Any]:
    return [parse_topk(data, origin="golden") for data in _golden_files("*.parquet")]


def _read_set(data: bytes) -> None:
    """A file is refused, or holds what one of the seeds holds: a mutation has no right digest."""
    found = parse_topk(data, origin="fuzz")
    assert any(found == known for known in _known_sets()), "a set with other content was accepted"


def _read_tags(data: bytes) -> None:
    tags.sets_of({tags.TOPK: data.decode("utf-8", "replace")})


def _tag_seeds() -> list[bytes]:
    runs = [json.loads(data) for data in _golden_files("run.json")]
    return [run["tags"][tags.TOPK].encode() for run in runs if tags.TOPK in run["tags"]]


@functools.cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="gradiend-mlflow-fuzz-"))


def _read_config(data: bytes) -> None:
    from gradiend_mlflow.sets.weights import open_checkpoint

    folder = _folder() / "model"
    if not folder.exists():
        model = next(iter(sorted(GOLDEN.rglob("model.safetensors")))).parent
        shutil.copytree(model, folder)
    (folder / "config.json").write_bytes(data)
    open_checkpoint(folder)


def _lines(pattern: str) -> Iterator[bytes]:
    for data in _golden_files(pattern):
        yield from data.splitlines(keepends=True)[1:]  # the first is the header


def _read_journal_line(data: bytes) -> None:
    from gradiend_mlflow.delivery.records import read_line

    try:
        read_line(data, _folder())
    except ValueError as error:  # who reads a journal names the line
        raise GradiendMLflowError(str(error)) from error


TARGETS: dict[str, Target] = {
    "sets": Target(_read_set, lambda: _golden_files("*.parquet")[:6]),
    "tags": Target(_read_tags, _tag_seeds),
    "config": Target(_read_config, lambda: _golden_files("config.json")[:2]),
    "journal": Target(_read_journal_line, lambda: list(_lines("journal.jsonl"))),
}
