"""Options that several commands have, and how their values are read."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from gradiend_mlflow.commands.choices import FORMATS, PARTS


class Number(click.ParamType):  # type: ignore[type-arg]
    """A number of weights, or a fraction: 1e3 is a number of weights, 0.5 is a fraction."""

    name = "number or fraction"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number, as an int where it is one of weights."""
        try:
            number = float(value)
        except ValueError:
            self.fail(f"{value!r} is neither a number of weights nor a fraction", param, ctx)
        whole = number.is_integer() and (number > 1 or "." not in str(value))
        return int(number) if whole else number


def _unmasked(_: click.Context, __: click.Parameter, uri: str | None) -> str | None:
    """The address with what is secret in it: a printed command has `***` there."""
    if uri is None or "***" not in uri:
        return uri
    from gradiend_mlflow.store.secrets import unmasked

    return unmasked(uri, lambda place: click.prompt(f"*** in {place}", hide_input=True, err=True))


tracking_uri = click.option(
    "--tracking-uri",
    metavar="URI",
    callback=_unmasked,
    help="The MLflow server or database; *** in it is asked for.  [default: MLflow's current one]",
)
quiet = click.option("--quiet", is_flag=True, help="No progress bar, and only failures.")
topk = partial(click.option, "--topk", type=Number(), metavar="NUMBER", show_default=True)
cache = click.option(
    "--cache",
    metavar="DIRECTORY",
    help='Where pulled sets are kept, or "off".  [default: the user\'s cache directory]',
)


def parts(default: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The option that names parts; `default` says which are taken without it."""
    said = f"Which importance; may be repeated.  [default: {default}]"
    return click.option("--part", "parts", type=click.Choice(PARTS), multiple=True, help=said)


form = click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="table",
    show_default=True,
    help="A table for people; json or csv for other programs.",
)
form_of_one = click.option(
    "--format",
    "form",
    type=click.Choice(("table", "json")),
    default="table",
    show_default=True,
    help="How to print it.",
)
existing = click.Path(path_type=Path)


def search(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which experiments are searched; `filter_string` is for runs."""
    for option in (
        click.option("--all-experiments", "search_all_experiments", is_flag=True, help="Search every experiment."),
        click.option("--experiment-id", "experiment_ids", multiple=True, help="The same by id; may be repeated."),
        click.option(
            "--experiment-name",
            "experiment_names",
            multiple=True,
            help="Where to search; may be repeated.  [default: MLflow's active experiment]",
        ),
    ):
        command = option(command)
    return command


filter_string = click.option(
    "--filter", "filter_string", default="", help="An MLflow filter over runs, such as \"params.seed = '0'\"."
)


def listed(options: dict[str, Any]) -> dict[str, Any]:
    """The options with lists in place of click's tuples, and None in place of empty ones."""
    return {name: (list(value) or None) if isinstance(value, tuple) else value for name, value in options.items()}


def example(*lines: str) -> str:
    """The end of a command's help."""
    return "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)
