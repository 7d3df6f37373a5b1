"""`gradiend-mlflow`: each command is one public function."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gradiend_mlflow.errors import GradiendMLflowError
from gradiend_mlflow.wording import some_of, visible

if TYPE_CHECKING:
    import pandas as pd

_PRINTED_RUNS = 30  # a larger matrix cannot be read in a terminal
_PRINTED_PAIRS = 30


class _TopK(click.ParamType):  # type: ignore[type-arg]
    """A number of weights, or a fraction: 1e3 is a number of weights, 0.5 is a fraction."""

    name = "number or fraction"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            number = float(value)
        except ValueError:
            self.fail(f"{value!r} is neither a number of weights nor a fraction", param, ctx)
        whole = number.is_integer() and (number > 1 or "." not in str(value))
        return int(number) if whole else number


class _Commands(click.Group):
    """Commands whose expected errors are one line without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except GradiendMLflowError as error:
            raise click.ClickException(str(error)) from error


_TRACKING_URI = click.option("--tracking-uri", help="The MLflow server or database; default MLflow's current one.")
_QUIET = click.option("--quiet", is_flag=True, help="No progress bar, and only failures.")

_topk = partial(click.option, "--topk", type=_TopK(), metavar="NUMBER", show_default=True)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="gradiend-mlflow")
def main() -> None:
    """Experiment tracking for GRADIEND with MLflow."""
    logging.basicConfig(level=logging.ERROR, format="%(message)s")  # the commands print what users need


@main.command("import")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--experiment-name", help="Where runs go, made if needed; default MLflow's active experiment.")
@_topk(default="10000", help="How many weights per part to log, or which fraction.")
@click.option(
    "--part",
    "parts",
    multiple=True,
    help="encoder-weight, decoder-weight, decoder-bias or decoder-sum; may be repeated.  [default: all four]",
)
@click.option("--tag", "extra_tags", multiple=True, metavar="KEY=VALUE", help="A tag for every run; may be repeated.")
@click.option(
    "--log-models",
    type=click.Choice(["copy", "external"]),
    help="Log each model's directory too: as artifacts, or as an external model whose weights stay where they are.",
)
@_TRACKING_URI
@_QUIET
def import_command(
    path: Path, *, parts: tuple[str, ...], extra_tags: tuple[str, ...], log_models: Any, quiet: bool, **options: Any
) -> None:
    """Import finished trainings that were not tracked.

    Every GRADIEND training in or below PATH becomes a run as if it had been tracked.

    What the experiment holds already is left alone; a directory that has changed since updates its run. A broken
    directory is named and the rest goes on; then the exit code is 1.
    """
    from gradiend_mlflow.sets.parts import PARTS
    from gradiend_mlflow.trainings.import_runs import import_runs

    frame = import_runs(
        path,
        parts=parts or PARTS,
        extra_tags=dict(_pair(text) for text in extra_tags),
        log_models={None: False, "copy": True}.get(log_models, log_models),
        progress=not quiet,
        **options,
    )
    _report(frame, quiet=quiet)


@main.command("sync")
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--tracking-uri",
    help="Send to this MLflow server or database; *** in it is asked for.  [default: the one that MLflow is "
    "configured for, and only what was logged there]",
)
@click.option("--experiment-name", help="Where trainings go that chose an experiment by an id of another server.")
@_QUIET
def sync_command(path: Path, *, tracking_uri: str | None, experiment_name: str | None, quiet: bool) -> None:
    """Send to MLflow what trainings below PATH could not send, and end the runs of those that were killed.

    A training that is still running is left alone. It is safe to run it again, and several at once. What fails is
    named, and stays for another time; then the exit code is 1. Trainings that logged to another server than MLflow is
    configured for are named with the command that sends them there.
    """
    from gradiend_mlflow.delivery.sync import sync
    from gradiend_mlflow.store.secrets import unmasked

    if tracking_uri is not None:
        tracking_uri = unmasked(tracking_uri, lambda place: click.prompt(f"*** in {place}", hide_input=True))
    frame = sync(path, tracking_uri=tracking_uri, experiment_name=experiment_name, progress=not quiet)
    frame["run_id"] = [", ".join(run_ids) for run_ids in frame["run_ids"]]
    if frame.empty and not quiet:
        _say("nothing to send")
    _report(frame, quiet=quiet)


@main.command("compare")
@click.argument("run_ids", nargs=-1, metavar="[RUN_ID]...")
@click.option("--experiment-name", "experiment_names", multiple=True, help="Where to search; may be repeated.")
@click.option("--filter", "filter_string", default="", help="An MLflow filter over runs.")
@click.option("--all-experiments", is_flag=True, help="Search every experiment.")
@click.option("--part", default="decoder-weight", show_default=True, help="Which importance.")
@_topk(default="1000", help="How many weights, or what fraction.")
@click.option("--value", default="intersection_frac", show_default=True, help="Which measure.")
@click.option("--unit", default="weight", show_default=True, help="weight, or neuron for the neurons they lie in.")
@click.option("--labels", help="A column, params.<name> or tags.<name>.")
@click.option("--groups", help="A column, params.<name> or tags.<name>.")
@click.option("--seeds", default="best", show_default=True, help="best, all_convergent or all_tried.")
@click.option("--seed-aggregate", help="mean, median, min or max of the seeds of a training.")
@click.option("--strict", is_flag=True, help="Fail where runs would be skipped.")
@click.option("--no-log", is_flag=True, help="Only print.")
@click.option("--log-to", help="The experiment for the comparison.  [default: that of the runs]")
@click.option("--run-name", help="The comparison's name.")
@click.option("--refresh", is_flag=True, help="Log a new run even if this question has been answered.")
@click.option("--link", is_flag=True, help="Tag the compared runs with the comparison.")
@click.option("--cache", help='Where pulled sets are kept, or "off".  [default: the user\'s cache directory]')
@_TRACKING_URI
def compare_command(run_ids: tuple[str, ...], *, all_experiments: bool, no_log: bool, **options: Any) -> None:
    """Compare logged runs' top-k weights: print the matrix, log the comparison, print its run id.

    The runs are those of the given ids, or else those that the search finds. With more than 30 runs, the most
    overlapping pairs are printed instead. Groups are tested, and the answer is printed in a sentence.
    """
    from gradiend_mlflow.comparison.compare import compare
    from gradiend_mlflow.comparison.description import of_groups

    options["experiment_names"] = list(options["experiment_names"]) or None
    comparison = compare(list(run_ids) or None, search_all_experiments=all_experiments, log=not no_log, **options)
    if len(comparison.matrix) <= _PRINTED_RUNS:
        _say(comparison.matrix.to_string(float_format="{:.3f}".format))
    else:
        pairs = comparison.to_frame()
        _say(f"{len(comparison.matrix)} runs; the first {_PRINTED_PAIRS} of {len(pairs):,} pairs:")
        _say(pairs.head(_PRINTED_PAIRS).to_string(index=False, float_format="{:.3g}".format))
    for sentence in of_groups(comparison):
        _say(sentence)
    for line in some_of([f"skipped {run.name} ({run.run_id}): {run.reason}" for run in comparison.skipped]):
        _say(line, err=True)
    for note in comparison.notes:
        _say(note, err=True)
    if comparison.run_id is not None:
        _say(f"run {comparison.run_id}")


def _say(text: str, *, err: bool = False) -> None:
    """Print a text, in which names and reasons may stand that others have written."""
    click.echo(visible(text, lines=True), err=err)


def _pair(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise click.BadParameter(f"{text!r} is not of the form KEY=VALUE", param_hint="--tag")
    return key, value


def _report(frame: pd.DataFrame, *, quiet: bool) -> None:
    """Print a line per row and how many there are of each result; exit with the code 1 if a row failed."""
    for row in frame.to_dict("records"):
        failed, reason = row["result"] == "failed", f"  ({row['reason']})" if row["reason"] else ""
        run = f"  ->  run {row['run_id']}" if row["run_id"] and not failed else ""
        if failed or not quiet:
            _say(f"{row['result']:<9} {row['directory']}{run}{reason}", err=failed)
    counts = frame["result"].value_counts()
    if not quiet and not frame.empty:
        _say(", ".join(f"{count} {result}" for result, count in counts.items()))
    if "failed" in counts:
        raise click.exceptions.Exit(1)
