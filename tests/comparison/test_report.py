"""report.html: its data, its size, and what it does in a browser's sandbox."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gradiend_mlflow import Comparison, TopKSet, WeightSpace, compute_overlap
from gradiend_mlflow.comparison.report import report_data, write_report
from tests.support.browser import chromium, needs_browser

SPACE = WeightSpace(("layer.0.query", "layer.1.key"), ((20, 10), (100,)))


def comparison_of(
    n: int, k: int = 20, stored: int = 60, value: Any = "intersection_frac", **options: Any
) -> Comparison:
    """A comparison of sets that overlap, as `compare` makes it."""
    random = np.random.default_rng(n)
    label = options.pop("label", "run {}").format
    whole = {label(i): TopKSet.from_indices(random.permutation(300)[:stored], space=SPACE) for i in range(n)}
    cut = {name: topk_set.top(k) for name, topk_set in whole.items()}
    runs = pd.DataFrame({"label": list(cut), "run_id": [f"{i:032x}" for i in range(n)]})
    return Comparison(compute_overlap(cut), cut, whole, runs, "decoder-weight", k, value, **options)


def test_the_data_are_the_comparisons() -> None:
    """Every pair at every k, and what was asked in its place."""
    comparison = comparison_of(4)
    data = report_data(comparison)
    assert [step["name"] for step in data["steps"]] == ["top 10", "as asked: top 20", "top 50", "top 60"]
    assert data["asked"] == 1
    rows = np.triu_indices(4, k=1)
    for step, k in zip(data["steps"], (10, 20, 50, 60), strict=True):
        overlap = comparison.whole.top(k)
        assert step["sizes"] == [k] * 4
        assert step["shared"] == overlap.intersection[rows].tolist()
        np.testing.assert_allclose(step["expected"], overlap.chance().expected[rows], rtol=1e-3)
        np.testing.assert_allclose(step["p"], -np.log10(overlap.chance().p_value[rows]), atol=1e-2)
    assert sorted(data["orders"]["by cluster"]) == data["orders"]["as given"] == [0, 1, 2, 3]


def test_the_shared_weights_are_there() -> None:
    """Each that two runs hold, with the runs' ranks."""
    comparison = comparison_of(3)
    data = report_data(comparison)
    frame = comparison.shared_weights()
    found = [(data["params"][param], tuple(at), tuple(ranks)) for param, at, _, ranks, _ in data["weights"]]
    assert found == list(zip(frame["param"], frame["coordinates"], frame["ranks"], strict=True))
    assert data["weights"][0][4] == [None] * len(data["weights"][0][2])  # unknown ones


def test_other_measures_come_as_numbers() -> None:
    """Those that the page cannot compute from counts."""
    comparison = comparison_of(3, value="rbo")
    step = report_data(comparison)["steps"][1]
    np.testing.assert_allclose(step["values"], comparison.overlap.rbo[np.triu_indices(3, k=1)], rtol=1e-3)


def test_many_runs_stay_within_bounds(tmp_path: Path) -> None:
    """Fewer positions of the slider, the first runs only; the page says so."""
    data = report_data(comparison_of(510, k=2, stored=200))
    assert len(data["labels"]) == 500
    assert len(data["steps"]) <= 4
    assert data["left_out"] == [
        "the first 500 of 510 runs are shown",
        "the slider has fewer positions, because there are many pairs",
    ]
    page = tmp_path / "report.html"
    write_report(comparison_of(100), page)
    assert page.stat().st_size < 3_000_000


def test_the_page_needs_nothing_beside_it(tmp_path: Path) -> None:
    """No address is loaded, nothing is stored; what is in it unpacks; the same comparison gives the same bytes."""
    page = tmp_path / "report.html"
    write_report(comparison_of(3), page)
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"""(?:src|href)\s*=|@import|url\(|localStorage|sessionStorage|fetch\(""", text)
    packed = re.search(r'id="data">([^<]+)<', text)
    assert packed is not None
    assert json.loads(gzip.decompress(base64.b64decode(packed[1])))["labels"] == ["run 0", "run 1", "run 2"]
    write_report(comparison_of(3), tmp_path / "again.html")
    assert (tmp_path / "again.html").read_bytes() == page.read_bytes()


@needs_browser
class TestInTheSandbox:
    """As the MLflow UI shows it: in a frame that may run scripts and nothing else."""

    @pytest.fixture
    def page(self) -> Iterator[Any]:
        """A browser's page that fails a test for any error and any request."""
        with chromium() as browser:
            page = browser.new_page(viewport={"width": 1300, "height": 900})
            faults: list[str] = []
            page.on("pageerror", lambda error: faults.append(str(error)))
            page.on("request", lambda request: faults.append(request.url))
            yield page
            assert faults == []

    @staticmethod
    def show(page: Any, comparison: Comparison, folder: Path) -> Any:
        """The frame with the comparison's report."""
        file = folder / "report.html"
        write_report(comparison, file)
        page.set_content("<iframe sandbox='allow-scripts' style='width:1250px;height:860px'></iframe>")
        page.evaluate("html => { document.querySelector('iframe').srcdoc = html }", file.read_text(encoding="utf-8"))
        frame = page.frame_locator("iframe")
        frame.locator("body[data-ready]").wait_for(timeout=60_000)
        return frame

    def test_labels_are_text(self, page: Any, tmp_path: Path) -> None:
        """Nothing in a label, a note or a parameter's name is run, loaded or followed, in tables and in the map."""
        harm = "<img src=http://127.0.0.1:9/x onerror=hacked=1></script><script>hacked=1</script>"
        link = "<a href='javascript:hacked=1'>x</a>"
        frame = self.show(page, comparison_of(4, label=f"{{}} {harm} {link}", notes=(harm + link,)), tmp_path)
        frame.locator("#pairs tbody tr").first.click()
        frame.locator("#weights table").wait_for()
        assert frame.locator("#pairs td.name").first.inner_text().startswith(("0 <img", "1 <img", "2 <img", "3 <img"))
        assert frame.locator("img").count() == 0
        assert frame.locator("a[href^=javascript], a[*|href^=javascript]").count() == 0
        assert frame.locator("body").evaluate("() => typeof hacked") == "undefined"

    def test_pairs_are_sorted(self, page: Any, tmp_path: Path) -> None:
        """The most overlapping first; by what is clicked then, either way; only those of a run that is looked for."""
        comparison = comparison_of(5)
        frame = self.show(page, comparison, tmp_path)
        pairs = comparison.to_frame("pairs")
        rows = frame.locator("#pairs tbody tr")
        assert rows.count() == 10
        table, place = (frame.locator(name).bounding_box() for name in ("#pairs table", "#pairs"))
        assert table["width"] <= place["width"]  # no column is out of sight
        first = pairs.iloc[0]
        assert rows.first.locator("td").nth(3).inner_text() == str(first["intersection"])
        for _ in range(2):
            frame.locator("#pairs th", has_text="shared").click()
        counts = [int(rows.nth(i).locator("td").nth(3).inner_text()) for i in range(10)]
        assert counts == sorted(counts)
        frame.locator("#find").fill("RUN 3")
        assert rows.count() == 4
        frame.locator("#find").fill("nobody")
        assert rows.count() == 0
        frame.get_by_text("No run matches “nobody”.").wait_for()

    def test_the_slider_moves_through_k(self, page: Any, tmp_path: Path) -> None:
        """The numbers follow."""
        comparison = comparison_of(2)
        frame = self.show(page, comparison, tmp_path)
        slider = frame.locator("#k")
        for position, k in ((0, 10), (3, 60), (1, 20)):
            slider.fill(str(position))
            shared = comparison.whole.top(k).intersection[0, 1]
            assert frame.locator("#pairs tbody td").nth(3).inner_text() == str(shared)
        assert frame.locator("#step").inner_text() == "as asked: top 20"

    def test_a_cell_tells_its_numbers_and_its_weights(self, page: Any, tmp_path: Path) -> None:
        """Hovered: counts, share, chance, p. Clicked: the weights, with ranks."""
        comparison = comparison_of(2, k=50)
        frame = self.show(page, comparison, tmp_path)
        box = frame.locator("#map .heatmaplayer image").bounding_box()
        page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 0.3 * box["height"], steps=5)
        shared = comparison.overlap.intersection[0, 1]
        hover = frame.locator("#map .hoverlayer")
        hover.get_by_text(f"{shared} shared").wait_for()
        said = hover.text_content()
        for expected in ("run 0", "run 1", f"{shared / 50:.1%}".replace("%", " %"), "by chance 8.33", "p 0."):
            assert expected in said
        page.mouse.click(box["x"] + 0.7 * box["width"], box["y"] + 0.3 * box["height"])
        frame.locator("#weights h2").wait_for()
        assert frame.locator("#weights tbody tr").count() == shared
        best = comparison.shared_weights().iloc[0]
        cells = frame.locator("#weights tbody tr").first.locator("td").all_inner_texts()
        assert cells[0] == best["param"]
        assert (int(cells[2]), int(cells[3])) == best["ranks"]

    def test_who_else_holds_a_weight_is_counted_at_the_sliders_k(self, page: Any, tmp_path: Path) -> None:
        """Not at the one that was asked for."""
        comparison = comparison_of(6, k=60)
        frame = self.show(page, comparison, tmp_path)
        frame.locator("#pairs tbody tr").first.click()
        heading = frame.locator("#weights h2").inner_text()
        pair = set(re.findall(r"run \d", heading))
        for position, k in ((3, 60), (0, 10)):
            frame.locator("#k").fill(str(position))
            holders: dict[int, set[str]] = {}
            for label, topk_set in comparison.sets.items():
                for key in topk_set.top(k).base_global_indices().tolist():
                    holders.setdefault(key, set()).add(label)
            expected = sorted(len(labels) for labels in holders.values() if pair <= labels)
            cells = frame.locator("#weights tbody tr td:last-child").all_inner_texts()
            assert sorted(map(int, cells)) == expected

    def test_nothing_is_sent_to_anybody(self, page: Any, tmp_path: Path) -> None:
        """Plotly by itself offers to upload the chart to its maker's server."""
        frame = self.show(page, comparison_of(2), tmp_path)
        frame.locator("#map .modebar-btn").first.wait_for(state="attached")
        offered = frame.locator("#map .modebar-btn").evaluate_all("all => all.map(one => one.dataset.title)")
        assert offered == ["Download plot as a PNG", "Zoom", "Pan", "Reset axes"]

    def test_small_numbers_are_numbers(self, page: Any, tmp_path: Path) -> None:
        """What chance gives a small k is not nothing."""
        comparison = comparison_of(2, k=1, stored=20)
        frame = self.show(page, comparison, tmp_path)
        assert float(frame.locator("#pairs tbody td").nth(4).inner_text()) == pytest.approx(1 / 300, rel=0.05)

    def test_names_are_text(self, page: Any, tmp_path: Path) -> None:
        """Whatever a run is called, the page shows it and runs none of it."""
        frame = self.show(page, comparison_of(2, label="<img src=x onerror=alert({})>"), tmp_path)
        assert frame.locator("#pairs tbody td").first.get_attribute("title") == "<img src=x onerror=alert(0)>"
        assert frame.locator("img").count() == 0
