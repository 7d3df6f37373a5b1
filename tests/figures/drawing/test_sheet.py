"""How every figure begins and ends: its size, its files, its window, a notebook."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib as mpl
import pytest
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from gradiend_mlflow import InvalidInputError
from gradiend_mlflow.figures.drawing import canvas
from gradiend_mlflow.figures.drawing.canvas import OwnFigure, Sheet, new_figure, write


@pytest.fixture
def written() -> OwnFigure:
    """A figure with a word in it."""
    figure = new_figure((2, 1), "none")
    figure.text(0.1, 0.5, "legible")
    return figure


@pytest.mark.parametrize(
    ("figsize", "expected"), [("column", (3.3, 1.65)), ("text", (7, 3.5)), ((4, 3), (4, 3)), (None, (5, 2.5))]
)
def test_sizes(figsize: Any, expected: tuple[float, float]) -> None:
    """The two widths of a paper have the height that suits them."""
    figure = Sheet.checked(None, figsize=figsize).figure(lambda width: width / 2, usual=5)
    assert tuple(figure.get_size_inches()) == pytest.approx(expected)


@pytest.mark.parametrize("figsize", ["page", 3, (1,), (1, 2, 3), (0, 1), (float("nan"), 1), ("a", "b"), [1, None]])
def test_sizes_that_are_none(figsize: Any) -> None:
    """Are refused, with what is meant."""
    with pytest.raises(InvalidInputError, match="figsize must be 'column'"):
        Sheet.checked(None, figsize=figsize)


def test_a_given_place_keeps_its_size() -> None:
    """So another one is a contradiction."""
    figure = Figure()
    with pytest.raises(InvalidInputError, match="leave out figsize, or fig"):
        Sheet.checked(figure, figsize="column")
    with pytest.raises(InvalidInputError, match="leave out figsize, or ax"):
        Sheet.checked(figure.subplots(), figsize=(3, 3))


def test_files(written: OwnFigure, tmp_path: Path) -> None:
    """Several at once, each by its suffix; what is drawn is returned."""
    paths = [tmp_path / "a.png", str(tmp_path / "b.PDF"), tmp_path / "c.svg"]
    assert Sheet.checked(None, output_path=paths).finished(written) is written
    begins = [Path(path).read_bytes()[:5] for path in paths]
    assert begins == [b"\x89PNG\r", b"%PDF-", b"<?xml"]
    axes = Figure().subplots()
    assert Sheet.checked(axes, output_path=str(tmp_path / "d.png")).finished(axes) is axes
    assert (tmp_path / "d.png").stat().st_size


@pytest.mark.parametrize(
    ("path", "match"),
    [
        ("a.jpg", "must end with .png, .pdf, .svg; got 'a.jpg'"),
        ("a", "must end with"),
        (["a.png", "no-such-folder/a.png"], "a folder that is not there: 'no-such-folder'"),
        (5, "a path or a list of paths; got 5"),
        ([5], "a path or a list of paths"),
    ],
)
def test_files_that_cannot_be_written(path: Any, match: str) -> None:
    """Are refused before anything is drawn."""
    with pytest.raises(InvalidInputError, match=match):
        Sheet.checked(None, output_path=path)


def test_text_stays_text(written: OwnFigure, tmp_path: Path) -> None:
    """Whoever saves the figure, and whatever the settings are; these stay as they are."""
    settings = dict(mpl.rcParams)
    write(written, [tmp_path / "ours.pdf", tmp_path / "ours.svg"])
    written.savefig(tmp_path / "theirs.pdf")
    written.savefig(tmp_path / "theirs.svg")
    for name in ("ours", "theirs"):
        assert (
            b"/FontType 42" in (tmp_path / f"{name}.pdf").read_bytes().replace(b"/Subtype /Type42", b"/FontType 42")
            or b"/FontFile2" in (tmp_path / f"{name}.pdf").read_bytes()
        )
        assert ">legible</text>" in (tmp_path / f"{name}.svg").read_text(encoding="utf-8")
    assert dict(mpl.rcParams) == settings


def test_the_same_figure_is_the_same_file(written: OwnFigure, tmp_path: Path) -> None:
    """Whenever it is written."""
    for suffix in ("png", "pdf", "svg"):
        files = [tmp_path / f"{name}.{suffix}" for name in "ab"]
        for file in files:
            write(written, [file])
        assert files[0].read_bytes() == files[1].read_bytes()


def test_a_notebook_shows_it(written: OwnFigure) -> None:
    """As a PNG, by itself; and pyplot, whose figures a notebook shows too, does not know it."""
    assert written._repr_png_().startswith(b"\x89PNG")
    assert plt.get_fignums() == []


def test_a_window(written: OwnFigure, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the figure itself; pyplot's own figures and which of them is current stay."""
    plt.close("all")
    plt.figure(), plt.figure()
    plt.figure(1)
    seen: list[Any] = []
    monkeypatch.setattr(plt, "show", lambda: seen.append((plt.get_fignums(), plt.gcf())))
    canvas = written.canvas
    try:
        Sheet.checked(None, show=True).finished(written)
        assert seen == [([1, 2, 3], written)]
        assert plt.get_fignums() == [1, 2]
        assert plt.gcf().number == 1
        assert written.canvas is canvas
        Sheet.checked(axes := plt.gcf().subplots(), show=True).finished(axes)
        assert seen[1] == ([1, 2], plt.gcf())
        assert plt.get_fignums() == [1, 2]
    finally:
        plt.close("all")


def test_no_window_without_asking(written: OwnFigure) -> None:
    """Nor a warning that there is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Sheet.checked(None).finished(written)
    with pytest.raises(InvalidInputError, match="show must be True or False"):
        Sheet.checked(None, show=1)  # type: ignore[arg-type]


def test_a_notebook_shows_a_figure_once(written: OwnFigure, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where `show=True` has put it into the output of a cell, being that cell's value adds no second one."""
    shell = SimpleNamespace(execution_count=1)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    with pytest.raises(NotImplementedError):  # by which IPython shows it as it would
        written._ipython_display_()
    monkeypatch.setattr(canvas, "_open_window", lambda figure: None)
    monkeypatch.setattr(mpl, "get_backend", lambda: "inline")
    assert Sheet.checked(None, show=True).finished(written)._ipython_display_() is None
    shell.execution_count = 2
    with pytest.raises(NotImplementedError):
        written._ipython_display_()
