"""The picture that each training logs."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import matplotlib as mpl
import numpy as np
import pytest
from PIL.Image import Image

from gradiend_mlflow import TopKSet, WeightSpace
from gradiend_mlflow.sets import picture
from gradiend_mlflow.sets.picture import topk_picture
from tests.figures.examples import SPACE
from tests.support.sampling import quick


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[float, float]]]:
    """Every text that is written from now on, upright or turned, with its place."""
    texts: list[tuple[str, tuple[float, float]]] = []
    write, turned = picture._Painter.write, picture._Painter._turned

    def noting(self: picture._Painter, at: tuple[float, float], text: str, *more: str | float) -> None:
        texts.append((text, at))
        write(self, at, text, *more)

    def noting_turned(self: picture._Painter, text: str, *more: float) -> Image:
        texts.append((text, (0, 0)))
        return turned(self, text, *more)

    monkeypatch.setattr(picture._Painter, "write", noting)
    monkeypatch.setattr(picture._Painter, "_turned", noting_turned)
    return texts


def color_at(image: Image, at: tuple[float, float]) -> tuple[int, ...]:
    """The color of a cell beside the number in its middle."""
    pixel = image.getpixel((round(at[0]) - 15, round(at[1])))
    assert isinstance(pixel, tuple)
    return pixel


def test_the_picture_of_one_run(written: list[tuple[str, tuple[float, float]]]) -> None:
    """A panel per part: layers by components, colors of one scale, numbers in cells that have weights."""
    one, two = (TopKSet.from_indices(x, space=SPACE) for x in ([0, 11, 12, 41], [20]))
    image = topk_picture({"decoder-weight": one, "encoder-weight": two})
    texts = [text for text, _ in written]
    columns = ["embedding", "attention_query", "mlp_down"]
    assert texts == [
        *("decoder-weight, top 4", "50", "25", "25", *columns),
        *("encoder-weight, top 1", "100", *columns),
        *("layer_0", "layer_1", "layer_10", "other"),
        *("0", "25", "50", "75", "100", "of the set's weights (%)"),
    ]
    places = dict(reversed(written))  # cells come before the bar
    assert places["layer_0"][1] == places["50"][1]
    assert places["encoder-weight, top 1"][0] > places["decoder-weight, top 4"][0] + 100
    np.testing.assert_allclose(
        color_at(image, places["50"]), np.array(mpl.colormaps["viridis"](0.5)[:3]) * 255, atol=1
    )
    np.testing.assert_allclose(
        color_at(image, places["100"]), np.array(mpl.colormaps["viridis"](255)[:3]) * 255, atol=1
    )


def test_colors_are_those_of_other_figures() -> None:
    """All 256 of them, up to rounding."""
    np.testing.assert_allclose(picture._viridis(), mpl.colormaps["viridis"](np.arange(256))[:, :3] * 255, atol=1.5)


def test_what_rounds_to_nothing_has_no_number(written: list[tuple[str, tuple[float, float]]]) -> None:
    """Half a percent would be written as 0."""
    space = WeightSpace(("layer.0.query", "layer.1.query"), ((1,), (199,)))
    topk_picture({"decoder-weight": TopKSet.from_indices(range(200), space=space)})
    assert [text for text, _ in written][:2] == ["decoder-weight, top 200", "100"]


@pytest.mark.parametrize(("layers", "experts", "named"), quick([(1, 1, 1), (80, 2, 80), (1000, 400, 112)], first=2))
def test_models_of_every_size(
    layers: int, experts: int, named: int, written: list[tuple[str, tuple[float, float]]]
) -> None:
    """The picture has a largest size; where names would overlap, every so many are written."""
    names = [f"layers.{layer}.experts.{expert}.up_proj" for layer in range(layers) for expert in range(experts)]
    space = WeightSpace(tuple(names), ((1,),) * len(names))
    image = topk_picture({"encoder-weight": TopKSet.from_indices([0], space=space)})
    assert image.width < 2900
    assert image.height < 1900
    rows = [at[1] for text, at in written if text.startswith("layer_")]
    assert len(rows) == named
    assert all(np.diff(rows) > 12)


def test_without_the_font_of_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a distribution keeps it elsewhere, Pillow's own is taken."""
    sets = {"decoder-weight": TopKSet.from_indices([1], space=9)}
    usual = topk_picture(sets)
    monkeypatch.setattr(picture, "find_spec", lambda name: find_spec("numpy"))
    assert topk_picture(sets).tobytes() != usual.tobytes()


def test_a_picture_needs_no_matplotlib(run_python: Callable[[str], str]) -> None:
    """A training's process loads it for gradiend's figures only."""
    script = (
        "import sys\nfrom gradiend_mlflow import TopKSet\nfrom gradiend_mlflow.sets.picture import topk_picture\n"
        "topk_picture({'decoder-weight': TopKSet.from_indices([1], space=9)})\n"
        "print('PIL' in sys.modules, 'matplotlib' in sys.modules)"
    )
    assert run_python(script).split() == ["True", "False"]
