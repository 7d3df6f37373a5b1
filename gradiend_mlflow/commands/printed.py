"""What commands print: results to stdout, as a table, JSON or CSV; everything else to stderr."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from gradiend_mlflow.wording import csv_of, visible

if TYPE_CHECKING:
    import pandas as pd


def say(text: str, *, err: bool = False) -> None:
    """Print a text, in which names and reasons may stand that others have written."""
    click.echo(visible(text, lines=True), err=err)


def print_frame(frame: pd.DataFrame, form: str, *, columns: Sequence[str] | None = None, empty: str = "") -> None:
    """Print a row per line.

    Args:
        frame: The rows.
        form: "table", "json" or "csv".
        columns: Those that a table for people shows; default all.
        empty: What is told, instead of a table, if there are no rows.
    """
    if form == "json":
        print_json(frame.to_dict("records"))
    elif form == "csv":
        flat = [name for name in frame if not any(isinstance(cell, dict) for cell in frame[name])]
        click.echo(csv_of(frame[flat].map(_joined)), nl=False)
    elif frame.empty:
        say(empty, err=True)
    else:
        say(table(frame if columns is None else frame[list(columns)]))


def print_json(content: Any) -> None:
    """Print JSON; what JSON does not know - times, missing values, tuples - as what it does."""
    click.echo(json.dumps(_jsonable(content), indent=2, ensure_ascii=True, allow_nan=False))


def table(frame: pd.DataFrame) -> str:
    """Columns under their names: texts begin at one place, numbers end at one."""
    columns = [[_shown(cell) for cell in frame[name]] for name in frame.columns]
    numbers = [all(type(cell) in (int, float) for cell in frame[name].tolist()) for name in frame.columns]
    headed = [[str(name), *cells] for name, cells in zip(frame.columns, columns, strict=True)]
    widths = [max(map(_width, cells)) for cells in headed]
    rows = []
    for row in zip(*headed, strict=True):
        padded = [
            " " * (width - _width(cell)) + cell if is_number else cell + " " * (width - _width(cell))
            for cell, width, is_number in zip(row, widths, numbers, strict=True)
        ]
        rows.append("  ".join(padded).rstrip())
    return "\n".join(rows)


def _shown(cell: Any) -> str:
    if _is_missing(cell):
        return "-"
    if isinstance(cell, float):
        return f"{cell:.3g}" if abs(cell) < 1 else f"{cell:,.4g}"
    if hasattr(cell, "strftime"):
        return f"{cell:%Y-%m-%d %H:%M}"
    return visible(str(_joined(cell)))


def _width(text: str) -> int:
    """How many columns of a terminal a text takes."""
    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text
    )


def _joined(cell: Any) -> Any:
    return ", ".join(map(str, cell)) if isinstance(cell, (tuple, list)) else cell


def _is_missing(cell: Any) -> bool:
    """Whether it is None, NaN, or what pandas has for missing integers and times, which do not compare."""
    if cell is None or str(cell) in {"<NA>", "NaT"}:
        return not isinstance(cell, str)
    return isinstance(cell, float) and math.isnan(cell)


def _jsonable(content: Any) -> Any:
    """What JSON knows: of a missing value null, of a time or anything else its text."""
    match content:
        case dict():
            return {str(key): _jsonable(value) for key, value in content.items()}
        case list() | tuple():
            return [_jsonable(value) for value in content]
        case str() | bool() | int():
            return content
        case _ if _is_missing(content):
            return None
        case float() if abs(content) < float("inf"):
            return float(content)
        case _:
            return content.isoformat() if hasattr(content, "isoformat") else str(content)
