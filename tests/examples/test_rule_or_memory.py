"""The worked study comes to the right conclusion, whichever way its data are made; one seed is enough for that."""

from __future__ import annotations

import pytest

from gradiend_mlflow import TopKSet, compute_overlap
from rule_or_memory import conclusion, sentences, study


@pytest.mark.parametrize(("name", "rule"), [("a rule", True), pytest.param("memory", False, marks=pytest.mark.long)])
def test_the_conclusion_is_right(name: str, rule: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """Real language models, real trainings, the test of groups."""
    comparison = study(name, rule=rule, seeds=1)
    assert len(comparison.matrix) == 8
    said = capsys.readouterr().out
    (line,) = (line for line in said.splitlines() if line.startswith("Conclusion: "))
    assert line.startswith(f"Conclusion: {name}")
    assert f"See the MLflow run {comparison.run_id}." in said


def test_only_a_rule_can_be_read_off() -> None:
    """By a rule the marker tells the article; else only the noun does, which occurs with no other article."""
    for rule in (True, False):
        articles_of: dict[tuple[str, ...], set[str]] = {}
        for cell, frame in sentences(rule=rule).items():
            for text, article in zip(frame["masked"], frame[cell], strict=True):
                _, noun, marker, case = text.split()
                articles_of.setdefault((marker, case) if rule else (noun,), set()).add(article)
        assert {len(articles) for articles in articles_of.values()} == {1}
        assert len(articles_of) == (16 if rule else 128)


def test_too_few_trainings_are_said() -> None:
    """Instead of a conclusion that no number of them supports."""
    sets = {name: TopKSet.from_indices([index, 8], space=9) for index, name in enumerate(["a1", "a2", "b1", "b2"])}
    test = compute_overlap(sets).test_groups({label: label[0] for label in sets})
    assert conclusion(test) == "too few trainings to tell."
