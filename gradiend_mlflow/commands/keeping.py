"""`export`, `export-dataset`, `verify`, `cache`: what of MLflow's is elsewhere, and whether MLflow's is whole."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gradiend_mlflow.commands import options
from gradiend_mlflow.commands.options import example, listed
from gradiend_mlflow.commands.printed import print_frame, print_json, say
from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.wording import counted, some_of

if TYPE_CHECKING:
    from gradiend_mlflow.runs.upkeep import CacheUse


@click.command(
    "export",
    short_help="Write a training or comparison into files.",
    epilog=example("gradiend-mlflow export 3SG_3PL 3SG_3PL/"),
)
@click.argument("run", metavar="RUN|COMPARISON")
@click.argument("path", metavar="DIRECTORY", type=click.Path(path_type=Path))
@options.cache
@options.tracking_uri
def export_command(run: str, path: Path, **given: Any) -> None:
    """Write a training or a comparison into an empty DIRECTORY: Parquet, CSV, JSON, figures, and print the files.

    RUN or COMPARISON is MLflow's id, or a name that one run has. Everything is verified before it is written.
    """
    from gradiend_mlflow.comparison.kept.export import export_run

    for file in export_run(run, path, **given):
        say(str(file))


@click.command(
    "export-dataset",
    short_help="Write the sets of many runs as one Parquet dataset.",
    epilog=example(
        "gradiend-mlflow export-dataset sets/ --experiment-name pronouns",
        "gradiend-mlflow export-dataset s3://lab/sets --all-experiments --part decoder-weight",
    ),
)
@click.argument("destination", metavar="URI")
@click.argument("run_ids", nargs=-1, metavar="[RUN_ID]...")
@options.search
@options.filter_string
@options.parts(default="those that each run has")
@click.option("--strict", is_flag=True, help="Fail where runs are skipped, after all others are written.")
@click.option("--cache", metavar="DIRECTORY", default="off", show_default=True, help="Where pulled sets are kept.")
@options.form_of_one
@options.tracking_uri
@options.quiet
def export_dataset_command(
    destination: str, *, run_ids: tuple[str, ...], form: str, quiet: bool, **given: Any
) -> None:
    """Write the sets of the runs into one Parquet dataset at URI, a directory or s3://bucket/prefix, or add to it.

    The runs are those of the given ids, or else those that the search finds. DuckDB, Polars, Spark and Dask read the
    dataset. Only sets that it does not have are pulled.
    """
    from gradiend_mlflow.scale.export import export_dataset

    done = export_dataset(destination, list(run_ids) or None, progress=False if quiet else None, **listed(given))
    if form == "json":
        print_json({**vars(done), "skipped": [vars(run) for run in done.skipped]})
    elif not quiet:
        has = f"{counted(done.sets, 'set')} of {counted(done.runs, 'run')}"
        replaced = f", {done.replaced:,} replaced" if done.replaced else ""
        say(f"{done.added:,} added{replaced}: {done.uri} has {has}")
    for line in some_of([f"skipped {run.name} ({run.run_id}): {run.reason}" for run in done.skipped]):
        say(line, err=True)


@click.command(
    "verify",
    short_help="Check every set that MLflow has.",
    epilog=example(
        "gradiend-mlflow verify --all-experiments", "gradiend-mlflow verify --experiment-name pronouns --format csv"
    ),
)
@click.argument("run_ids", nargs=-1, metavar="[RUN_ID]...")
@options.search
@options.filter_string
@options.form
@options.tracking_uri
@options.quiet
def verify_command(run_ids: tuple[str, ...], *, form: str, quiet: bool, **given: Any) -> None:
    """Download every set of the runs, and check that it is there, is the one that was logged, and can be read.

    Without RUN_IDs, those of all trainings and seeds that the search finds. A table lists what is wrong; json and csv
    list every set. If anything is wrong, or nothing is found, the exit code is 1.
    """
    from gradiend_mlflow.runs.verifying import OK, verify_runs

    asked = listed(given)
    frame = verify_runs(list(run_ids) or None, progress=False if quiet else None, **asked)
    if frame.empty and not run_ids:
        raise InvalidInputError(f"there is nothing to verify. {_where(**asked)}")
    wrong = frame[frame["result"] != OK]
    if form != "table":
        print_frame(frame, form)
    elif not wrong.empty:
        print_frame(wrong, form)
    counts = ", ".join(f"{count} {result}" for result, count in frame["result"].value_counts().items())
    if not quiet:
        runs = counted(frame["run_id"].nunique(), "run")
        say(f"{counted(len(frame), 'set')} of {runs}: {counts or 'nothing to verify'}", err=form != "table")
    if not wrong.empty:
        sys.exit(1)


def _where(*, tracking_uri: str | None, **searched: Any) -> str:
    from gradiend_mlflow.comparison.chosen.selection import Search

    return Search(**searched).told(tracking_uri, 0)


@click.group("cache", short_help="Show or shrink the cache of pulled sets.")
def cache_group() -> None:
    """The sets that were pulled from MLflow and are kept on this machine."""


@cache_group.command("info", epilog=example("gradiend-mlflow cache info"))
@options.cache
@options.form_of_one
def cache_info_command(*, cache: str | None, form: str) -> None:
    """Say where it is, and how much it holds."""
    from gradiend_mlflow.runs.upkeep import cache_info

    use = cache_info(cache)
    if form == "json":
        print_json(vars(use))
        return
    say(f"directory  {use.directory or 'none'}")
    say(f"sets       {use.sets:,}")
    say(f"size       {_size(use.bytes)} of {_size(use.capacity)}")
    if use.used is not None:
        say(f"oldest     used {use.used:%Y-%m-%d %H:%M} UTC")


@cache_group.command("prune", epilog=example("gradiend-mlflow cache prune"))
@options.cache
@click.option(
    "--size",
    type=click.FloatRange(min=0),
    metavar="GIGABYTES",
    help="How much may be left.  [default: GRADIEND_MLFLOW_CACHE_SIZE, or 2]",
)
@options.form_of_one
def cache_prune_command(*, form: str, **given: Any) -> None:
    """Remove what was used longest ago, until the rest fits."""
    from gradiend_mlflow.runs.upkeep import prune_cache

    _print_removed(prune_cache(**given), form)


@cache_group.command("clear", epilog=example("gradiend-mlflow cache clear"))
@options.cache
@options.form_of_one
def cache_clear_command(*, cache: str | None, form: str) -> None:
    """Remove every set from it; other files in its directory stay."""
    from gradiend_mlflow.runs.upkeep import clear_cache

    _print_removed(clear_cache(cache), form)


def _print_removed(use: CacheUse, form: str) -> None:
    if form == "json":
        print_json({"directory": use.directory, "removed_sets": use.sets, "removed_bytes": use.bytes})
    else:
        say(f"removed {counted(use.sets, 'set')}, {_size(use.bytes)}, from {use.directory or 'no cache'}")


def _size(size: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:  # noqa: PLR2004
            return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
