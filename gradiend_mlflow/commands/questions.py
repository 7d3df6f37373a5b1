"""`compare`, `comparisons` and `plot`: questions, their answers, and pictures of these."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gradiend_mlflow.commands import options
from gradiend_mlflow.commands.choices import AGGREGATES, FIGURES, PARTS, SEEDS, UNITS, VALUES, WIDTHS
from gradiend_mlflow.commands.options import example, listed
from gradiend_mlflow.commands.printed import print_frame, print_json, say
from gradiend_mlflow.errors import InvalidInputError
from gradiend_mlflow.wording import PROBABILITIES, csv_of, probability, some_of

if TYPE_CHECKING:
    from gradiend_mlflow.comparison.comparison import Comparison

_PRINTED_RUNS = 30  # a larger matrix cannot be read in a terminal
_PRINTED_PAIRS = 30
_SHOWN = (
    *("run_id", "run_name", "experiment", "part", "topk", "value", "n_runs"),
    *("mean", "within", "between", "lift", "group_p", "start_time"),
)


@click.command(
    "compare",
    short_help="Compare runs, print the matrix, log it.",
    epilog=example(
        "gradiend-mlflow compare --experiment-name pronouns --topk 1000 --value jaccard",
        "gradiend-mlflow compare RUN_ID RUN_ID --no-log --format json",
    ),
)
@click.argument("run_ids", nargs=-1, metavar="[RUN_ID]...")
@options.search
@options.filter_string
@click.option(
    "--part", type=click.Choice(PARTS), default="decoder-weight", show_default=True, help="Which importance."
)
@options.topk(default="1000", help="How many weights, or what fraction.")
@click.option(
    "--value", type=click.Choice(VALUES), default="intersection_frac", show_default=True, help="Which measure."
)
@click.option("--unit", type=click.Choice(UNITS), default="weight", show_default=True, help="Or the neurons of these.")
@click.option("--labels", metavar="COLUMN", help="What runs are called: a column, params.<name> or tags.<name>.")
@click.option("--groups", metavar="COLUMN", help="Which belong together: a column, params.<name> or tags.<name>.")
@click.option("--seeds", type=click.Choice(SEEDS), default="best", show_default=True, help="Which of each training.")
@click.option("--seed-aggregate", type=click.Choice(AGGREGATES), help="One row per training, of its seeds.")
@click.option("--strict", is_flag=True, help="Fail where runs would be skipped.")
@click.option("--no-log", is_flag=True, help="Only print.")
@click.option("--log-to", metavar="EXPERIMENT", help="Where the comparison goes.  [default: where the runs are]")
@click.option("--run-name", help="The comparison's name.")
@click.option("--refresh", is_flag=True, help="Log a new run even if this question has been answered.")
@click.option("--link", is_flag=True, help="Tag the compared runs with the comparison.")
@options.cache
@options.form
@options.tracking_uri
def compare_command(run_ids: tuple[str, ...], *, no_log: bool, form: str, **given: Any) -> None:
    """Compare logged runs' top-k weights: print the matrix, log the comparison, print its run id.

    The runs are those of the given ids, or else those that the search finds. With more than 30 runs, the most
    overlapping pairs are printed instead. Groups are tested, and the answer is printed in a sentence.
    """
    from gradiend_mlflow.comparison.compare import compare

    comparison = compare(list(run_ids) or None, log=not no_log, **listed(given))
    _PRINT[form](comparison)
    for line in some_of([f"skipped {run.name} ({run.run_id}): {run.reason}" for run in comparison.skipped]):
        say(line, err=True)
    for note in comparison.notes:
        say(note, err=True)
    if comparison.run_id is not None and form != "json":
        say(f"run {comparison.run_id}", err=form != "table")


def _print_table(comparison: Comparison) -> None:
    from gradiend_mlflow.comparison.said.answers import of_groups

    if len(comparison.matrix) <= _PRINTED_RUNS:
        say(comparison.matrix.to_string(float_format="{:.3f}".format))
    else:
        pairs = comparison.to_frame()
        say(f"{len(comparison.matrix)} runs; the first {_PRINTED_PAIRS} of {len(pairs):,} pairs:")
        how: Any = {name: probability for name in PROBABILITIES if name in pairs}
        say(pairs.head(_PRINTED_PAIRS).to_string(index=False, float_format="{:.3g}".format, formatters=how))
    for sentence in of_groups(comparison):
        say(sentence)


def _print_csv(comparison: Comparison) -> None:
    click.echo(csv_of(comparison.matrix, index=True), nl=False)


def _print_json(comparison: Comparison) -> None:
    print_json(
        {
            "run_id": comparison.run_id,
            "part": comparison.part,
            "topk": comparison.topk,
            "value": comparison.value,
            "unit": comparison.unit,
            "labels": list(comparison.matrix),
            "matrix": comparison.matrix.to_numpy().tolist(),
            "pairs": comparison.to_frame().to_dict("records"),
            "skipped": [vars(run) for run in comparison.skipped],
            "notes": comparison.notes,
        }
    )


_PRINT = {"table": _print_table, "csv": _print_csv, "json": _print_json}


@click.command(
    "comparisons",
    short_help="List logged comparisons, newest first.",
    epilog=example("gradiend-mlflow comparisons --experiment-name pronouns --value jaccard"),
)
@options.search
@click.option("--run", "runs", multiple=True, metavar="RUN_ID", help="Only those of this run; may be repeated.")
@click.option("--part", type=click.Choice(PARTS), help="Only those of this importance.")
@options.topk(help="Only those of this number or fraction of weights.")
@click.option("--value", type=click.Choice(VALUES), help="Only those by this measure.")
@click.option("--unit", type=click.Choice(UNITS), help="Only those of weights, or of neurons.")
@click.option("--max-results", type=click.IntRange(min=1), metavar="NUMBER", help="No more than this.  [default: all]")
@options.form
@options.tracking_uri
def comparisons_command(*, form: str, **given: Any) -> None:
    """List logged comparisons, newest first, with what each asked and answered."""
    from gradiend_mlflow.comparison.kept.search import search_comparisons

    frame = search_comparisons(**listed(given))
    print_frame(frame, form, columns=_SHOWN, empty="no such comparison; --all-experiments searches everywhere")


@click.command(
    "plot",
    short_help="Draw a logged comparison into a file.",
    epilog=example(
        "gradiend-mlflow plot COMPARISON --kind venn --width column -o venn.pdf",
    ),
)
@click.argument("comparison", metavar="COMPARISON")
@click.option("--kind", type=click.Choice(list(FIGURES)), default="heatmap", show_default=True, help="Which figure.")
@click.option(
    "--width",
    "figsize",
    type=click.Choice(WIDTHS),
    help="As wide as a paper's column (3.3 inches) or its text (7).  [default: what the figure needs]",
)
@click.option(
    "-o",
    "--output",
    "output_path",
    required=True,
    multiple=True,
    type=click.Path(path_type=Path),
    help="Where to save it: .png, .pdf or .svg; may be repeated.",
)
@options.tracking_uri
def plot_command(
    comparison: str, *, kind: str, figsize: str | None, output_path: tuple[Path, ...], **given: Any
) -> None:
    """Draw a logged comparison, as Comparison.plot_heatmap() and its like do.

    COMPARISON is the id of its run, or its name.
    """
    from gradiend_mlflow.comparison.kept.load import load_comparison

    method, settings = FIGURES[kind]
    chosen = settings if figsize is None else {**settings, "figsize": figsize}
    loaded = load_comparison(comparison, **given)
    if kind == "groups" and loaded.groups is None:
        raise InvalidInputError(f"{comparison} was asked without groups; `gradiend-mlflow compare --groups` asks with")
    getattr(loaded, method)(output_path=list(output_path), **chosen)
    for file in output_path:
        say(str(file))
