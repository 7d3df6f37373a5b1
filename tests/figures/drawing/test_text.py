"""Labels that fit and still differ, in letters that the fonts have."""

from __future__ import annotations

import io
import itertools
import warnings
from typing import Any

import matplotlib as mpl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.text import Text

from gradiend_mlflow import (
    TopKSet,
    compute_overlap,
    plot_heatmap,
)
from gradiend_mlflow.figures.drawing.text import shortened
from tests.figures.examples import PLOTS, figure_of, ticks

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
    """As whole words, with the word before, and as much of the beginning as fits."""
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


def test_a_common_ending_goes_first() -> None:
    """It tells nothing apart, and would take the room of what does."""
    races = ["white_black", "white_asian", "black_asian"]
    labels = [f"race_{pair} decoder-weight, top 1000" for pair in races]
    assert shortened(labels, 20) == [f"race_{pair}…" for pair in races]
    assert shortened(["race", *labels], 20)[1:] == [f"race_{pair}…" for pair in races]


@pytest.mark.parametrize("longest", [10, 14, 18, 24])
def test_one_figure_has_one_way_to_shorten(longest: int) -> None:
    """Whether or not some labels clash: what is left out of one is left out of all that are too long."""
    labels = ["bert-base-cased-1SG_1PL-seed-0", "bert-base-cased-1SG_3PL-seed-0", "bert-base-cased-3SG_3PL-seed-0"]
    short = shortened(labels, longest)
    assert len({label.count("…") for label in short}) == 1
    assert all(label.endswith("…") for label in short)
    mixed = [f"gender of bert-base-cased, seed {n}, decoder" for n in (1, 2)] + ["race of roberta-large, decoder"]
    assert all(label.endswith("…") for label in shortened(mixed, longest))


def test_numbers_where_nothing_else_helps() -> None:
    """If what differs does not fit, or two labels are equal."""
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


def test_long_names_lose_their_middle() -> None:
    """Beginning and end tell runs apart; in the key of a heatmap too, if they are numbered."""
    long = "begin " + "x" * 100 + " end 7"
    figure = plot_heatmap(compute_overlap({long: TopKSet.from_indices([1], space=2)}))
    number, _, keyed = ticks(figure.axes[0])[1][0].partition(" ")
    assert number == "1"
    (name,) = shortened([long])
    assert len(name) == 40
    assert 40 < len(keyed) < len(long), "there is room for more"
    for text in (name, keyed):
        assert text.startswith("begin xx")
        assert text.endswith("xx end 7")


@pytest.mark.parametrize("plot", PLOTS)
def test_long_names_can_be_told_apart(plot: Any) -> None:
    """Where beginning and end are the same it is what lies between that is kept."""
    names = [f"bert-base-cased, 3SG_3PL, learning rate 1e-5, seed {n}, decoder weights only" for n in range(4)]
    made = plot(compute_overlap({name: TopKSet.from_indices([1, 2 + n], space=9) for n, name in enumerate(names)}))
    figure = figure_of(made)
    figure.draw_without_rendering()
    written = " ".join(" ".join(text.get_text().split()) for text in figure.findobj(Text))
    assert all(f"seed {n}" in written for n in range(4))


@pytest.mark.parametrize("plot", PLOTS)
def test_labels_are_taken_literally(plot: Any) -> None:
    """Dollar signs make no formula, right or wrong, and a new line no second one."""
    names = ["cost $5 $6", "$\\frac{$\nx"]
    sets = {name: TopKSet.from_indices([1, 2, 3 + index], space=9) for index, name in enumerate(names)}
    made = plot(compute_overlap(sets))
    figure = figure_of(made)
    figure.savefig(io.BytesIO())
    written = " ".join(text.get_text() for text in figure.findobj(Text))
    assert r"cost \$5 \$6" in written


@pytest.mark.parametrize("plot", PLOTS)
def test_letters_that_no_font_has_are_named_once(plot: Any) -> None:
    """With a remedy, at the line that draws the figure; matplotlib itself warns of each letter by its number."""
    sets = {name: TopKSet.from_indices([1, 2 + n], space=9) for n, name in enumerate(("日本", "plain", "a 日"))}
    overlap = compute_overlap(sets)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        made = plot(overlap, title="本 † ≥ … é ж א")
    (own,) = (warning for warning in said if not str(warning.message).startswith("Glyph"))
    assert "the font sans-serif does not have 日, 本," in str(own.message)
    assert "matplotlib.rcParams['font.family'] = ['DejaVu Sans', 'Noto Sans CJK JP']" in str(own.message)
    assert own.filename == __file__
    assert "日本" in " ".join(text.get_text() for text in figure_of(made).findobj(Text))


@pytest.mark.parametrize("plot", PLOTS)
def test_a_list_of_fonts_is_all_that_other_letters_need(plot: Any, asian_font: str) -> None:
    """Then nothing is warned of, neither here nor by matplotlib."""
    sets = {name: TopKSet.from_indices([1, 2 + n], space=9) for n, name in enumerate(("日本", "plain", "a 日"))}
    with mpl.rc_context({"font.family": ["DejaVu Sans", asian_font]}), warnings.catch_warnings():
        warnings.simplefilter("error")
        figure_of(plot(compute_overlap(sets))).savefig(io.BytesIO())
