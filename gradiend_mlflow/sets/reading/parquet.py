"""Columns of a Parquet file that anybody may have written, in time and memory that the file's own size bounds.

A file of a few kilobytes can ask for gigabytes: in its footer, in the headers of its pages, by compression. pyarrow
trusts them, so the footer and every page header of the wanted columns are checked before anything is decoded.
"""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from gradiend_mlflow.checks import check_path
from gradiend_mlflow.disk.trees import read_regular
from gradiend_mlflow.errors import ArtifactError
from gradiend_mlflow.sets.reading.thrift import INT32, INT64, CompactReader, Wanted
from gradiend_mlflow.untrusted import quoted

MOST_BYTES = 2**30  # of a file
# Of columns, row groups and keys in a footer; as many levels of a nested column fit into the smallest usual stack.
_MOST_IN_A_LIST = 1_000
_MOST_IN_A_FOOTER = 500_000  # values; half a second
# What the wanted columns take, compressed no longer, where that is more than _EXPANSION times the file.
_ALWAYS_ALLOWED = 32 * 2**20
_EXPANSION = 16

# Parquet's numbers for types of pages and for the encodings that no value makes longer than the page that it is in.
_DATA_PAGE, _DICTIONARY_PAGE, _DATA_PAGE_V2 = 0, 2, 3
_PLAIN, _PLAIN_DICTIONARY, _DELTA_BINARY_PACKED, _RLE_DICTIONARY, _BYTE_STREAM_SPLIT = 0, 2, 5, 8, 9
_ENCODINGS = {_PLAIN, _PLAIN_DICTIONARY, _DELTA_BINARY_PACKED, _RLE_DICTIONARY, _BYTE_STREAM_SPLIT}
# Of Parquet's structs, the fields that are used here by their numbers. The footer: rows, groups of rows; a group:
# columns, rows; a column: values, compressed size, where the pages begin, where the dictionary does.
_COLUMN: Wanted = {5: INT64, 7: INT64, 9: INT64, 11: INT64}
_FOOTER: dict[int, Wanted] = {3: INT64, 4: [{1: [{3: _COLUMN}], 3: INT64}]}
# A page: its kind, its size, its compressed size, and details of its kind: the number of values, their encoding.
_PAGE: dict[int, Wanted] = {
    **dict.fromkeys((1, 2, 3), INT32),
    5: {1: INT32, 2: INT32},
    7: {1: INT32, 2: INT32},
    8: {1: INT32, 4: INT32},
}
_DETAILS = {_DATA_PAGE: (5, 2), _DICTIONARY_PAGE: (7, 2), _DATA_PAGE_V2: (8, 4)}


def most_decoded(size: int) -> int:
    """How many bytes the columns of a file of `size` bytes may take."""
    return max(_ALWAYS_ALLOWED, _EXPANSION * size)


def read_file(path: str | PathLike[str]) -> bytes:
    """The content of a file that is no pipe or device and has at most `MOST_BYTES`.

    Raises:
        ArtifactError: If there is no such file, or it cannot be read.
        InvalidInputError: If `path` is no path.
    """
    check_path("path", path)
    try:
        return read_regular(Path(path), most=MOST_BYTES)
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error


def open_parquet(data: bytes) -> pq.ParquetFile:
    """The file with its footer read, and nothing else.

    Raises:
        ArtifactError: If that is not possible.
    """
    try:
        return pq.ParquetFile(
            pa.BufferReader(data),
            pre_buffer=False,
            page_checksum_verification=True,
            thrift_container_size_limit=_MOST_IN_A_LIST,
            thrift_string_size_limit=max(1, len(data)),
        )
    except Exception as error:  # pyarrow has many, and not only its own
        raise _unreadable(error) from error


def read_columns(file: pq.ParquetFile, data: bytes, schema: pa.Schema, rows: int, names: int) -> dict[str, pa.Array]:
    """The columns of `schema`, each as one array without nulls; further columns are not decoded.

    Args:
        file: What `open_parquet` made of `data`.
        data: The whole file.
        schema: Names and types of the columns that are wanted, each of numbers, lists of numbers, or a dictionary.
        rows: How many rows the file must have.
        names: How many entries a dictionary may have, if they are more than the rows.

    Raises:
        ArtifactError: If a column is missing, comes twice, or has another type, length or empty cells; if its pages
            would take more memory than is reasonable for the file's size; or if they are damaged.
    """
    try:
        found = file.schema_arrow
        paths = [file.schema.column(index).path for index in range(len(file.schema.names))]
    except Exception as error:
        raise _unreadable(error) from error
    _check_schema(found, schema)
    _check_pages(paths, data, schema, rows, max(rows, names))
    try:
        table = file.read(columns=schema.names, use_threads=False)
        columns = {name: table.column(name) for name in schema.names}
        arrays = {name: column.combine_chunks() for name, column in columns.items()}
    except Exception as error:
        raise _unreadable(error) from error
    for name, array in arrays.items():
        if array.null_count:
            raise ArtifactError(f"the column {name!r} has {array.null_count} empty cells")
        if len(array) != rows:
            raise ArtifactError(f"the column {name!r} has {len(array)} cells, but the file has {rows} rows")
    return arrays


def _unreadable(error: Exception) -> ArtifactError:
    return ArtifactError(f"not a readable Parquet file; truncated or damaged? ({quoted(str(error))})")


def _check_schema(found: pa.Schema, expected: pa.Schema) -> None:
    for field in expected:
        times = found.names.count(field.name)
        if times != 1:
            fault = "is missing" if not times else f"comes {times} times"
            raise ArtifactError(f"the column {field.name!r} {fault}; it has {quoted(', '.join(found.names))}")
        dtype = found.field(field.name).type
        if dtype != field.type:
            raise ArtifactError(
                f"the column {field.name!r} should have the type {field.type}; it has {quoted(str(dtype))}"
            )


def _check_pages(paths: list[str], data: bytes, schema: pa.Schema, rows: int, entries: int) -> None:
    """Refuse what would take too much memory: by counts and sizes, of the footer and of each page of the columns.

    `paths` has those of all columns, in the order of the footer.
    """
    wanted = [index for index, path in enumerate(paths) if path.partition(".")[0] in schema.names]
    if len(wanted) != len(schema):
        raise ArtifactError("it has columns whose names begin with those of others")
    footer = _footer(data)
    if footer.rows != rows or sum(group.rows for group in footer.groups) != rows:
        raise ArtifactError(f"it should have {rows} rows; it has {footer.rows}")
    taken = 0
    for group in footer.groups:
        if len(group.chunks) != len(paths):
            raise ArtifactError("its footer is damaged")
        for index in wanted:
            dtype = schema.field(paths[index].partition(".")[0]).type
            width = dtype.list_size if pa.types.is_fixed_size_list(dtype) else 1
            taken += _checked_size(group.chunks[index], paths[index], data, group.rows * width, entries)
            if taken > most_decoded(len(data)):
                raise ArtifactError(
                    f"it has {len(data):,} bytes, but its columns would take more than {most_decoded(len(data)):,}"
                )


class _Chunk(NamedTuple):
    """Where one column of a group of rows lies."""

    values: int
    start: int
    size: int


class _Group(NamedTuple):
    rows: int
    chunks: list[_Chunk]


class _Footer(NamedTuple):
    rows: int
    groups: list[_Group]


class _Page(NamedTuple):
    size: int  # in bytes, compressed no longer
    values: int
    is_dictionary: bool


def _footer(data: bytes) -> _Footer:
    """Where the columns lie. With some damaged footers pyarrow ends the process when it is asked for that."""
    try:
        reader = CompactReader(data, len(data) - 8 - int.from_bytes(data[-8:-4], "little"), _MOST_IN_A_FOOTER)
        footer = reader.struct(_FOOTER)
        groups = [_Group(group[3], [_chunk(column[3]) for column in group[1]]) for group in footer[4]]
        return _Footer(footer[3], groups)
    except (KeyError, IndexError, ValueError):
        raise ArtifactError("its footer is damaged") from None


def _chunk(column: dict[int, Any]) -> _Chunk:
    start, dictionary = column[9], column.get(11, 0)
    return _Chunk(column[5], dictionary if 0 < dictionary < start else start, column[7])


def _checked_size(chunk: _Chunk, name: str, data: bytes, values: int, entries: int) -> int:
    """How many bytes a column's pages take, compressed no longer, if they hold as many values as they should."""
    pages = list(_pages(chunk, name, data))
    if any(page.is_dictionary and page.values > entries for page in pages):
        raise ArtifactError(f"the column {name!r} has a dictionary of more than {entries} values")
    counted = sum(page.values for page in pages if not page.is_dictionary)
    if chunk.values != values or counted != values:
        raise ArtifactError(f"the column {name!r} should have {values} values; it has {counted}")
    return sum(page.size for page in pages)


def _pages(chunk: _Chunk, name: str, data: bytes) -> Iterator[_Page]:
    """What the headers of a column's pages say."""
    end = chunk.start + chunk.size
    if not 0 < chunk.start <= end <= len(data):
        raise ArtifactError(f"the column {name!r} does not lie in the file")
    reader = CompactReader(data, chunk.start, _MOST_IN_A_FOOTER)
    while reader.at < end:
        try:
            header = reader.struct(_PAGE)
            kind, size, stored = header[1], header[2], header[3]
            place, encoded = _DETAILS[kind]
            values, encoding = header[place][1], header[place][encoded]
        except (KeyError, IndexError, ValueError):
            raise ArtifactError(f"a page of the column {name!r} is damaged") from None
        if min(size, stored, values) < 0:
            raise ArtifactError(f"a page of the column {name!r} has negative sizes")
        if encoding not in _ENCODINGS:
            raise ArtifactError(f"the column {name!r} has the encoding {encoding}, which is not read here")
        yield _Page(size, values, kind == _DICTIONARY_PAGE)
        reader.at += stored
    if reader.at != end:
        raise ArtifactError(f"the pages of the column {name!r} do not end where they should")
