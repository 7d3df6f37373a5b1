"""`runs`, `show` and `ui`: what MLflow has, and where its UI shows it."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from gradiend_mlflow.commands import options
from gradiend_mlflow.commands.choices import KINDS, VIEWS
from gradiend_mlflow.commands.options import example, listed
from gradiend_mlflow.commands.printed import print_frame, print_json, say

if TYPE_CHECKING:
    from gradiend_mlflow.runs.describing import RunDescription

_SHOWN = ("run_id", "run_name", "experiment", "target_classes", "correlation", "converged", "k", "start_time")
_SHOWN_OF_ALL = (*_SHOWN[:-1], "status", _SHOWN[-1])


@click.command(
    "runs",
    epilog=example(
        "gradiend-mlflow runs --experiment-name pronouns",
        "gradiend-mlflow runs --all-experiments --filter \"params.learning_rate = '0.001'\" --format csv",
    ),
)
@options.search
@options.filter_string
@click.option(
    "--kind",
    "kinds",
    type=click.Choice(KINDS),
    multiple=True,
    default=("training",),
    show_default=True,
    help="Which runs; may be repeated.",
)
@click.option("--incomplete", is_flag=True, help="Also runs without sets: not finished, failed, or without GRADIEND.")
@click.option("--max-results", type=click.IntRange(min=1), metavar="NUMBER", help="No more than this.  [default: all]")
@options.form
@options.tracking_uri
def runs_command(*, incomplete: bool, form: str, **given: Any) -> None:
    """List the trainings that have top-k sets, oldest first."""
    from gradiend_mlflow.runs.search import search_runs

    frame = search_runs(**listed(given), complete=not incomplete)
    print_frame(
        frame,
        form,
        columns=_SHOWN_OF_ALL if incomplete else _SHOWN,
        empty="no such run; --all-experiments searches everywhere, --incomplete also shows runs without sets",
    )


@click.command("show", short_help="Show one training or comparison.", epilog=example("gradiend-mlflow show 3SG_3PL"))
@click.argument("run", metavar="RUN")
@options.form_of_one
@options.tracking_uri
def show_command(run: str, *, form: str, **given: Any) -> None:
    """Show one training or comparison: what it is, its result, its sets, where the UI has it.

    RUN is MLflow's id of a run, or a name that one run has.
    """
    from gradiend_mlflow.runs.describing import describe_run

    described = describe_run(run, **given)
    if form == "json":
        print_json(asdict(described))
    else:
        say(_page(described))


def _page(run: RunDescription) -> str:
    facts = run.facts()
    width = max(map(len, facts))
    return "\n".join(f"{name:<{width}}  {text}" for name, text in facts.items())


@click.command(
    "ui",
    short_help="Print or open a page of MLflow's UI.",
    epilog=example(
        "gradiend-mlflow ui --experiment-name pronouns --view comparisons", "gradiend-mlflow ui 3SG_3PL --open"
    ),
)
@click.argument("run", metavar="[RUN]", required=False)
@click.option("--experiment-name", help="Whose runs to show.  [default: MLflow's active experiment]")
@click.option("--view", type=click.Choice(VIEWS), default="trainings", show_default=True, help="Of its runs.")
@click.option("--open", "opened", is_flag=True, help="Open the page in a browser.")
@options.tracking_uri
def ui_command(*, opened: bool, **given: Any) -> None:
    """Print the address of the page in MLflow's UI: of RUN, an id or a name, or of an experiment's runs."""
    from gradiend_mlflow.runs.describing import ui_page

    page, start = ui_page(**given)
    say(page)
    if start is not None:
        say(f"It is there while this runs: {start}", err=True)
    if opened and click.launch(page) != 0:
        say("No browser could be opened", err=True)
        sys.exit(1)
