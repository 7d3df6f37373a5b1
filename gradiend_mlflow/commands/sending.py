"""`import`, `sync` and `log`: what goes into MLflow."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gradiend_mlflow.commands import options
from gradiend_mlflow.commands.choices import PARTS
from gradiend_mlflow.commands.options import example
from gradiend_mlflow.commands.printed import print_frame, say

if TYPE_CHECKING:
    import pandas as pd


@click.command("import", epilog=example("gradiend-mlflow import runs/ --experiment-name pronouns"))
@click.argument("path", type=options.existing)
@click.option("--experiment-name", help="Where runs go, made if needed; default MLflow's active experiment.")
@options.topk(default="10000", help="How many weights per part to log, or which fraction.")
@options.parts(default="all four")
@click.option("--tag", "extra_tags", multiple=True, metavar="KEY=VALUE", help="A tag for every run; may be repeated.")
@click.option(
    "--log-models",
    type=click.Choice(["copy", "external"]),
    help="Log each model's directory too: as artifacts, or as an external model whose weights stay where they are.",
)
@options.form
@options.tracking_uri
@options.quiet
def import_command(
    path: Path,
    *,
    parts: tuple[str, ...],
    extra_tags: tuple[str, ...],
    log_models: Any,
    quiet: bool,
    form: str,
    **given: Any,
) -> None:
    """Import finished trainings that were not tracked.

    Every GRADIEND training in or below PATH becomes a run as if it had been tracked.

    What the experiment holds already is left alone; a directory that has changed since updates its run. A broken
    directory is named and the rest goes on; then the exit code is 1.
    """
    from gradiend_mlflow.trainings.import_runs import import_runs

    frame = import_runs(
        path,
        parts=parts or PARTS,
        extra_tags=dict(_pair(text) for text in extra_tags),
        log_models={None: False, "copy": True}.get(log_models, log_models),
        progress=False if quiet else None,
        **given,
    )
    _report(frame, form, quiet=quiet)


@click.command(
    "sync",
    short_help="Send what trainings could not send.",
    epilog=example("gradiend-mlflow sync runs/ --tracking-uri http://127.0.0.1:5000"),
)
@click.argument("path", type=options.existing)
@options.tracking_uri
@click.option("--experiment-name", help="Where trainings go that chose an experiment by an id of another server.")
@options.form
@options.quiet
def sync_command(path: Path, *, quiet: bool, form: str, **given: Any) -> None:
    """Send to MLflow what trainings below PATH could not send, and end the runs of those that were killed.

    A training that is still running is left alone. It is safe to run it again, and several at once. What fails is
    named, and stays for another time; then the exit code is 1. Without --tracking-uri only what was logged to the
    server that MLflow is configured for is sent; the rest is named with the command that sends it.
    """
    from gradiend_mlflow.delivery.sync import sync

    frame = sync(path, progress=False if quiet else None, **given)
    if frame.empty and not quiet:
        say("nothing to send", err=form != "table")
    _report(frame.assign(run_id=[", ".join(ids) for ids in frame["run_ids"]]), form, quiet=quiet)


@click.command(
    "log",
    short_help="Log the top-k sets of a checkpoint.",
    epilog=example("gradiend-mlflow log runs/3SG_3PL/model --run-id RUN_ID --topk 20000"),
)
@click.argument("path", type=options.existing)
@click.option("--run-id", required=True, help="The run that gets the sets; those of the same parts are replaced.")
@options.topk(default="10000", help="How many weights per part, or which fraction.")
@options.parts(default="all four")
@options.form
@options.tracking_uri
def log_command(path: Path, *, parts: tuple[str, ...], form: str, **given: Any) -> None:
    """Log the top-k sets of the checkpoint in PATH to a run that is there."""
    import pandas as pd

    from gradiend_mlflow.tracking.log_topk import log_topk

    sets = log_topk(path, parts=parts or PARTS, **given)
    rows = [(given["run_id"], part, len(topk_set)) for part, topk_set in sets.items()]
    print_frame(pd.DataFrame(rows, columns=["run_id", "part", "k"]), form)


def _pair(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise click.BadParameter(f"{text!r} is not of the form KEY=VALUE", param_hint="--tag")
    return key, value


def _report(frame: pd.DataFrame, form: str, *, quiet: bool) -> None:
    """Print a line per row and how many there are of each result; exit with the code 1 if a row failed."""
    counts = frame["result"].value_counts()
    if form != "table":
        print_frame(frame.drop(columns="run_ids", errors="ignore"), form)
    else:
        for row in frame.to_dict("records"):
            failed, reason = row["result"] == "failed", f"  ({row['reason']})" if row["reason"] else ""
            run = f"  ->  run {row['run_id']}" if row["run_id"] and not failed else ""
            if failed or not quiet:
                say(f"{row['result']:<9} {row['directory']}{run}{reason}", err=failed)
        if not quiet and not frame.empty:
            say(", ".join(f"{count} {result}" for result, count in counts.items()))
    if "failed" in counts:
        sys.exit(1)
