"""A comparison's run is read as it was written, or refused by name."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from gradiend_mlflow import ArtifactError, Comparison, load_comparison
from gradiend_mlflow.comparison.loading import read_facts, read_sets, rebuilt

GOLDEN = Path(__file__).parents[1] / "golden" / "0.1.0" / "runs" / "comparison" / "artifacts"
FACTS = (GOLDEN / "comparison.json").read_bytes()
ARCHIVE = (GOLDEN / "sets.zip").read_bytes()
DEEP = "[" * 100_000


def read(facts: bytes, archive: bytes = ARCHIVE) -> Comparison:
    """A comparison from the content of its files."""
    checked = read_facts(facts)
    return rebuilt(checked, read_sets(archive, checked), "x")


def changed(*path: Any, to: Any) -> bytes:
    """comparison.json with one value replaced; a callable makes it from the old one."""
    facts = json.loads(FACTS)
    place = facts
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = to(copy.deepcopy(place[path[-1]])) if callable(to) else to
    return json.dumps(facts).encode()


def zipped(write: Callable[[zipfile.ZipFile, list[bytes]], object]) -> bytes:
    """An archive that is written otherwise, from the files of the right one."""
    with zipfile.ZipFile(io.BytesIO(ARCHIVE)) as files:
        contents = [files.read(name) for name in files.namelist()]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as files:
        write(files, contents)
    return packed.getvalue()


def test_as_it_was_written() -> None:
    """The files by which the others are made wrong are right."""
    assert len(read(FACTS).matrix) == 2
    again = zipped(lambda files, contents: [files.writestr(f"0000{i}.parquet", one) for i, one in enumerate(contents)])
    assert read(FACTS, again).matrix.equals(read(FACTS).matrix)


FAULTS: list[bytes] = [
    b"",
    b"[]",
    b"null",
    b"\xff\xfe",
    DEEP.encode(),
    b"{" + b'"a":' * 3,
    FACTS[:-1],
    *(changed(key, to=None) for key in ("format", "part", "topk", "value", "rbo_p", "labels", "sizes", "runs")),
    *(changed(key, to=None) for key in ("skipped", "notes", "sets_sha256")),
    changed("topk", to=10**30),
    changed("topk", to="all"),
    changed("topk", to=-1.5),
    changed("rbo_p", to=2),
    changed("rbo_p", to=float("nan")),
    changed("value", to="beauty"),
    changed("value", to=["jaccard"]),
    changed("part", to={}),
    changed("labels", to=lambda labels: labels[:1]),
    changed("labels", to=lambda labels: labels[:1] * 2),
    changed("labels", to=lambda labels: [*labels, labels[0]]),
    changed("labels", to={}),
    changed("groups", to={}),
    changed("groups", to=[]),
    changed("groups", to={"3SG_3PL": ["x"]}),
    changed("notes", to=[1]),
    changed("skipped", to=[{}]),
    changed("skipped", to=[{"run_id": 1, "name": "x", "reason": "y"}]),
    changed("runs", to=lambda rows: rows[:1]),
    changed("runs", 0, to=None),
    changed("runs", 0, "seed", to=10**30),
    changed("runs", 0, "seed", to=1.5),
    changed("runs", 0, "k", to=-1),
    changed("runs", 0, "start_time", to="soon"),
    changed("runs", 0, "start_time", to="0001-01-01T00:00:00+23:59"),
    changed("runs", 0, "correlation", to="high"),
    changed("runs", 0, "target_classes", to="x"),
    changed("runs", 0, "parts", to=[[1]]),
    changed("runs", 0, "sets", to={"decoder-weight": {}}),
    changed("runs", 0, "tags", to={"a": {}}),
    changed("runs", 0, "params", to=[]),
    changed("runs", 0, "run_id", to=None),
    changed("sizes", to=[1]),
    *(
        FACTS[:-1] + b', "seeds": ' + json.dumps(seeds).encode() + b"}"
        for seeds in (
            [],
            {},
            {"seeds": "all_tried", "labels": ["a"], "members": [[0]]},
            dict.fromkeys(("seeds", "seed_aggregate", "dispersion", "seed_pairing_mode", "seed_group_policy"), "x"),
        )
    ),
]
SEEDS: dict[str, Any] = {
    "seeds": "all_tried",
    "seed_aggregate": "mean",
    "dispersion": "none",
    "seed_pairing_mode": "matched",
    "seed_group_policy": "primary",
    "labels": ["a"],
    "members": [[0, 1]],
}


@pytest.mark.parametrize("facts", FAULTS, ids=range(len(FAULTS)))
def test_comparison_json(facts: bytes) -> None:
    """Everything else than what `compare` writes is refused, and little of it quoted."""
    with pytest.raises(ArtifactError, match=r"comparison\.json") as raised:
        read(facts)
    assert len(str(raised.value)) < 600


@pytest.mark.parametrize(
    "changes",
    [
        {"members": [[]]},
        {"members": [[2]]},
        {"members": [[-1]]},
        {"members": []},
        {"labels": []},
        {"labels": ["a", "a"]},
        {"labels": ["a", "b"], "members": [[0, 1], [0]]},
    ],
    ids=str,
)
def test_seeds(changes: dict[str, Any]) -> None:
    """Rows that are not there, trainings without seeds, matched ones of different numbers."""
    facts = json.loads(FACTS) | {"groups": None}
    assert len(read(json.dumps(facts | {"seeds": SEEDS}).encode()).matrix) == 1
    with pytest.raises(ArtifactError, match=r"comparison\.json"):
        read(json.dumps(facts | {"seeds": SEEDS | changes}).encode())


ARCHIVES: list[bytes] = [
    b"",
    b"PK\x05\x06" + bytes(18),
    ARCHIVE[:-10],
    ARCHIVE[10:],
    ARCHIVE[: len(ARCHIVE) // 2],
    ARCHIVE.replace(b"00001.parquet", b"00000.parquet"),
    ARCHIVE.replace(b"00001.parquet", b"../01.parquet"),
    zipped(lambda files, contents: files.writestr("00000.parquet", contents[0])),
    zipped(lambda files, _: [files.writestr(f"0000{i}.parquet", b"no set") for i in range(2)]),
    zipped(
        lambda files, contents: [
            files.writestr(f"0000{i}.parquet", one, zipfile.ZIP_DEFLATED) for i, one in enumerate(contents)
        ]
    ),
    zipped(
        lambda files, _: [files.writestr(f"0000{i}.parquet", bytes(10**8), zipfile.ZIP_DEFLATED) for i in range(2)]
    ),
]


@pytest.mark.parametrize("archive", ARCHIVES, ids=range(len(ARCHIVES)))
def test_sets_zip(archive: bytes) -> None:
    """Truncated, other names, compressed, bombs, other files."""
    with pytest.raises(ArtifactError, match=r"sets\.zip") as raised:
        read(FACTS, archive)
    assert len(str(raised.value)) < 600


@pytest.mark.timeout(60)
@pytest.mark.parametrize("end", ["usual", "64 bits", "comment"])
def test_a_table_of_contents_is_not_longer_than_its_files_need(end: str) -> None:
    """One of a million entries would take half a minute and half a gigabyte, and an archive may have fifty."""
    entry = b"PK\x01\x02" + struct.pack("<4B4HL2L5H2L", 20, 3, 20, *[0] * 8, 1, *[0] * 6) + b"a"
    contents = entry * 1_000_000
    archive, size = contents, len(contents)
    if end == "64 bits":
        archive += b"PK\x06\x06" + struct.pack("<Q2H2L4Q", 44, 45, 45, 0, 0, 1_000_000, 1_000_000, size, 0)
        archive += b"PK\x06\x07" + struct.pack("<LQL", 0, size, 1)
        size = 0
    archive += b"PK\x05\x06" + struct.pack("<4H2LH", 0, 0, 0xFFFF, 0xFFFF, size, 0, 2 * (end == "comment"))
    with pytest.raises(ArtifactError, match=r"sets\.zip is not as it was written: it does not end as an archive of 2"):
        read(FACTS, archive + b"ab" * (end == "comment"))


@pytest.mark.parametrize("piece", [b"[],", b"{},", b'"\xc3\xa9",', b"1.5,"])
def test_a_document_of_many_values_is_not_read(piece: bytes) -> None:
    """It would take thirty times its size in memory."""
    document = b'{"format": 1, "more": [' + piece * (40_000_000 if piece[0:1] == b"1" else 4_200_000) + b"1]}"
    with pytest.raises(
        ArtifactError, match=r"comparison\.json is not as it was written: it holds more lists, objects"
    ):
        read_facts(document)


def test_one_file_that_is_two() -> None:
    """Two entries that point at the same bytes would be read for each."""
    with zipfile.ZipFile(io.BytesIO(ARCHIVE)) as files:
        first, second = files.infolist()
    at = ARCHIVE.rindex(b"PK\x01\x02")
    overlapping = bytearray(ARCHIVE)
    overlapping[at + 42 : at + 46] = first.header_offset.to_bytes(4, "little")
    assert second.header_offset != first.header_offset
    with pytest.raises(ArtifactError, match=r"sets\.zip"):
        read(FACTS, bytes(overlapping))


def test_the_run_is_named(tracking: MlflowClient, tmp_path: Path) -> None:
    """With the file, through MLflow, where the digest is right."""
    for name, content in (("comparison.json", changed("labels", to=[])), ("sets.zip", ARCHIVE)):
        (tmp_path / name).write_bytes(content)
    digest = hashlib.sha256((tmp_path / "comparison.json").read_bytes()).hexdigest()
    tags = {"gradiend.kind": "comparison", "gradiend.comparison_sha256": digest}
    run_id = tracking.create_run("0", tags=tags).info.run_id
    for name in ("comparison.json", "sets.zip"):
        tracking.log_artifact(run_id, str(tmp_path / name))
    with pytest.raises(ArtifactError, match=rf"^the comparison {run_id}: comparison\.json is not as it was"):
        load_comparison(run_id)


def test_labels_do_not_act_on_terminals() -> None:
    """Nor notes and reasons."""
    hostile = "\x1b[2J\u202elabel"
    facts = json.loads(FACTS)
    facts["labels"][0] = facts["runs"][0]["label"] = facts["notes"][0] = hostile
    facts["groups"] = None
    comparison = read(json.dumps(facts).encode())
    assert all(text.isprintable() for text in (*comparison.matrix, *comparison.notes, comparison.to_csv()[:10]))
    assert comparison.overlap.labels[0] == "\\x1b[2J\\u202elabel"
