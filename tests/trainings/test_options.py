"""The options of all that logs: documented once, checked at once."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradiend_mlflow import InvalidInputError, MLflowCallback, autolog, compare, import_runs, start_run, sync
from gradiend_mlflow.trainings.options import LogKeywords, LogOptions

OF_MLFLOW = {"disable", "exclusive", "silent"}  # what MLflow's own machinery reads


def test_autolog_documents_every_option() -> None:
    """`start_run` and `MLflowCallback` take the same ones, and `run_name`, and say where they are documented."""
    options = {field.name for field in dataclasses.fields(LogOptions)}
    assert options == set(LogKeywords.__annotations__)
    assert options == set(inspect.signature(autolog).parameters) - OF_MLFLOW | {"run_name"}
    documented = set(
        re.findall(r"^ {8}(\w+): ", inspect.getdoc(autolog).replace("\n    ", "\n        "), re.MULTILINE)
    )
    assert documented >= options - {"run_name"}
    for function in (start_run, MLflowCallback):
        assert all(f"`{name}`" in function.__doc__ for name in options)
        assert "`autolog`, which documents them" in function.__doc__


def test_defaults_are_those_of_autolog() -> None:
    """Wherever the options are given."""
    signature = inspect.signature(autolog).parameters
    given = {name: parameter.default for name, parameter in signature.items() if name not in OF_MLFLOW}
    assert LogOptions(**given) == MLflowCallback().options == LogOptions()


@pytest.mark.parametrize("options", [{"top_k": 5}, {"topk": 5, "experiment": "pronouns"}])
def test_an_unknown_option_is_a_type_error(options: dict[str, Any]) -> None:
    """As any wrong keyword; it says which there are."""
    with pytest.raises(
        TypeError, match=r"unexpected keyword argument '(top_k|experiment)'; the options are topk, parts"
    ):
        MLflowCallback(**options)
    with pytest.raises(TypeError, match="unexpected keyword argument"), start_run(None, **options):
        pass


def test_tags_are_strings_before_they_are_written_down() -> None:
    """Whatever their values are, a journal can hold them."""
    options = LogOptions(extra_tags={"fold": np.int64(3), "data": Path("articles")})
    assert options.extra_tags == {"fold": "3", "data": "articles"}


def test_parts_that_are_none_at_all_are_refused() -> None:
    """As any other that are not acceptable."""
    with pytest.raises(InvalidInputError, match="parts must be a sequence of part names; got None"):
        LogOptions(parts=None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a\0b", "such as NUL"),
        ("half \ud800", "such as NUL"),
        ("n" * 501, "500 characters.*got 501"),
        (" ", "non-empty"),
    ],
)
def test_what_no_experiment_can_be_called(name: str, said: str, tmp_path: Path) -> None:
    """It is refused where it is given: of a training's own server nobody would learn it in time."""
    for ask in (
        lambda: LogOptions(experiment_name=name),
        lambda: import_runs(tmp_path, experiment_name=name),
        lambda: sync(tmp_path, experiment_name=name),
        lambda: compare(["a", "b"], log_to=name),
    ):
        with pytest.raises(InvalidInputError, match=said):
            ask()
