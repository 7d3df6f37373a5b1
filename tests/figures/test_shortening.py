"""Labels that fit, and can still be told apart."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradiend_mlflow.figures.text import shortened

LONG = "bert-base-cased, 3SG_3PL, learning rate 1e-5, seed {}, decoder weights only after pruning to 1 percent"


def test_what_fits_stays() -> None:
    """Letter by letter, whatever happens to the others."""
    labels = ["a", "b" * 40, LONG.format(1), LONG.format(2)]
    assert shortened(labels)[:2] == labels[:2]
    assert shortened(()) == []


def test_beginning_and_end_stay() -> None:
    """Where they are enough to tell labels apart."""
    assert shortened(["begin " + "x" * 50 + f" end {n}" for n in (7, 8)], 21) == [
        "begin xxxx…xxxx end 7",
        "begin xxxx…xxxx end 8",
    ]


@pytest.mark.parametrize("longest", [40, 24, 16])
def test_what_differs_stays_where_they_are_not(longest: int) -> None:
    """As whole words, with the word before, and what there is room for of the beginning."""
    for n, label in zip((3, 12, 13), shortened([LONG.format(n) for n in (3, 12, 13)], longest), strict=True):
        assert label.endswith(f"seed {n}…")
        assert label.startswith("bert")
        assert len(label) <= longest


def test_labels_that_clash_keep_what_tells_them_from_the_rest() -> None:
    """Two models with two seeds are four labels."""
    labels = [f"{model}-{LONG.format(n)}" for model in ("one", "other") for n in (1, 2)]
    short = shortened(labels)
    assert [label.split("-")[0] for label in short] == ["one", "one", "other", "other"]
    assert ["seed 1…" in label for label in short] == [True, False, True, False]


def test_numbers_where_nothing_else_helps() -> None:
    """If there is no room for what differs, or a label is there twice."""
    ways = itertools.product("aA", "bB", "cC")
    labels = ["x" * 40 + ("-" * 30).join(way) + "x" * 40 for way in ways]  # beginning, middle and end differ
    assert [label.split(": ")[0] for label in shortened(labels, 20)] == list("12345678")
    assert shortened(["same", "same", "other"]) == ["1: same", "2: same", "other"]


LETTERS = st.text("ab1: …", max_size=14)


@given(st.lists(st.builds("{}{}{}".format, LETTERS, LETTERS, LETTERS), max_size=12), st.integers(6, 20))
def test_never_two_alike_never_too_long(labels: list[str], longest: int) -> None:
    """However similar they are."""
    short = shortened(labels, longest)
    assert len(short) == len(set(short)) == len(labels)
    assert all(len(label) <= longest for label in short)
    if len(set(labels)) == len(labels) and max(map(len, labels), default=0) <= longest:
        assert short == labels


@given(st.lists(LETTERS, max_size=12, unique=True), LETTERS, LETTERS)
def test_nor_where_they_differ_in_the_middle_only(middles: list[str], first: str, last: str) -> None:
    """With much in common at both ends."""
    short = shortened([first * 4 + middle + last * 4 for middle in middles], 12)
    assert len(short) == len(set(short)) == len(middles)
    assert all(len(label) <= 12 for label in short)
