"""Columns of a Parquet file that anybody may have written, in time and memory that the file's own size bounds.

A file of a few kilobytes can ask for gigabytes: in its footer, in the headers of its pages, by compression. pyarrow
trusts them, so the footer and every page header of the wanted columns are checked before anything is decoded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from gradiend_mlflow.errors import ArtifactError
from gradiend_mlflow.untrusted import quoted

# Of columns, row groups and keys in a footer; as many levels of a nested column fit into the smallest usual stack.
_MOST_IN_A_LIST = 1_000
# What the wanted columns take, compressed no longer, where that is more than _EXPANSION times the file.
_ALWAYS_ALLOWED = 32 * 2**20
_EXPANSION = 16
_LARGEST_INT32 = 2**31 - 1

# Parquet's numbers for types of pages and for the encodings that no value makes longer than the page that it is in.
_DATA_PAGE, _DICTIONARY_PAGE, _DATA_PAGE_V2 = 0, 2, 3
_PLAIN, _PLAIN_DICTIONARY, _DELTA_BINARY_PACKED, _RLE_DICTIONARY, _BYTE_STREAM_SPLIT = 0, 2, 5, 8, 9
_ENCODINGS = {_PLAIN, _PLAIN_DICTIONARY, _DELTA_BINARY_PACKED, _RLE_DICTIONARY, _BYTE_STREAM_SPLIT}
_DETAILS = {_DATA_PAGE: 5, _DICTIONARY_PAGE: 7, _DATA_PAGE_V2: 8}  # the field of a page's header that has them

# Thrift's numbers for types, in its compact protocol.
_BOOLEANS, _INT32, _INTEGERS, _BINARY, _STRUCT = {1, 2}, 5, {4, 5, 6}, 8, 12


def most_decoded(size: int) -> int:
    """How many bytes the columns of a file of `size` bytes may take."""
    return max(_ALWAYS_ALLOWED, _EXPANSION * size)


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
    except Exception as error:
        raise _unreadable(error) from error
    _check_schema(found, schema)
    _check_pages(file.metadata, data, schema, rows, max(rows, names))
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


def _check_pages(footer: pq.FileMetaData, data: bytes, schema: pa.Schema, rows: int, entries: int) -> None:
    """Refuse what would take too much memory: by counts and sizes, of the footer and of each page of the columns."""
    groups = [footer.row_group(index) for index in range(footer.num_row_groups)]
    if footer.num_rows != rows or sum(group.num_rows for group in groups) != rows:
        raise ArtifactError(f"it should have {rows} rows; it has {footer.num_rows}")
    taken = 0
    for group in groups:
        chunks = [group.column(index) for index in range(group.num_columns)]
        wanted = [chunk for chunk in chunks if _column_of(chunk) in schema.names]
        if len(wanted) != len(schema):
            raise ArtifactError("it has columns whose names begin with those of others")
        for chunk in wanted:
            dtype = schema.field(_column_of(chunk)).type
            width = dtype.list_size if pa.types.is_fixed_size_list(dtype) else 1
            taken += _checked_size(chunk, data, group.num_rows * width, entries)
            if taken > most_decoded(len(data)):
                raise ArtifactError(
                    f"it has {len(data):,} bytes, but its columns would take more than {most_decoded(len(data)):,}"
                )


def _column_of(chunk: pq.ColumnChunkMetaData) -> str:
    name: str = chunk.path_in_schema.partition(".")[0]
    return name


def _checked_size(chunk: pq.ColumnChunkMetaData, data: bytes, values: int, entries: int) -> int:
    """How many bytes a column's pages take, compressed no longer, if they hold as many values as they should."""
    pages = list(_pages(data, chunk))
    if any(page.is_dictionary and page.values > entries for page in pages):
        raise ArtifactError(f"the column {chunk.path_in_schema!r} has a dictionary of more than {entries} values")
    counted = sum(page.values for page in pages if not page.is_dictionary)
    if chunk.num_values != values or counted != values:
        raise ArtifactError(f"the column {chunk.path_in_schema!r} should have {values} values; it has {counted}")
    return sum(page.size for page in pages)


class _Page(NamedTuple):
    size: int  # in bytes, compressed no longer
    values: int
    is_dictionary: bool


def _pages(data: bytes, chunk: pq.ColumnChunkMetaData) -> Iterator[_Page]:
    """What the headers of a column's pages say, found as pyarrow finds them."""
    name, at, dictionary = chunk.path_in_schema, chunk.data_page_offset, chunk.dictionary_page_offset
    if dictionary is not None and 0 < dictionary < at:
        at = dictionary
    end = at + chunk.total_compressed_size
    if not 0 < at <= end <= len(data):
        raise ArtifactError(f"the column {name!r} does not lie in the file")
    while at < end:
        try:
            header, at = _struct(data, at)
            kind, size, stored = (_number(header, key) for key in (1, 2, 3))
            details = header[_DETAILS[kind]]
            values, encoding = _number(details, 1), _number(details, 4 if kind == _DATA_PAGE_V2 else 2)
        except (KeyError, IndexError, TypeError, ValueError):
            raise ArtifactError(f"a page of the column {name!r} is damaged") from None
        if encoding not in _ENCODINGS:
            raise ArtifactError(f"the column {name!r} has the encoding {encoding}, which is not read here")
        yield _Page(size, values, kind == _DICTIONARY_PAGE)
        at += stored
    if at != end:
        raise ArtifactError(f"the pages of the column {name!r} do not end where they should")


def _number(fields: dict[int, Any], key: int) -> int:
    number = fields[key]
    if not isinstance(number, int) or not 0 <= number <= _LARGEST_INT32:
        raise ValueError
    return number


def _struct(data: bytes, at: int, depth: int = 3) -> tuple[dict[int, Any], int]:
    """A struct in Thrift's compact protocol: its integers of 32 bits and its structs by number, and where it ends.

    What two readers could understand differently - a field that comes twice - is refused.
    """
    if not depth:
        raise ValueError
    fields: dict[int, Any] = {}
    key = 0
    while data[at]:
        step, kind = divmod(data[at], 16)
        at += 1
        if not step:
            raise ValueError  # a number far from the one before, which page headers do not have
        key += step
        if key in fields:
            raise ValueError
        if kind == _STRUCT:
            fields[key], at = _struct(data, at, depth - 1)
        elif kind in _INTEGERS:
            number, at = _varint(data, at)
            fields[key] = number >> 1 ^ -(number & 1) if kind == _INT32 else None
        elif kind == _BINARY:
            length, at = _varint(data, at)
            fields[key], at = None, at + length
        elif kind in _BOOLEANS:
            fields[key] = None
        else:
            raise ValueError
    return fields, at + 1


def _varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:  # noqa: PLR2004  # the highest bit says that there is more
            return number, at
        if shift > 63:  # noqa: PLR2004
            raise ValueError
