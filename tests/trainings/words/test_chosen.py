"""Which params somebody chose."""

from __future__ import annotations

from typing import Any

import pytest
from gradiend import TrainingArguments

from gradiend_mlflow.trainings.words.chosen import DEFAULTS, chosen
from gradiend_mlflow.trainings.words.terms import params_of


def test_the_defaults_are_gradiends() -> None:
    """Of the version that is installed, all of them; one before 0.2.3 has fewer."""
    params = params_of(TrainingArguments().to_dict())
    own = {key: value for key, value in params.items() if value != "None" and key != "base_gradient_batch_size"}
    assert own == {key: value for key, value in DEFAULTS.items() if key in params}
    assert chosen(params) == {}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"learning_rate": 1e-3, "seed": 7}, {"learning_rate": "0.001", "seed": "7"}),
        ({"train_batch_size": 8}, {"train_batch_size": "8"}),  # the batch of gradients follows
        ({"train_batch_size": 8, "base_gradient_batch_size": 2, "gradiend_batch_size": 4}, None),
        ({"params": ["a", "b"]}, {"params": "['a', 'b']"}),
        ({"learning_rate": 1e-5}, {}),  # the default, written out
    ],
)
def test_what_is_given_is_chosen(given: dict[str, Any], expected: dict[str, str] | None) -> None:
    """And nothing else."""
    found = chosen(params_of(TrainingArguments(**given).to_dict()))
    assert found == ({key: str(value) for key, value in given.items()} if expected is None else expected)


def test_arguments_of_later_versions_are_chosen_unless_they_are_none() -> None:
    """What is not known is shown, not hidden."""
    assert chosen({"brand_new": "1", "other": "None"}) == {"brand_new": "1"}
