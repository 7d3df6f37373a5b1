"""Move all of MLflow from one database to another, as it is: experiments, runs with their ids, models, comparisons.

    python -m shared_server.migrate sqlite:///mlflow.db postgresql://mlflow@db.example/mlflow \
        --artifacts /home/me/mlruns mlflow-artifacts:/

Both must be of one version (`mlflow db upgrade URI`), and the second without runs. `--artifacts` says where artifacts
lay and where they lie now; their files are copied by other means: `aws s3 cp --recursive mlruns s3://lab-mlflow`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Integer, MetaData, Table, create_engine, func, select, text

BATCH = 1000
ADDRESSES = {"runs": "artifact_uri", "experiments": "artifact_location", "logged_models": "artifact_location"}


def migrate(source: str, target: str, moved: tuple[str, str] | None = None) -> dict[str, int]:
    """Copy every row, and replace the beginning of the addresses of artifacts; returns how many of each table."""
    with create_engine(source).connect() as old, create_engine(target).begin() as new:
        before, after = MetaData(), MetaData()
        before.reflect(old)
        after.reflect(new)
        tables = [table for table in after.sorted_tables if table.name != "alembic_version"]
        _check(old, new, before, after)
        for table in reversed(tables):
            new.execute(table.delete())  # what MLflow makes in an empty database, such as its default experiment
        return {table.name: _copy(old, new, before.tables[table.name], table, moved) for table in tables}


def _check(old: Connection, new: Connection, before: MetaData, after: MetaData) -> None:
    versions = [
        one.scalar(select(metadata.tables["alembic_version"].c.version_num))
        for one, metadata in ((old, before), (new, after))
    ]
    if len(set(versions)) > 1:
        raise SystemExit(f"the databases are of different versions, {versions}: run `mlflow db upgrade` on both")
    if new.scalar(select(func.count()).select_from(after.tables["runs"])):
        raise SystemExit("there are runs in the second database already")


def _copy(old: Connection, new: Connection, source: Table, target: Table, moved: tuple[str, str] | None) -> int:
    rows = (dict(row) for row in old.execute(select(source)).mappings())
    count = 0
    while batch := list(islice(_at_their_new_place(rows, ADDRESSES.get(target.name), moved), BATCH)):
        new.execute(target.insert(), batch)
        count += len(batch)
    _continue_numbering(new, target)
    return count


def _at_their_new_place(
    rows: Iterator[dict[str, Any]], column: str | None, moved: tuple[str, str] | None
) -> Iterator[dict[str, Any]]:
    for row in rows:
        if column and moved and (row[column] or "").startswith(moved[0].rstrip("/") + "/"):
            below = row[column][len(moved[0].rstrip("/")) + 1 :]
            row[column] = f"{moved[1].rstrip('/')}/{below}"
        yield row


def _continue_numbering(new: Connection, table: Table) -> None:
    """PostgreSQL counts by itself, and does not see what was given a number."""
    for column in table.primary_key:
        if new.dialect.name != "postgresql" or not isinstance(column.type, Integer):
            continue
        sequence = new.scalar(text("SELECT pg_get_serial_sequence(:of, :at)"), {"of": table.name, "at": column.name})
        largest = new.scalar(select(func.max(column)))
        if sequence and largest is not None:
            numbers = {"sequence": sequence, "largest": max(largest, 1), "used": largest > 0}
            new.execute(text("SELECT setval(:sequence, :largest, :used)"), numbers)


def main() -> None:
    """Do what the command says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--artifacts", nargs=2, metavar=("FROM", "TO"))
    given = parser.parse_args()
    copied = migrate(given.source, given.target, tuple(given.artifacts) if given.artifacts else None)
    for table, count in copied.items():
        if count:
            print(f"{count:>9,} {table}")


if __name__ == "__main__":
    main()
