"""Labels in the space that they have."""

from __future__ import annotations

import itertools

import matplotlib as mpl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from packaging import version

from gradiend_mlflow.figures.drawing.names import LEAST_POINTS, in_lines, measured, named, points_of
from gradiend_mlflow.figures.drawing.text import with_arrows

GENDERS = ["der->die (Nom, Masc->Fem)", "das->die (Nom, Neut->Fem)", "den->die (Acc, Masc->Fem)"]


@pytest.mark.parametrize(
    ("typed", "drawn"),
    [
        ("der->die", "der → die"),
        ("a <-> b", "a ↔ b"),
        ("he =>they", "he ⇒ they"),
        ("already → there", "already → there"),
        ("a --> b, a<=>b, a<-b", "a --> b, a<=>b, a<-b"),
    ],
)
def test_arrows(typed: str, drawn: str) -> None:
    """In gradiend's spaces; what is no arrow of its own stays."""
    assert with_arrows(typed) == drawn


def test_arrows_that_the_font_does_not_have(asian_font: str) -> None:
    """Would be boxes."""
    with mpl.rc_context({"font.family": [asian_font]}):
        assert with_arrows("日->本") == "日 -> 本"


@pytest.mark.parametrize("text", ["one line", "two\nlines", r"\$5 → \$6", "日"])
@pytest.mark.parametrize("points", [5, 8, 12])
@pytest.mark.parametrize("dpi", [72, 100, 300])
def test_the_measure_is_that_of_the_figure(text: str, points: float, dpi: int) -> None:
    """Not less, and hardly more: matplotlib below 3.11 makes small letters lower than large ones."""
    spare = 1.08 if version.parse(mpl.__version__) >= version.parse("3.11") else 1.2
    figure = Figure(dpi=dpi)
    box = figure.text(0.5, 0.5, text, fontsize=points).get_window_extent()
    for ours, theirs in zip(measured(text, points), box.size / dpi, strict=True):
        assert theirs - 1.5 / dpi <= ours <= spare * theirs + 1.5 / dpi


def test_the_measure_follows_the_font() -> None:
    """Also one that is set later."""
    wide = measured("a label", 8)[0]
    with mpl.rc_context({"font.family": "monospace"}):
        assert measured("a label", 8)[0] > 1.1 * wide
    assert measured("a label", 8)[0] == wide


def test_sizes_follow_the_settings() -> None:
    """Relative ones too, down to what can be read."""
    with mpl.rc_context({"font.size": 10, "axes.titlesize": "large", "xtick.labelsize": 3}):
        assert points_of("axes.titlesize") == pytest.approx(12)
        assert points_of("xtick.labelsize") == LEAST_POINTS
        assert points_of("xtick.labelsize", 4) == 4


@pytest.mark.parametrize(
    ("width", "lines", "way"), [(3.0, 1, "whole"), (1.2, 2, "wrapped"), (1.0, 1, "shortened"), (0.2, 1, "numbered")]
)
def test_the_first_way_that_fits(width: float, lines: int, way: str) -> None:
    """Whole, wrapped, shortened, numbered."""
    names = named(GENDERS, width, 8, lines=lines)
    assert names.way == way
    assert names.fit
    assert bool(names.key) is (way == "numbered")
    if way in ("whole", "wrapped"):
        assert [text.replace("\n", " ") for text in names.texts] == [with_arrows(label) for label in GENDERS]
        assert names.points == 8


def test_smaller_before_shorter() -> None:
    """All of a name at 6 points says more than half of it at 8."""
    names = named(GENDERS, 1.2, 8)
    assert names.way == "whole"
    assert LEAST_POINTS <= names.points < 8


def test_numbers_have_a_key() -> None:
    """With the whole labels."""
    names = named(GENDERS, 0.1, 8)
    assert names.texts == ("1", "2", "3")
    assert names.key[0] == "1  der → die (Nom, Masc → Fem)"
    assert not named(GENDERS, 0.01, 8).fit


def test_an_arrow_ends_its_line() -> None:
    """And does not begin the next."""
    assert in_lines("der → die", 0.45, 8) == "der →\ndie"
    for width in (0.2, 0.3, 0.5, 0.8):
        lines = in_lines(with_arrows(GENDERS[0]), width, 8).split("\n")
        assert not any(line.startswith("→") for line in lines)


def test_a_long_word_is_broken_if_it_may_be() -> None:
    """Else it is wider."""
    assert in_lines("w" * 30, 1.0, 8) == "w" * 30
    assert in_lines("w" * 30, 1.0, 8, anywhere=True).count("\n") > 1


LABELS = st.lists(st.text("ab ->c,", min_size=1, max_size=60), min_size=1, max_size=12)


@given(LABELS, st.floats(0.3, 4), st.floats(5, 12), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_what_fits_is_no_wider(labels: list[str], width: float, preferred: float, lines: int) -> None:
    """Whichever way was taken; and labels that differ do so in the figure."""
    names = named(labels, width, preferred, lines=lines, height=0.6)
    assert len(names.texts) == len(labels)
    assert LEAST_POINTS <= names.points <= max(preferred, LEAST_POINTS)
    if names.fit:
        for text in names.texts:
            assert measured(text, names.points)[0] <= width
            assert measured(text, names.points)[1] <= 0.6
            assert text.count("\n") < lines
    for (a, first), (b, second) in itertools.combinations(zip(labels, names.texts, strict=True), 2):
        assert first != second or with_arrows(a) == with_arrows(b)
