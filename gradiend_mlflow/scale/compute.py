"""`compute_overlap_blocks`: each two blocks of an exported dataset compared by Dask, what is done kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from os import PathLike
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from gradiend_mlflow.checks import check_flags, check_int
from gradiend_mlflow.comparison.chosen.selection import Skipped
from gradiend_mlflow.display.progress import check_progress
from gradiend_mlflow.errors import ArtifactError, InvalidInputError, SkippedRunsError
from gradiend_mlflow.overlap.layout.ranked import common_ground
from gradiend_mlflow.runs.search import ids_of
from gradiend_mlflow.scale.blocks import OverlapBlocks
from gradiend_mlflow.scale.dataset import RUNS, Dataset, write_table
from gradiend_mlflow.scale.engine import dask_client, results_of
from gradiend_mlflow.scale.loading import Wanted, compare, load
from gradiend_mlflow.scale.places import Place
from gradiend_mlflow.sets.parts import Part, check_part, check_topk, resolve_topk
from gradiend_mlflow.sets.space import WeightSpace
from gradiend_mlflow.untrusted import as_dict, parse_json
from gradiend_mlflow.wording import by_reason, counted, lines_of, some_of

_ABOUT = "about.json"
_MOST_ABOUT = 2**16  # bytes
_KEPT = RUNS.remove(RUNS.get_field_index("start_time")).append(pa.field("size", pa.int64()))


def compute_overlap_blocks(
    dataset: str | PathLike[str],
    destination: str | PathLike[str],
    runs: Sequence[str] | None = None,
    *,
    part: str = "decoder-weight",
    topk: float = 1000,
    block_size: int = 2000,
    strict: bool = False,
    client: Any | None = None,
    progress: bool | None = None,
) -> OverlapBlocks:
    """Compute how many weights each two runs of an exported dataset share, block by block, with Dask.

    The numbers are those of `compute_overlap`. A block is written as soon as it is done; called again, after a kill as
    well, this computes only those that are missing. No process holds more than a few blocks' sets and one block of
    the matrix.

    Args:
        dataset: Where `export_dataset` has written the sets.
        destination: A directory, made if needed, or `s3://bucket/prefix`, which keeps one overlap.
        runs: MLflow's ids of the runs; default all that the dataset has.
        part: Which of gradiend's four importances.
        topk: How many weights, or which fraction of each run's own input_dim.
        block_size: How many runs a block has. A block of 2000 with k = 1000 takes half a second and some 200 MB.
        strict: Raise if runs would be skipped.
        client: A `dask.distributed.Client`, whose machines must reach both places; default Dask's current one, else
            threads of this process. Its `dashboard_link` shows the work.
        progress: As for `search_runs`.

    Returns:
        The overlap, complete. Runs with fewer weights than `topk` asks for are in `skipped`.

    Raises:
        InvalidInputError: If fewer than two runs are left, an argument is not acceptable, or the destination keeps
            another overlap.
        SkippedRunsError: If `strict` and a run would be skipped.
        SpaceConflictError: If two runs have the same parameter with different shapes.
        ArtifactError: If the dataset is damaged.
        StoreError: If a place cannot be read or written.
        GradiendMLflowError: If Dask is not installed, or its processes die.

    Example:
        ::

            with dask.distributed.Client("tcp://scheduler:8786") as client:
                blocks = compute_overlap_blocks("s3://lab/sets", "s3://lab/overlap", client=client)
                blocks.group_means("experiment", client=client)
    """
    check_flags(strict=strict)
    check_progress(progress)
    part, topk = check_part(part), check_topk(topk)
    block_size = check_int("block_size", block_size, least=1)
    source, place = Dataset(Place.at("dataset", dataset)), Place.at("destination", destination)
    chosen, skipped = _chosen(source, runs, part, topk, strict=strict)
    found = OverlapBlocks(place.uri, part, topk, chosen, block_size, skipped)
    space = _common_space(source, chosen)
    with place.alone(), dask_client(client) as engine:
        _begin(place, found)
        done = set(place.names("pairs"))
        missing = [piece for piece in found.pieces() if piece.name not in done]
        loaded = {
            number: engine.submit(load, one, pure=False)
            for number, one in enumerate(_blocks(source, found, space))
            if any(number in (piece.row, piece.column) for piece in missing)
        }
        tasks = [engine.submit(compare, loaded[one.row], loaded[one.column], one, pure=False) for one in missing]
        for _ in results_of(tasks, "compare", progress=progress):
            pass
    return found


def _chosen(
    source: Dataset, runs: Sequence[str] | None, part: Part, topk: float, *, strict: bool
) -> tuple[pd.DataFrame, tuple[Skipped, ...]]:
    """The runs to compare with their sets' sizes, and those whose sets are too small.

    Raises:
        InvalidInputError: If fewer than two are left, or a run is asked for that the dataset does not have.
        SkippedRunsError: If `strict` and a set is too small.
        ArtifactError: If the dataset has two sets of one run.
    """
    frame = source.runs((part,), _KEPT.names[:-1])
    if frame.empty:
        raise InvalidInputError(f"{source.place.uri} is no dataset with sets of {part}: write one with export_dataset")
    if twice := frame.loc[frame["run"].duplicated(), "run"].tolist():
        raise ArtifactError(
            f"{source.place.uri} has two sets of {', '.join(some_of(twice))}, because an export was killed: call "
            "export_dataset again, which removes the older ones"
        )
    if runs is not None:
        wanted = ids_of(runs)
        if absent := sorted(set(wanted) - set(frame["run"])):
            raise InvalidInputError(
                f"{source.place.uri} has no set of {part} of the runs {', '.join(some_of(absent))}"
            )
        frame = frame[frame["run"].isin(wanted)]
    sizes = frame["input_dim"].map({dim: resolve_topk(topk, dim) for dim in set(frame["input_dim"])})
    small = frame["k"] < sizes
    named = frame["run_name"].fillna(frame["run"])
    skipped = tuple(
        Skipped(run, name, f"topk={topk} means more than the {k:,} weights of its set")
        for run, name, k in zip(frame["run"][small], named[small], frame["k"][small], strict=True)
    )
    told = lines_of([f"{names}: {why}" for names, why in by_reason((one.name, one.reason) for one in skipped)])
    if strict and skipped:
        raise SkippedRunsError(f"{len(skipped)} of {counted(len(frame), 'run')} cannot be compared:{told}")
    left = frame[~small].assign(size=sizes[~small].astype(np.int64)).reset_index(drop=True)
    if len(left) < 2:  # noqa: PLR2004
        raise InvalidInputError(
            f"an overlap needs at least two runs; {source.place.uri} has {len(left)} with a set of {part}"
            + (f"\nSkipped:{told}" if skipped else "")
        )
    return left, skipped


def _common_space(source: Dataset, chosen: pd.DataFrame) -> WeightSpace:
    """The union of the runs' spaces; errors name the first run of each."""
    first = chosen.drop_duplicates("space")
    spaces = source.spaces(first["space"].tolist())
    return common_ground({run: spaces[space] for run, space in zip(first["run"], first["space"], strict=True)})[0]


def _begin(place: Place, found: OverlapBlocks) -> None:
    """Write down which overlap is kept here, unless that has been done.

    Raises:
        InvalidInputError: If another one is.
    """
    rows = zip(found.runs["run"], found.runs["sha256"], found.runs["size"], strict=True)
    sets = hashlib.sha256("".join(f"{run} {sha256} {size}\n" for run, sha256, size in rows).encode())
    about: dict[str, Any] = {
        "format_version": 1,
        "part": found.part,
        "topk": found.topk,
        "block_size": found.block_size,
    }
    about |= {"runs": len(found.runs), "sets": sets.hexdigest()}
    if not place.has(_ABOUT):
        write_table(place, "runs.parquet", pa.Table.from_pandas(found.runs, schema=_KEPT, preserve_index=False))
        place.write(_ABOUT, json.dumps(about, indent=2).encode())
        return
    try:
        kept = as_dict(parse_json(place.read(_ABOUT), most=_MOST_ABOUT), _ABOUT)
    except ValueError as error:
        raise ArtifactError(f"{place.uri}/{_ABOUT}: {error}") from error
    if differing := [
        f"{name} {kept.get(name)!r}, not {about[name]!r}" for name in about if kept.get(name) != about[name]
    ]:
        raise InvalidInputError(
            f"{place.uri} keeps another overlap ({', '.join(differing)}): choose another destination"
        )


def _blocks(source: Dataset, found: OverlapBlocks, space: WeightSpace) -> Iterator[Wanted]:
    params = dict(zip(space.names, zip(space.starts.tolist(), space.sizes.tolist(), strict=True), strict=True))
    for first in range(0, len(found.runs), found.block_size):
        rows = found.runs.iloc[first : first + found.block_size]
        files, sizes = rows["file"].unique().tolist(), rows["size"].to_numpy()
        yield Wanted(source.place, files, rows["run"].tolist(), sizes, params, space.size)
