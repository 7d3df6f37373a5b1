"""What `--help` and docs/cli.md say, held to the package."""

from __future__ import annotations

import inspect
import runpy
from pathlib import Path
from typing import Any, get_args

import click
import pytest
from click.testing import CliRunner

import gradiend_mlflow
from gradiend_mlflow.cli import main
from gradiend_mlflow.commands import choices
from gradiend_mlflow.comparison.kept.search import search_comparisons
from gradiend_mlflow.overlap.measures import VALUES, Unit
from gradiend_mlflow.overlap.seeds import Aggregate, Seeds
from gradiend_mlflow.sets.parts import PARTS
from gradiend_mlflow.store.ui.views import VIEWS

DOCS = Path(__file__).parents[2] / "docs"
MADE: dict[str, Any] = runpy.run_path(str(DOCS / "make_cli.py"))
COMMANDS: dict[str, click.Command] = dict(MADE["commands"](main))
# What an argument of the function is called on the command line, where it is called otherwise, or is no argument.
OTHERWISE = {
    "form",
    "quiet",
    "no_log",
    "incomplete",
    "opened",
    "kind",
    "figsize",
    "output_path",
    "run_ids",
    "shell",
    "path",
}


def test_the_page_is_what_the_commands_say() -> None:
    """`python docs/make_cli.py` writes it."""
    assert (DOCS / "cli.md").read_text(encoding="utf-8") == MADE["page"]()


def test_choices_are_those_of_the_package() -> None:
    """They are written down twice, so that help is quick."""
    assert choices.PARTS == PARTS
    assert choices.VALUES == VALUES
    assert get_args(Unit) == choices.UNITS
    assert get_args(Seeds) == choices.SEEDS
    assert get_args(Aggregate) == choices.AGGREGATES
    assert tuple(view.name.lower() for view in VIEWS) == choices.VIEWS
    for method, _ in choices.FIGURES.values():
        assert callable(getattr(gradiend_mlflow.Comparison, method))


@pytest.mark.parametrize("name", COMMANDS)
def test_help(name: str) -> None:
    """Each has an example, and every option is explained."""
    said = CliRunner().invoke(main, [*name.split(), "--help"])
    assert said.exit_code == 0
    assert f"Example:\n    gradiend-mlflow {name}" in said.output
    for option in COMMANDS[name].params:
        assert isinstance(option, click.Argument) or (isinstance(option, click.Option) and option.help), option.name


@pytest.mark.parametrize("name", MADE["FUNCTIONS"])
def test_options_are_the_functions(name: str) -> None:
    """By the same names; whatever asks MLflow takes the address."""
    function = getattr(gradiend_mlflow, MADE["FUNCTIONS"][name])
    arguments = set(inspect.signature(function).parameters)
    given = {option.name for option in COMMANDS[name].params}
    assert given - OTHERWISE <= arguments
    assert ("tracking_uri" in arguments) == ("tracking_uri" in given)


def test_every_command_has_its_function() -> None:
    """Completion is the shell's business alone."""
    assert set(COMMANDS) - set(MADE["FUNCTIONS"]) == {"completion"}
    assert gradiend_mlflow.search_comparisons is search_comparisons


@pytest.mark.parametrize("name", COMMANDS)
def test_a_wrong_option_is_a_question_of_usage(name: str) -> None:
    """The exit code is 2."""
    assert CliRunner().invoke(main, [*name.split(), "--no-such-option"]).exit_code == 2
