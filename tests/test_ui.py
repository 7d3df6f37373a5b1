"""What people see: a real browser on a real `mlflow server`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from gradiend_mlflow import Comparison, autolog, compare, flush
from tests.support.browser import chromium, needs_browser
from tests.support.trainings import MakeTrainer

pytestmark = needs_browser
PATIENCE = 60_000  # milliseconds; a machine that runs tests is slow


@pytest.fixture(scope="module")
def comparison(logged: dict[str, Path], server: str) -> Comparison:
    """The comparison of the three trainings, logged."""
    return compare(experiment_names="pronouns", topk=500, run_name="to look at", tracking_uri=server)


@pytest.fixture
def page() -> Iterator[Any]:
    """A window of a browser; a new one each time, because the UI takes an artifact's address only when it starts."""
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1500, "height": 1000})
        page.set_default_timeout(PATIENCE)
        yield page


@pytest.fixture
def run_page(comparison: Comparison, server: str) -> str:
    """The address of the comparison's run."""
    return f"{server}/#/experiments/{comparison.runs['experiment_id'][0]}/runs/{comparison.run_id}"


def test_the_run_list(page: Any, comparison: Comparison, server: str) -> None:
    """Trainings and the comparison are listed by their names."""
    page.goto(f"{server}/#/experiments/{comparison.runs['experiment_id'][0]}/runs?workflowType=machine_learning")
    for name in [*comparison.runs["run_name"], "to look at"]:
        page.get_by_text(name, exact=True).first.wait_for()


def test_the_views_open(page: Any, comparison: Comparison, server: str) -> None:
    """Each lists its kind of runs, with its columns, under its name."""
    base = f"{server}/#/experiments/{comparison.runs['experiment_id'][0]}/runs?workflowType=machine_learning"
    for view, name, column, absent in (
        ("trainings", "Trainings", "best/correlation", "to look at"),
        ("comparisons", "Comparisons", "overlap/mean", comparison.runs["run_name"][0]),
    ):
        page.goto("about:blank")
        page.goto(f"{base}&viewStateShareKey=gradiend-{view}")
        page.get_by_role("button", name=name).first.wait_for()
        page.get_by_role("columnheader", name=column).first.wait_for()
        assert page.get_by_text(absent, exact=True).count() == 0


def test_a_trainings_data_and_model_are_in_its_row(page: Any, make_trainer: MakeTrainer, server: str) -> None:
    """In the columns of the view that links open; the model's leads to its page."""
    autolog(experiment_name="row", log_models=True, tracking_uri=server)
    make_trainer().train()
    assert flush()
    experiment = MlflowClient(server).get_experiment_by_name("row")
    page.set_viewport_size({"width": 3000, "height": 900})  # the list only has the columns that are to be seen
    page.goto(
        f"{server}/#/experiments/{experiment.experiment_id}/runs"
        "?workflowType=machine_learning&viewStateShareKey=gradiend-trainings"
    )
    for column in ("Dataset", "Models"):
        page.get_by_role("columnheader", name=column, exact=True).first.wait_for()
    page.get_by_text(re.compile(r"^3SG \([0-9a-f]{16}\)$")).first.wait_for()
    (model,) = MlflowClient(server).search_logged_models([experiment.experiment_id])
    page.locator(f"a[href$='/experiments/{experiment.experiment_id}/models/{model.model_id}']").first.wait_for()


def test_a_trainings_page_begins_with_its_description(page: Any, comparison: Comparison, server: str) -> None:
    """What it is and came to, and the picture of its weights, which is really there."""
    first = comparison.runs.iloc[0]
    page.goto(f"{server}/#/experiments/{first['experiment_id']}/runs/{first['run_id']}")
    page.get_by_text(" vs ".join(first["target_classes"])).first.wait_for()
    description, metrics = (page.get_by_text(text).first.bounding_box() for text in ("correlation", "Metrics ("))
    assert description["y"] < metrics["y"]
    picture = page.locator("img[src*='topk_layers.png']").first
    picture.wait_for()
    page.wait_for_function("image => image.complete && image.naturalWidth > 300", arg=picture.element_handle())


def test_the_description_is_a_page_with_links(page: Any, comparison: Comparison, server: str, run_page: str) -> None:
    """The answer, the table of pairs, and a link that leads to a training's run."""
    page.goto(run_page)
    mean = comparison.to_frame("pairs")["intersection_frac"].mean()
    page.get_by_text(f"Two runs share {mean:.1%} of their top 500 weights on average").wait_for()
    row = page.locator("table tr", has_text="q-value")
    row.first.wait_for()
    first = comparison.runs.iloc[0]
    link = page.get_by_role("link", name=first["label"], exact=True).first
    target = link.get_attribute("href")
    assert target == f"#/experiments/{first['experiment_id']}/runs/{first['run_id']}"
    page.goto(f"{server}/{target}")  # the link opens a tab of its own
    page.get_by_role("heading", name=first["run_name"]).wait_for()


@pytest.mark.long
def test_the_heatmap_is_previewed(page: Any, run_page: str) -> None:
    """As a picture, whole."""
    page.goto(f"{run_page}/artifacts/overlap_heatmap.png")
    picture = page.locator("img[src^='blob:'], img[src*='overlap_heatmap']").first
    picture.wait_for()
    page.wait_for_function("image => image.complete && image.naturalWidth > 300", arg=picture.element_handle())


def test_comparisons_are_set_side_by_side(page: Any, comparison: Comparison, server: str) -> None:
    """Among the charts of the view: the numbers first, then the pictures, none of them cut."""
    page.set_viewport_size({"width": 1400, "height": 2200})  # the UI loads the pictures that are to be seen
    address = f"{server}/#/experiments/{comparison.runs['experiment_id'][0]}/runs?workflowType=machine_learning"
    page.goto(f"{address}&viewStateShareKey=gradiend-comparisons&compareRunsMode=CHART")
    heading, title = page.get_by_text("overlap/mean", exact=True).first, page.get_by_text("comparison/heatmap").first
    for text in (heading, title):
        text.wait_for()
    assert heading.bounding_box()["y"] < title.bounding_box()["y"]
    picture = page.locator("img[src^='blob:'], img[src*='artifact']").first
    picture.wait_for()
    page.wait_for_function("image => image.complete && image.naturalWidth > 100", arg=picture.element_handle())
    assert picture.evaluate(
        """image => {
            const shown = image.getBoundingClientRect()
            for (let box = image.parentElement; box; box = box.parentElement) {
                const around = box.getBoundingClientRect()
                if (getComputedStyle(box).overflow !== "visible" && around.width && around.right < shown.right - 1)
                    return false
            }
            return true
        }"""
    )


def test_the_report_works_in_the_ui(page: Any, comparison: Comparison, run_page: str) -> None:
    """In the UI's frame: the pairs are there, the slider moves them, a pair opens its weights, with what they are."""
    page.goto(f"{run_page}/artifacts/report.html")
    frame = page.frame_locator("iframe").first
    frame.locator("body[data-ready]").wait_for()
    rows = frame.locator("#pairs tbody tr")
    assert rows.count() == 3
    shared = comparison.to_frame("pairs")["intersection"][0]
    assert rows.first.locator("td").nth(1).inner_text() == f"{shared:,}"
    frame.locator("#k").fill("0")
    counts = comparison.whole.top(10).intersection[[0, 0, 1], [1, 2, 2]]
    assert sorted(int(rows.nth(i).locator("td").nth(1).inner_text()) for i in range(3)) == sorted(counts.tolist())
    frame.locator("#k").fill("5")
    rows.first.click()
    weights = frame.locator("#weights tbody tr")
    weights.first.wait_for()
    best = comparison.shared_weights(min_runs=2)
    named = tuple(weights.first.locator("td.text").all_inner_texts()[:2])
    assert named in set(zip(best["layer"], best["component"], strict=True))
    assert frame.locator(".over span").count() == 9
