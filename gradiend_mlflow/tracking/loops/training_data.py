"""The data that a training is trained on, as inputs of its run: digests, columns and row counts, never the texts."""

from __future__ import annotations

import json
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from gradiend_mlflow.delivery.run_writer import RunWriter
from gradiend_mlflow.errors import logger
from gradiend_mlflow.store.store import DataInput, code_source
from gradiend_mlflow.tracking.guard import safely

if TYPE_CHECKING:
    import pandas as pd

_ROWS = 10_000  # that are hashed at once: 4 ms, for which other threads wait
_DIGEST_BYTES = 8  # MLflow's own have four; the UI's column has room for these
_PATIENCE = 30.0  # seconds; a million rows take one of the processor's, and a training of so many takes longer
_TYPES = {"i": "long", "u": "long", "f": "double", "b": "boolean"}  # MLflow's, by NumPy's kinds; else a string


@dataclass(frozen=True)
class TrainingData:
    """The table that gradiend makes of the data that a trainer is given.

    Attributes:
        table: A row for each sentence and counterfactual.
        class_column: Its column of the classes that the sentences are of.
        split_column: Its column of the splits: train, validation and test. None: every split is the whole table.
        classes: The classes that are trained on.
        source_type: What `source` is, in MLflow's words: "hugging_face", "local" or "code".
        sources: Where the data come from, by class, as MLflow's sources of that type are written.
    """

    table: pd.DataFrame
    class_column: str
    split_column: str | None
    classes: tuple[str, ...]
    source_type: str
    sources: Mapping[str, Mapping[str, Any]]

    def inputs(self) -> Iterator[DataInput]:
        """Each class and split of it that has rows, in the order of the classes."""
        schema = json.dumps({"mlflow_colspec": [_column(name, values) for name, values in self.table.items()]})
        code = code_source() if self.source_type == "code" else {}
        for (name, split), (digest, rows) in self._digests().items():
            source = json.dumps(self.sources.get(name) or code)
            profile = json.dumps({"num_rows": rows, "num_elements": rows * self.table.shape[1]})
            yield DataInput(name, digest, self.source_type, source, schema, profile, split)

    def _digests(self) -> dict[tuple[str, str], tuple[str, int]]:
        """By class and split the digest of the rows, in their order, and how many they are."""
        found = {
            name: {split: blake2b(digest_size=_DIGEST_BYTES) for split in self._splits()} for name in self.classes
        }
        rows: dict[tuple[str, str], int] = {}
        for first in range(0, len(self.table), _ROWS):
            time.sleep(0)  # let the training's thread go first
            block = self.table.iloc[first : first + _ROWS]
            hashes, classes = _hashes(block), block[self.class_column].astype(str).to_numpy()
            splits = None if self.split_column is None else block[self.split_column].astype(str).to_numpy()
            for name, by_split in found.items():
                for split, digest in by_split.items():
                    own = classes == name if splits is None else (classes == name) & (splits == split)
                    digest.update(hashes[own].tobytes())
                    rows[name, split] = rows.get((name, split), 0) + int(own.sum())
        return {
            (name, split): (digest.hexdigest(), rows[name, split])
            for name, by_split in found.items()
            for split, digest in by_split.items()
            if rows.get((name, split))
        }

    def _splits(self) -> list[str]:
        if self.split_column is None:
            return ["train"]
        return [str(split) for split in self.table[self.split_column].astype(str).unique()]


def _hashes(block: pd.DataFrame) -> Any:
    """A hash of each row; it depends on the values alone, neither on the index nor on the process."""
    from pandas.util import hash_pandas_object

    try:
        return hash_pandas_object(block, index=False).to_numpy()
    except (TypeError, ValueError):  # values that are no scalars, such as pairs of texts
        return hash_pandas_object(block.map(repr), index=False).to_numpy()


def _column(name: Any, values: pd.Series) -> dict[str, Any]:
    return {"type": _TYPES.get(values.dtype.kind, "string"), "name": str(name), "required": True}


class Reading:
    """The inputs that data come to, computed in a thread of its own, which neither raises nor holds anybody up.

    The table is not copied. gradiend replaces its tables and does not change them; whoever does within that time gets
    the digest of something between.
    """

    def __init__(self, data: TrainingData) -> None:
        self._table = weakref.ref(data.table)
        self._inputs: tuple[DataInput, ...] = ()
        self._logged: set[str] = set()  # the keys of the runs that have them
        self._thread = threading.Thread(target=self._read, args=(data,), name="gradiend-mlflow-data", daemon=True)
        self._thread.start()

    def is_of(self, data: TrainingData) -> bool:
        """Whether it reads this very table."""
        return self._table() is data.table

    def log_to(self, run: RunWriter) -> None:
        """Queue the inputs of a run, once."""
        if run.key in self._logged:
            return
        self._logged.add(run.key)
        self._thread.join(_PATIENCE)
        if self._thread.is_alive():
            logger.warning("The training data are not logged: reading them takes more than %s s", _PATIENCE)
        run.inputs(self._inputs)

    def _read(self, data: TrainingData) -> None:
        with safely("log the training data"):
            self._inputs = tuple(data.inputs())


class DataReader:
    """Reads the data of one trainer when its loops begin; seeds that share a table share the reading.

    Args:
        data: Returns what the trainer has at that moment; None if it has none that can be read.
    """

    def __init__(self, data: Callable[[], TrainingData | None]) -> None:
        self._data = data
        self._last: Reading | None = None

    def begin(self) -> Reading | None:
        """Begin to read the data as they are now."""
        found: Reading | None = None
        with safely("log the training data"):
            data = self._data()
            if data is not None:
                found = self._last if self._last is not None and self._last.is_of(data) else Reading(data)
        self._last = found
        return found
