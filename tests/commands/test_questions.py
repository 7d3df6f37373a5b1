"""`gradiend-mlflow compare`, against a real server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from mlflow import MlflowClient

from gradiend_mlflow import compare, load_comparison, search_runs
from gradiend_mlflow.cli import main


@pytest.fixture
def run(logged: dict[str, Path], server: str) -> Callable[..., Result]:
    """Run the command against the server of the logged trainings."""

    def run(*arguments: Any) -> Result:
        return CliRunner().invoke(main, ["compare", *map(str, arguments), "--tracking-uri", server])

    return run


def test_it_prints_the_matrix_and_the_run(run: Callable[..., Result], server: str) -> None:
    """The numbers of `compare`, the id of the logged run."""
    done = run("--experiment-name", "pronouns", "--topk", 200, "--value", "intersection", "--log-to", "by command")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()[-5:]  # after MLflow's own links
    asked: dict[str, Any] = {"topk": 200, "value": "intersection", "log": False, "tracking_uri": server}
    expected = compare(experiment_names="pronouns", **asked)
    assert lines[0].split() == list(expected.matrix)
    for line, (label, row) in zip(lines[1:], expected.matrix.iterrows(), strict=False):
        assert line.split() == [label, *map(str, row)]
    run_id = lines[-1].removeprefix("run ")
    assert load_comparison(run_id, tracking_uri=server).matrix.equals(expected.matrix)
    assert expected.notes[0] in done.stderr


def test_runs_by_id_and_without_logging(run: Callable[..., Result], server: str) -> None:
    """Fractions too; nothing about a run is printed where there is none."""
    ids = search_runs("pronouns", tracking_uri=server)["run_id"][:2].tolist()
    done = run(*ids, "--topk", 0.01, "--no-log")
    assert done.exit_code == 0, done.output
    assert len(done.stdout.splitlines()) == 3


@pytest.mark.parametrize(("text", "k"), [("1e1", 10), ("10", 10), ("10.0", 10), ("0.01", 111)])
def test_a_number_is_a_number(text: str, k: int, run: Callable[..., Result]) -> None:
    """However a shell writes it."""
    done = run("--experiment-name", "pronouns", "--topk", text, "--no-log", "--value", "intersection")
    assert [int(line.split()[1 + row]) for row, line in enumerate(done.stdout.splitlines()[-3:])] == [k] * 3


def test_other_topk_is_refused(run: Callable[..., Result]) -> None:
    """It is said by the name of the option."""
    done = run("--experiment-name", "pronouns", "--topk", "many")
    assert done.exit_code == 2
    assert "Invalid value for '--topk': 'many' is neither a number of weights nor a fraction" in done.stderr


def test_many_runs_fit_into_a_terminal(run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    """The most overlapping pairs instead of a matrix that nobody reads."""
    monkeypatch.setattr("gradiend_mlflow.commands.questions._PRINTED_RUNS", 2)
    monkeypatch.setattr("gradiend_mlflow.commands.questions._PRINTED_PAIRS", 1)
    done = run("--experiment-name", "pronouns", "--topk", 10, "--no-log", "--cache", "off")
    first, *table = done.stdout.splitlines()
    assert first == "3 runs; the first 1 of 3 pairs:"
    assert len(table) == 2


def test_groups_are_tested(run: Callable[..., Result], server: str) -> None:
    """In the sentence of `test_groups`, or with the reason why they cannot be."""
    client = MlflowClient(server)
    for run_id, number in zip(search_runs("pronouns", tracking_uri=server)["run_id"], "aab", strict=True):
        client.set_tag(run_id, "group", number)
    asked: dict[str, Any] = {"experiment_names": "pronouns", "topk": 200, "log": False, "tracking_uri": server}
    for groups, sentence in (("tags.group", "{}"), ("base_model", "The groups are not tested: {}.")):
        done = run("--experiment-name", "pronouns", "--topk", 200, "--no-log", "--groups", groups)
        assert done.exit_code == 0, done.output
        tested = compare(groups=groups, **asked).tested
        assert sentence.format(tested) in done.stdout


def test_errors_are_told_without_a_traceback(run: Callable[..., Result]) -> None:
    """As `compare` tells them."""
    done = run("--experiment-name", "nowhere")
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: MLflow at ")
    assert "has no experiment with the name 'nowhere'" in done.stderr
    assert run("--experiment-name", "pronouns", "--value", "dice").exit_code == 2


def test_help_is_quick(run_python: Callable[[str], str]) -> None:
    """It loads neither MLflow nor pandas."""
    script = "import sys; from gradiend_mlflow.cli import main\n"
    script += "try: main(['compare', '--help'])\nexcept SystemExit: pass\n"
    printed = run_python(script + "print({'mlflow', 'pandas', 'torch', 'matplotlib'} & set(sys.modules))")
    assert "--seed-aggregate" in printed
    assert printed.splitlines()[-1] == "set()"
