"""Where the columns of a file lie, and what their pages hold: as pyarrow says it of files that are good."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gradiend_mlflow.errors import ArtifactError
from gradiend_mlflow.sets.reading.parquet import _footer, _pages, most_decoded, open_parquet, read_columns

ROWS = 5000


def table() -> pa.Table:
    """Numbers, names, lists of numbers."""
    random = np.random.default_rng(0)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(random.random(3 * ROWS, np.float32)), 3)
    return pa.table(
        {
            "rank": pa.array(np.arange(ROWS, dtype=np.int32)),
            "param": pa.array(random.choice(["query", "key"], ROWS)).dictionary_encode(),
            "weight": lists,
        }
    )


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "none", "write_statistics": False},
        {"compression": "zstd", "write_page_checksum": True, "row_group_size": 700},
        {"compression": "gzip", "data_page_version": "2.0", "data_page_size": 1000, "write_batch_size": 100},
        {"use_dictionary": False, "column_encoding": {"rank": "DELTA_BINARY_PACKED"}, "write_page_index": True},
        {"store_schema": False, "version": "1.0", "use_dictionary": True},
    ],
)
def test_columns_and_pages_are_found(options: dict[str, Any]) -> None:
    """Whatever the writer chose."""
    written = io.BytesIO()
    pq.write_table(table(), written, **options)
    data = written.getvalue()
    footer, expected = _footer(data), pq.ParquetFile(io.BytesIO(data)).metadata
    assert footer.rows == expected.num_rows
    assert len(footer.groups) == expected.num_row_groups
    for index, group in enumerate(footer.groups):
        theirs = expected.row_group(index)
        assert group.rows == theirs.num_rows
        for place, chunk in enumerate(group.chunks):
            column = theirs.column(place)
            begins = column.dictionary_page_offset if column.has_dictionary_page else column.data_page_offset
            assert (chunk.start, chunk.size, chunk.values) == (begins, column.total_compressed_size, column.num_values)
            pages = list(_pages(chunk, "column", data))
            assert sum(page.values for page in pages if not page.is_dictionary) == column.num_values
            assert sum(page.is_dictionary for page in pages) == column.has_dictionary_page
            # Theirs counts the headers of the pages too.
            assert 0 <= column.total_uncompressed_size - sum(page.size for page in pages) < 200 * len(pages)


def test_what_is_read_is_what_was_written() -> None:
    """And a file that is not whole is refused."""
    written = io.BytesIO()
    pq.write_table(table(), written, row_group_size=700)
    data = written.getvalue()
    columns = read_columns(open_parquet(data), data, table().schema, ROWS, 2)
    for name, column in columns.items():
        assert column.to_pylist() == table()[name].to_pylist()
    with pytest.raises(ArtifactError, match="it should have 4999 rows; it has 5000"):
        read_columns(open_parquet(data), data, table().schema, ROWS - 1, 2)


def test_larger_files_may_take_more() -> None:
    """What a file may take grows with it, and is never so little that a usual set is refused."""
    assert most_decoded(0) == most_decoded(2**20) == 32 * 2**20
    assert most_decoded(2**30) == 2**34
