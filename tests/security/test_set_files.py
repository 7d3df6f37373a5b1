"""Files of sets that somebody made to harm: the answer is an ArtifactError, soon, and in little memory."""

from __future__ import annotations

import contextlib
import os
import random
import struct
import subprocess
import sys
import time
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import gradiend_mlflow
from gradiend_mlflow import ArtifactError, TopKSet, load_topk_file, save_topk
from gradiend_mlflow.sets.artifact import parse_topk
from tests.support.set_files import SET_KEY, SPACE_KEY, SetFile, names

NESTED = b"[" * 100_000

DESCRIBED: dict[str, tuple[dict[str, Any], str]] = {
    "k is a fraction": ({"k": 5.0}, "k must be an integer"),
    "k is infinite": ({"k": float("inf")}, "it holds Infinity"),
    "k is negative": ({"k": -1}, "k must be an integer from 1"),
    "k is true": ({"k": True}, "k must be an integer"),
    "k is huge": ({"k": 200_000_000}, "would take more than"),
    "k has 30 digits": ({"k": 10**30}, "beyond 64 bits"),
    "k is missing": ({"k": None}, "k must be an integer"),
    "width is 2^31": ({"weight_width": 2**31}, "weight_width must be an integer from 1 to 2147483647"),
    "width is large": ({"weight_width": 2**31 - 1}, "would take more than"),
    "width is another": ({"weight_width": 2}, "the column 'weight' should have the type fixed_size_list"),
    "topk is a list": ({"topk": [3]}, "topk must be a finite number"),
    "topk is nothing": ({"topk": None}, "topk must be a finite number"),
    "topk is too large a fraction": ({"topk": 1.5}, "topk must be a number of weights"),
    "topk is NaN": ({"topk": float("nan")}, "it holds NaN"),
    "part is a dict": ({"part": {"a": 1}}, "part must be a string"),
    "part is long": ({"part": "x" * 60_000}, "part must be a string"),
    "input_dim is a string": ({"input_dim": "10"}, "input_dim must be an integer"),
    "latent_dim is 0": ({"latent_dim": 0}, "latent_dim must be an integer from 1"),
    "the version is long": ({"format_version": "9" * 60_000}, "it has the format version '99"),
    "the version is nested": ({"format_version": {"a": [1]}}, "it has the format version"),
    "it is long": ({"more": "x" * 2**17}, "at most 65,536 are read"),
}
SPACES: dict[str, tuple[dict[str, Any], str]] = {
    "base_model is a list": ({"base_model": ["a"]}, "base_model must be a string"),
    "names is a string": ({"names": "ab"}, "names must be a list"),
    "a name is a number": ({"names": ["query", 5]}, r"names\[1\] must be a string"),
    "a name is half a character": ({"names": ["query", "\ud800"]}, "strings of whole characters"),
    "a name comes twice": ({"names": ["query", "query"]}, "unique names"),
    "shapes is missing": ({"shapes": None}, "shapes must be a list"),
    "a shape is a number": ({"shapes": [6, 4]}, r"shapes\[0\] must be a list"),
    "a size is a string": ({"shapes": [["2", 3], [4]]}, r"shapes\[0\]\[0\] must be an integer"),
    "a size is a fraction": ({"shapes": [[2, 3.5], [4]]}, r"shapes\[0\]\[1\] must be an integer"),
    "a size is negative": ({"shapes": [[-2, -3], [4]]}, "must be an integer from 0"),
    "a product passes 63 bits": ({"shapes": [[2**62, 2**62], [4]]}, "counted in 63 bits"),
    "a sum passes 63 bits": ({"shapes": [[2**62], [2**62]]}, "counted in 63 bits"),
    "a shape is long": ({"shapes": [[1] * 65, [4]]}, "at most 64 axes"),
    "the size is another": ({"size": 11}, "should have 10 weights; it says 11"),
    "the fingerprint is a list": ({"fingerprint": [1]}, "does not match its fingerprint"),
}
METADATA: dict[str, tuple[dict[bytes, bytes], str]] = {
    "nested without end": ({SET_KEY: NESTED[:60_000]}, "nested too deep"),
    "a space nested without end": ({SPACE_KEY: NESTED}, "nested too deep"),
    "not JSON": ({SET_KEY: b"{"}, "not valid JSON"),
    "not UTF-8": ({SPACE_KEY: b'"\xff"'}, "not UTF-8"),
    "a list": ({SET_KEY: b"[]"}, "must be an object"),
    "a space that is null": ({SPACE_KEY: b"null"}, "must be an object"),
    "digits without end": ({SET_KEY: b"1" * 60_000}, "beyond 64 bits"),
}


def refused(data: bytes, message: str) -> None:
    """As an error that names the file, at a readable length."""
    with pytest.raises(ArtifactError, match=message) as caught:
        parse_topk(data, origin="here.parquet")
    assert str(caught.value).startswith("here.parquet: ")
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("fault", DESCRIBED)
def test_an_absurd_set_is_named(tmp_path: Path, fault: str) -> None:
    """Numbers that are none, and numbers that nothing can hold."""
    values, message = DESCRIBED[fault]
    made = SetFile()
    made.described |= values
    refused(made.write(tmp_path / "set.parquet").read_bytes(), message)


@pytest.mark.parametrize("fault", SPACES)
def test_an_absurd_space_is_named(tmp_path: Path, fault: str) -> None:
    """Its fingerprint is right."""
    values, message = SPACES[fault]
    made = SetFile()
    made.space |= values
    refused(made.write(tmp_path / "set.parquet").read_bytes(), message)


@pytest.mark.parametrize("fault", METADATA)
def test_metadata_that_is_none_is_named(tmp_path: Path, fault: str) -> None:
    """Its digest is right."""
    metadata, message = METADATA[fault]
    refused(SetFile(metadata=metadata).write(tmp_path / "set.parquet").read_bytes(), message)


def test_columns_that_come_twice_are_named(tmp_path: Path) -> None:
    """Two of one name, and one that Parquet's paths cannot tell from a part of another."""
    made = SetFile(order=["rank", "param", "offset", "offset", "importance", "weight"])
    refused(made.write(tmp_path / "set.parquet").read_bytes(), "the column 'offset' comes 2 times")
    made = SetFile()
    made.columns["weight.more"] = pa.array([1, 2, 3])
    refused(made.write(tmp_path / "set.parquet").read_bytes(), "names begin with those of others")


@pytest.mark.parametrize(
    "column",
    [
        pa.array([[1], [0], [3]], pa.list_(pa.int64())),
        pa.array(["1", "0", "3"]),
        pa.array([{"a": {"b": 1}}] * 3),
        pa.array([None] * 3),
    ],
    ids=["lists", "strings", "structs", "nothing"],
)
def test_columns_of_other_types_are_named(tmp_path: Path, column: pa.Array) -> None:
    """Before they are decoded."""
    made = SetFile(digest="0" * 64)
    made.columns["offset"] = column
    refused(made.write(tmp_path / "set.parquet").read_bytes(), "the column 'offset' should have the type int64")


def test_a_schema_without_end_is_refused(tmp_path: Path) -> None:
    """Deep nesting makes C++ recurse, which Python cannot catch."""
    column = pa.array([1, 2, 3])
    for _ in range(900):
        column = pa.StructArray.from_arrays([column], ["a"])
    made = SetFile()
    made.columns["deep"] = column
    refused(made.write(tmp_path / "set.parquet").read_bytes(), "not a readable Parquet file")
    file = made.write(tmp_path / "set.parquet", store_schema=False)
    refused(file.read_bytes(), "the column 'param' should have the type dictionary")
    for _ in range(5000):
        column = pa.StructArray.from_arrays([column], ["a"])
    made.columns["deep"] = column
    file = made.write(tmp_path / "set.parquet", store_schema=False)
    refused(file.read_bytes(), "not a readable Parquet file")


# ------------------------------------------------------------------------------------------ what asks for too much

_LIMIT = 200 * 2**20
_SCRIPT = """
import resource, sys, time
from pathlib import Path
import gradiend_mlflow
from gradiend_mlflow import GradiendMLflowError, load_topk_file
warm = load_topk_file(sys.argv[1])
pages = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (pages + int(sys.argv[3]),) * 2)
begun = time.process_time()
try:
    print("read", load_topk_file(sys.argv[2]))
except GradiendMLflowError as error:
    print("refused", error)
print(time.process_time() - begun)
"""


def read_within_limits(tmp_path: Path, file: Path) -> str:
    """What a process says of a file that may take 200 MB more than it has at the start, and 2 s of the processor."""
    warm = SetFile().write(tmp_path / "warm.parquet")
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(warm), str(file), str(_LIMIT)],
        capture_output=True, text=True, check=False, timeout=60,
        env=os.environ | {"PYTHONPATH": str(Path(gradiend_mlflow.__file__).parents[1]), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *answer, took = done.stdout.splitlines()
    assert float(took) < 2
    return "\n".join(answer)


def test_a_column_that_nobody_asked_for_is_not_decoded(tmp_path: Path) -> None:
    """Some kilobytes that would be 240 MB."""
    made = SetFile()
    made.columns["more"] = pa.array(["x" * 80_000_000] * 3, pa.large_string())
    file = made.write(tmp_path / "bomb.parquet", compression="zstd", write_statistics=False)
    assert file.stat().st_size < 100_000
    assert read_within_limits(tmp_path, file).startswith("read TopKSet(")


@pytest.mark.parametrize("compression", ["zstd", "gzip", "brotli", "snappy"])
def test_rows_that_compress_to_nothing_are_refused(tmp_path: Path, compression: str) -> None:
    """Two million rows of zeros; the metadata tell it, or tell something else."""
    rows = 2_000_000
    made = SetFile(digest="0" * 64)
    made.columns = {
        "rank": pa.array(np.arange(1, rows + 1, dtype=np.int32)),
        "param": pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array(["query"])),
        "offset": pa.array(np.zeros(rows, np.int64)),
        "importance": pa.array(np.zeros(rows, np.float32)),
        "weight": pa.array(np.zeros(rows, np.float32)),
    }
    encodings = {"rank": "DELTA_BINARY_PACKED", "offset": "DELTA_BINARY_PACKED"}
    for told, message in ((rows, "would take more than"), (3, f"it should have 3 rows; it has {rows}")):
        made.described |= {"k": told, "input_dim": 10 if told == 3 else rows}
        file = made.write(tmp_path / "bomb.parquet", compression=compression, column_encoding=encodings)
        assert message in read_within_limits(tmp_path, file)


def test_names_that_compress_to_nothing_are_refused(tmp_path: Path) -> None:
    """A dictionary of three names of 30 MB."""
    made = SetFile(digest="0" * 64)
    made.columns["param"] = names(*(letter * 30_000_000 for letter in "abc"))
    file = made.write(tmp_path / "bomb.parquet", compression="zstd", write_statistics=False)
    assert file.stat().st_size < 100_000
    assert "its columns would take more than" in read_within_limits(tmp_path, file)


def _varint(number: int) -> bytes:
    parts = []
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])


def _int32(step: int, number: int) -> bytes:
    return bytes([step << 4 | 5]) + _varint((number << 1 ^ number >> 63) & (2**64 - 1))


def _dictionary(values: int) -> bytes:
    return _int32(1, values) + _int32(1, 0) + b"\0"


def _data(values: int, encoding: int) -> bytes:
    return _int32(1, values) + _int32(1, encoding) + _int32(1, 3) + _int32(1, 3) + b"\0"


# Kind, size, the field that has details, the details, further fields; and what is said.
PAGES = {
    "two gigabytes, compressed": ((0, 2**31 - 1, 5, _data(3, 0), b""), "would take more than"),
    "a dictionary of two billion": ((2, 40, 7, _dictionary(2**31 - 1), b""), "has a dictionary of more than 3"),
    "two billion values": ((0, 40, 5, _data(2**31 - 1, 0), b""), "should have 3 values; it has 2147483647"),
    "prefixes that add up": ((0, 40, 5, _data(3, 7), b""), "has the encoding 7, which is not read here"),
    "a negative size": ((0, -5, 5, _data(3, 0), b""), "a page of the column 'rank' has negative sizes"),
    "details of another kind": ((0, 40, 7, _data(3, 0), b""), "a page of the column 'rank' is damaged"),
    "a field that comes twice": ((0, 40, 5, _data(3, 0), b"\x05\x04\x06"), "a page of the column 'rank' is damaged"),
    "a map": ((0, 40, 5, _data(3, 0), b"\x1b\x01"), "a page of the column 'rank' is damaged"),
    "an unknown kind": ((9, 40, 5, _data(3, 0), b""), "a page of the column 'rank' is damaged"),
}


@pytest.mark.parametrize("fault", PAGES)
def test_pages_that_ask_for_too_much_are_refused(tmp_path: Path, fault: str) -> None:
    """The footer is that of a good file; pyarrow would believe the page."""
    (kind, size, place, details, more), message = PAGES[fault]
    file = SetFile().write(tmp_path / "set.parquet", compression="zstd", write_statistics=False, use_dictionary=False)
    chunk = pq.read_metadata(file).row_group(0).column(0)
    data, at = bytearray(file.read_bytes()), chunk.data_page_offset
    start, end = _int32(1, kind) + _int32(1, size), bytes([(place - 3) << 4 | 12]) + details + more + b"\0"
    stored = chunk.total_compressed_size - len(start) - 2 - len(end)  # so that the page ends where it did
    assert 0 < stored < 64
    header = start + _int32(1, stored) + end
    data[at : at + len(header)] = header
    refused(bytes(data), message)


def test_footers_that_are_no_footers_are_refused(tmp_path: Path) -> None:
    """Lengths that point anywhere, encrypted ones, and nothing but the marks."""
    data = SetFile().write(tmp_path / "set.parquet").read_bytes()
    for spoilt in (
        b"PAR1PAR1",
        b"PAR1" + bytes(4) + b"PAR1",
        data[:-8] + struct.pack("<I", 2**31) + b"PAR1",
        data[:-8] + struct.pack("<i", -1) + b"PAR1",
        data[:-8] + struct.pack("<I", 1) + b"PAR1",
        b"PARE" + data[4:-4] + b"PARE",
        data[:-4] + b"PARE",
        zlib.compress(data),
    ):
        refused(spoilt, "not a readable Parquet file")


# -------------------------------------------------------------------------------------------------- what is damaged


def test_no_flipped_byte_goes_unnoticed(tmp_path: Path) -> None:
    """Every byte of a file, one after the other: it is refused, or the set is the same."""
    topk_set = TopKSet.from_indices([7, 0, 3, 9], space=12)
    save_topk(topk_set, tmp_path / "set.parquet")
    data = (tmp_path / "set.parquet").read_bytes()
    chance = random.Random(0)
    for at in range(len(data)):
        spoilt = bytearray(data)
        spoilt[at] ^= chance.randrange(1, 256)
        same_or_refused(bytes(spoilt), topk_set)


def test_no_mutation_goes_unnoticed(tmp_path: Path) -> None:
    """Some thousand files with several bytes changed, left out, repeated or moved."""
    topk_set = TopKSet.from_indices(range(0, 90, 3), space=100)
    save_topk(topk_set, tmp_path / "set.parquet")
    data = (tmp_path / "set.parquet").read_bytes()
    chance = random.Random(1)
    for _ in range(4000):
        spoilt = bytearray(data)
        for _ in range(chance.randrange(1, 5)):
            at, length = chance.randrange(len(spoilt)), chance.randrange(1, 9)
            kind = chance.randrange(4)
            if kind == 0:
                spoilt[at] ^= 1 << chance.randrange(8)
            elif kind == 1:
                spoilt[at : at + length] = chance.randbytes(length)
            elif kind == 2:
                del spoilt[at : at + length]
            else:
                spoilt[at:at] = spoilt[chance.randrange(len(spoilt)) :][:length]
        same_or_refused(bytes(spoilt), topk_set)


def same_or_refused(data: bytes, expected: TopKSet) -> None:
    """At once, and with nothing else."""
    begun = time.process_time()
    with contextlib.suppress(ArtifactError):
        assert parse_topk(data, origin="here") == expected
    assert time.process_time() - begun < 1


def test_every_set_that_is_written_is_read(tmp_path: Path) -> None:
    """Also one that compresses to nothing: it is written as it is."""
    topk_set = TopKSet.from_indices(np.arange(1_500_000), space=1_500_000, importance=np.zeros(1_500_000))
    save_topk(topk_set, tmp_path / "set.parquet")
    assert load_topk_file(tmp_path / "set.parquet") == topk_set


@pytest.mark.parametrize("share", [0.45, 0.55, 0.9, 1.1])
def test_wide_sets_are_read_around_the_limit(tmp_path: Path, share: float) -> None:
    """Lists take more than their numbers; where a reader would refuse it, nothing is compressed."""
    rows = int(share * 32 * 2**20 / 420)
    narrow = TopKSet.from_indices(np.arange(rows), space=rows, importance=np.zeros(rows))
    wide = replace(narrow, weights=np.zeros((rows, 100)), latent_dim=100)
    save_topk(wide, tmp_path / "set.parquet")
    assert load_topk_file(tmp_path / "set.parquet") == wide


def test_a_space_that_cannot_be_read_is_not_written(tmp_path: Path) -> None:
    """More names than a file may hold."""
    many = gradiend_mlflow.WeightSpace([f"{number:01000}" for number in range(20_000)], [(1,)] * 20_000)
    with pytest.raises(gradiend_mlflow.InvalidInputError, match="at most 16,777,216 are kept"):
        save_topk(TopKSet.from_indices([1], space=many), tmp_path / "set.parquet")
    assert not list(tmp_path.glob("*.p*"))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (os.mkfifo, "is not a regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "is not a regular file"),
        (lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 2**36), "at most 1,073,741,824 are read"),
    ],
    ids=["pipe", "device", "size"],
)
def test_what_has_no_end_is_not_read(make: Any, reason: str, tmp_path: Path) -> None:
    """A pipe that nobody writes to, a device, a file that claims more than any memory has."""
    make(tmp_path / "set.parquet")
    with pytest.raises(ArtifactError, match=reason):
        load_topk_file(tmp_path / "set.parquet")


@pytest.mark.parametrize("path", [None, 5, b"set.parquet", "a\0b", ""])
def test_what_is_no_path_is_named(path: Any) -> None:
    """As an argument that is wrong, not as a file that is."""
    with pytest.raises(gradiend_mlflow.InvalidInputError, match="path must be a path"):
        load_topk_file(path)
