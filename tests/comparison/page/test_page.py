# ruff: noqa: RUF001  # the page writes dashes and signs that look like others
"""What the report's page says and does in a browser's sandbox."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gradiend_mlflow import Comparison
from gradiend_mlflow.comparison.report import write_report
from gradiend_mlflow.overlap.statistics.group_test import GroupTest
from gradiend_mlflow.sets.anatomy.anatomy import Anatomy
from tests.support.browser import chromium, needs_browser
from tests.support.comparisons import comparison_of

pytestmark = needs_browser
TWO_GROUPS = {f"run {row}": "odd" if row % 2 else "even" for row in range(6)}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One for all tests here: it takes a second to start."""
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page of its own that fails a test for any error and any request."""
    context = browser.new_context(viewport={"width": 1300, "height": 900})
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: faults.append(request.url))
    yield page
    context.close()
    assert faults == []


def show(page: Any, comparison: Comparison, folder: Path, width: int = 1250) -> Any:
    """The report as the MLflow UI shows it: in a frame that may run scripts and nothing else."""
    file = folder / "report.html"
    write_report(comparison, file)
    page.set_content(f"<iframe sandbox='allow-scripts' style='border:0;width:{width}px;height:860px'></iframe>")
    page.evaluate("html => { document.querySelector('iframe').srcdoc = html }", file.read_text(encoding="utf-8"))
    frame = page.frame_locator("iframe")
    frame.locator("body[data-ready]").wait_for(timeout=60_000)
    return frame


def table_of(frame: Any, section: str) -> list[list[str]]:
    """The texts of a table's rows that are to be seen, below the headings."""
    script = "rows => rows.map(row => [...row.cells].filter(cell => cell.offsetWidth).map(cell => cell.innerText))"
    return frame.locator(f"#{section} tr").evaluate_all(script)


def column_of(frame: Any, section: str, heading: str) -> list[str]:
    """The cells below a heading."""
    headings, *rows = table_of(frame, section)
    at = [re.sub(r" [▲▼]", "", text) for text in headings].index(heading)
    return [row[at] for row in rows]


def percent(share: float) -> str:
    """A share as the page writes it."""
    return "–" if math.isnan(share) else f"{100 * share:.{2 if share and abs(share) < 0.1 else 1}f}%"


class TestTheMap:
    """Cells, names and brackets."""

    def test_runs_stand_by_group_with_numbers_and_brackets(self, page: Any, tmp_path: Path) -> None:
        """The cells are the matrix in the order of the groups; each side names runs and groups."""
        comparison = comparison_of(6, groups=TWO_GROUPS)
        frame = show(page, comparison, tmp_path)
        rows = [0, 2, 4, 1, 3, 5]
        expected = [f"{100 * value:.0f}" for value in comparison.matrix.to_numpy()[np.ix_(rows, rows)].ravel()]
        assert frame.locator(".over span").all_inner_texts() == expected
        for side in ("top", "left"):
            assert frame.locator(f".{side} .names > *").all_inner_texts() == [f"run {row}" for row in rows]
            assert frame.locator(f".{side} .bracket").all_inner_texts() == ["even", "odd"]
        first, second = (frame.locator(".top .bracket").nth(i).bounding_box() for i in range(2))
        plane = frame.locator(".plane").bounding_box()
        assert first["x"] == pytest.approx(plane["x"], abs=1)
        assert second["x"] == pytest.approx(plane["x"] + plane["width"] / 2, abs=1)

    @pytest.mark.parametrize(("runs", "numbers"), [(20, 400), (21, 0)])
    def test_numbers_stand_in_the_cells_of_few_runs(self, runs: int, numbers: int, page: Any, tmp_path: Path) -> None:
        """Up to 20; also on a phone, where they have room too."""
        comparison = comparison_of(runs)
        for width in (1250, 430):
            spans = show(page, comparison, tmp_path, width).locator(".over span")
            assert spans.count() == numbers
            if numbers:
                assert spans.evaluate_all("all => all.every(one => one.scrollWidth <= one.clientWidth + 1)")

    def test_a_cell_tells_its_numbers_and_its_weights(self, page: Any, tmp_path: Path) -> None:
        """Pointed at: counts, share, chance, p. Clicked: the weights, with ranks."""
        comparison = comparison_of(2, k=50)
        frame = show(page, comparison, tmp_path)
        box = frame.locator(".plane").bounding_box()
        at = box["x"] + 0.7 * box["width"], box["y"] + 0.3 * box["height"]
        page.mouse.move(*at, steps=5)
        shared = comparison.overlap.intersection[0, 1]
        said = frame.locator("#said").inner_text()
        for expected in ("run 0 and run 1: ", f"{shared} shared", percent(shared / 50), "by chance 8.33", "p "):
            assert expected in said
        page.mouse.click(*at)
        frame.get_by_role("heading", name="Shared by run 0 (1) and run 1 (2)").wait_for()
        assert len(column_of(frame, "weights", "rank 1")) == shared
        a, b = comparison.shared_weights().iloc[0]["ranks"]
        assert (column_of(frame, "weights", "rank 1")[0], column_of(frame, "weights", "rank 2")[0]) == (str(a), str(b))

    def test_the_keyboard_does_all_of_it(self, page: Any, tmp_path: Path) -> None:
        """Arrows move, Enter chooses and goes to the weights, headings sort."""
        comparison = comparison_of(4)
        frame = show(page, comparison, tmp_path)
        frame.locator("#k").focus()
        page.keyboard.press("Tab")
        for key in ("End", "ArrowDown", "ArrowDown", "ArrowLeft", "ArrowLeft"):
            page.keyboard.press(key)
        assert frame.locator("#said").inner_text().startswith("run 2 and run 1: ")
        page.keyboard.press("Enter")
        assert frame.locator("#weights h2").inner_text() == "Shared by run 1 (1) and run 2 (2)"
        assert frame.locator("#pairs tr.chosen").inner_text().startswith("run 1\nrun 2")
        frame.locator("#down").press("Enter")
        assert frame.locator("#weights h2").evaluate("node => node === document.activeElement")
        heading = frame.locator("#pairs th", has_text="shared")
        heading.get_by_role("button").press("Enter")
        assert heading.get_attribute("aria-sort") == "descending"
        heading.get_by_role("button").press("Enter")
        assert heading.get_attribute("aria-sort") == "ascending"
        assert heading.get_by_role("button").evaluate("node => node === document.activeElement")

    def test_many_runs_are_enlarged(self, page: Any, tmp_path: Path) -> None:
        """Until their names can be read."""
        frame = show(page, comparison_of(100, k=5, stored=5), tmp_path, 430)
        assert frame.locator(".names").count() == 0
        assert frame.locator("#map").evaluate("map => map.scrollWidth <= map.clientWidth")
        for _ in range(4):
            frame.locator("#larger").click()
        assert frame.locator(".left .names > *").count() == 100
        assert frame.locator("#map").evaluate("map => map.scrollWidth > map.clientWidth")


class TestPairs:
    """The table of pairs and the slider."""

    def test_pairs_are_sorted(self, page: Any, tmp_path: Path) -> None:
        """The most overlapping first; by what is clicked then, either way; only those of a run that is looked for."""
        comparison = comparison_of(5)
        frame = show(page, comparison, tmp_path)
        pairs = comparison.to_frame("pairs")
        assert column_of(frame, "pairs", "runs") == [f"{a}\n{b}" for a, b in zip(pairs["a"], pairs["b"], strict=True)]
        assert column_of(frame, "pairs", "shared") == pairs["intersection"].astype(str).tolist()
        assert column_of(frame, "pairs", "of smaller") == [*map(percent, pairs["intersection_frac"])]
        place, table = (frame.locator(name).bounding_box() for name in ("#pairs", "#pairs table"))
        assert table["width"] <= place["width"]  # no column is out of sight
        for _ in range(2):
            frame.locator("#pairs th button", has_text="shared").click()
        counts = [*map(int, column_of(frame, "pairs", "shared"))]
        assert counts == sorted(counts)
        frame.locator("#pairs-find").fill("RUN 3")
        assert len(column_of(frame, "pairs", "runs")) == 4
        frame.locator("#pairs-find").fill("nobody")
        frame.get_by_text("no pairs with “nobody”").wait_for()

    def test_pairs_are_turned_page_by_page(self, page: Any, tmp_path: Path) -> None:
        """Each is on one of them."""
        comparison = comparison_of(7)
        frame = show(page, comparison, tmp_path)
        found = column_of(frame, "pairs", "runs")
        assert frame.get_by_text("1–12 of 21 pairs").is_visible()
        frame.get_by_role("button", name="Next pairs").click()
        found += column_of(frame, "pairs", "runs")
        assert frame.get_by_role("button", name="Next pairs").get_attribute("aria-disabled") == "true"
        pairs = comparison.to_frame("pairs")
        assert found == [f"{a}\n{b}" for a, b in zip(pairs["a"], pairs["b"], strict=True)]
        assert frame.get_by_text("13–21 of 21 pairs").is_visible()

    def test_the_slider_moves_through_k(self, page: Any, tmp_path: Path) -> None:
        """The numbers follow."""
        comparison = comparison_of(2)
        frame = show(page, comparison, tmp_path)
        for position, k in ((0, 10), (3, 60), (1, 20)):
            frame.locator("#k").fill(str(position))
            shared = comparison.whole.top(k).intersection[0, 1]
            assert column_of(frame, "pairs", "shared") == [str(shared)]
        assert frame.locator("#step").inner_text() == "top 20 (as asked)"

    @pytest.mark.parametrize("value", ["intersection", "jaccard", "cosine_signed"])
    def test_any_measure_is_shown(self, value: Any, page: Any, tmp_path: Path) -> None:
        """What was asked at first, the others by choice."""
        comparison = comparison_of(3, value=value)
        frame = show(page, comparison, tmp_path)
        numbers = comparison.to_frame("pairs")[value]
        heading = {"intersection": "shared"}.get(value, value.replace("_", " "))
        written = [str(number) if value == "intersection" else percent(number) for number in numbers]
        assert column_of(frame, "pairs", heading) == written
        frame.locator("#measure").select_option("lift")
        lift = np.sort(comparison.chance().lift[np.triu_indices(3, k=1)])[::-1]
        np.testing.assert_allclose([*map(float, column_of(frame, "pairs", "× chance"))], lift, atol=0.01)

    def test_small_numbers_are_numbers(self, page: Any, tmp_path: Path) -> None:
        """What chance gives a small k is not nothing."""
        frame = show(page, comparison_of(2, k=1, stored=20), tmp_path)
        assert float(column_of(frame, "pairs", "by chance")[0]) == pytest.approx(1 / 300, rel=0.05)


class TestGroups:
    """What groups share, and whether they are ones."""

    def test_the_table_is_that_of_the_comparison(self, page: Any, tmp_path: Path) -> None:
        """Means and largest values within and between; the test's means; its sentence on top."""
        comparison = comparison_of(6, groups=TWO_GROUPS)
        frame = show(page, comparison, tmp_path)
        test = comparison.test_groups()
        rows = {row[0]: row[1:] for row in table_of(frame, "groups")[1:]}
        assert rows.pop("within groups")[:2] == ["6", percent(test.within)]
        assert rows.pop("between groups")[:2] == ["9", percent(test.between)]
        blocks = comparison.to_frame("groups")
        assert len(rows) == len(blocks)
        for a, b, pairs, mean, most in blocks.itertuples(index=False):
            assert rows[f"within {a}" if a == b else f"{a} × {b}"] == [str(pairs), percent(mean), percent(most)]
        assert str(test) in frame.locator("#answer").inner_text()
        per_group = test.per_group
        assert column_of(frame, "tests", "group") == list(per_group.index)
        for heading, name in (("within", "within"), ("others", "against"), ("difference", "difference")):
            assert column_of(frame, "tests", heading) == [*map(percent, per_group[name])]
        for heading, name in (("p", "p_value"), ("p (Holm)", "p_holm")):
            np.testing.assert_allclose([*map(float, column_of(frame, "tests", heading))], per_group[name], rtol=0.05)

    def test_the_table_follows_the_slider(self, page: Any, tmp_path: Path) -> None:
        """And the measure; the test stays as asked."""
        comparison = comparison_of(6, groups=TWO_GROUPS)
        frame = show(page, comparison, tmp_path)
        tests = table_of(frame, "tests")
        frame.locator("#k").fill("0")
        frame.locator("#measure").select_option("jaccard")
        expected = comparison.whole.top(10).test_groups(TWO_GROUPS, value="jaccard")
        assert column_of(frame, "groups", "mean")[:2] == [percent(expected.within), percent(expected.between)]
        assert table_of(frame, "tests") == tests

    def test_runs_in_no_group_are_neither_within_nor_between(self, page: Any, tmp_path: Path) -> None:
        """As in the test."""
        groups = {**TWO_GROUPS, "run 4": "Other", "run 5": "Other"}
        comparison = comparison_of(6, groups=groups)
        frame = show(page, comparison, tmp_path)
        test = comparison.test_groups()
        assert column_of(frame, "groups", "mean")[:2] == [percent(test.within), percent(test.between)]
        assert column_of(frame, "groups", "pairs")[:2] == ["2", "4"]
        assert any("In no group" in note for note in frame.locator("#notes li").all_inner_texts())

    def test_groups_that_cannot_be_tested_are_said_to_be(self, page: Any, tmp_path: Path) -> None:
        """With the reason, and with their means."""
        comparison = comparison_of(3, groups={f"run {row}": f"group {row}" for row in range(3)})
        frame = show(page, comparison, tmp_path)
        assert not isinstance(comparison.tested, GroupTest)
        assert f"The groups are not tested: {comparison.tested}." in frame.locator("#answer").inner_text()
        assert frame.locator("#tests").is_hidden()
        assert column_of(frame, "groups", "mean")[0].endswith("%")


class TestSeeds:
    """Trainings of several seeds."""

    @pytest.mark.parametrize(
        ("aggregate", "pairing"),
        [("mean", "all_pairs"), ("median", "matched"), ("min", "all_pairs"), ("max", "matched")],
    )
    def test_trainings_have_the_comparisons_numbers(
        self, aggregate: Any, pairing: Any, page: Any, tmp_path: Path
    ) -> None:
        """Beside the diagonal the aggregates, on it the ceiling, which is a table too."""
        comparison = comparison_of(4, seeds=3, aggregate=aggregate, pairing=pairing, noise=0.5)
        frame = show(page, comparison, tmp_path)
        expected = comparison.matrix.to_numpy().copy()
        np.fill_diagonal(expected, comparison.ceiling["mean"])
        shown = np.array(frame.locator(".over span").all_inner_texts(), dtype=float).reshape(4, 4)
        np.testing.assert_allclose(shown, 100 * expected, atol=0.51)
        assert column_of(frame, "pairs", "of smaller") == [*map(percent, comparison.pairs["intersection_frac"])]
        for name in ("mean", "std", "min", "max"):
            assert column_of(frame, "seeds", name) == [*map(percent, comparison.ceiling[name])]
        assert column_of(frame, "seeds", "pairs") == ["3"] * 4

    def test_a_training_of_one_seed_has_no_ceiling(self, page: Any, tmp_path: Path) -> None:
        """A dash on the diagonal, not 100 %; pairs that cannot be judged have one too, and do not count."""
        comparison = comparison_of(4, seeds=[3, 3, 3, 1], aggregate="mean", noise=1.3)
        frame = show(page, comparison, tmp_path)
        diagonal = frame.locator(".over span").all_inner_texts()[:: 4 + 1]
        assert diagonal[3] == "–"
        np.testing.assert_allclose(
            np.array(diagonal[:3], dtype=float), 100 * comparison.ceiling["mean"][:3], atol=0.51
        )
        judged = column_of(frame, "pairs", "at ceiling")
        assert judged.count("–") == 3
        assert judged.count("yes") + judged.count("no") == 3
        assert f"{judged.count('yes')} of 3 pairs of trainings" in frame.locator("#answer").inner_text()

    def test_where_no_pair_can_be_judged_none_is_counted(self, page: Any, tmp_path: Path) -> None:
        """The ceiling is told nevertheless."""
        frame = show(page, comparison_of(2, seeds=[3, 1], aggregate="mean"), tmp_path)
        said = frame.locator("#answer").inner_text()
        assert "which is the ceiling." in said
        assert "of trainings" not in said.partition("Two seeds")[2]

    def test_pairs_at_the_ceiling_are_marked(self, page: Any, tmp_path: Path) -> None:
        """As many as `at_ceiling` has; differences below seed noise are said to be."""
        comparison = comparison_of(5, seeds=3, aggregate="mean", noise=1.3)
        frame = show(page, comparison, tmp_path)
        assert comparison.seed_overlap is not None
        reached = comparison.seed_overlap.at_ceiling()[np.triu_indices(5, k=1)].sum()
        assert 0 < reached < 10
        assert column_of(frame, "pairs", "at ceiling").count("yes") == reached
        assert "so their order is below seed noise" in frame.locator("#answer").inner_text()

    def test_seeds_can_be_the_rows(self, page: Any, tmp_path: Path) -> None:
        """Under brackets of their trainings and groups; groups stay those of trainings."""
        groups = {f"run {row}": "ab"[row % 2] for row in range(4)}
        comparison = comparison_of(4, seeds=2, aggregate="mean", groups=groups)
        frame = show(page, comparison, tmp_path)
        means = column_of(frame, "groups", "mean")
        frame.locator("#view").select_option("seeds")
        order = [0, 1, 4, 5, 2, 3, 6, 7]
        cells = comparison.overlap.values("intersection_frac")[np.ix_(order, order)].ravel()
        assert frame.locator(".over span").all_inner_texts() == [f"{100 * cell:.0f}" for cell in cells]
        brackets = frame.locator(".left .bracket").all_inner_texts()
        assert brackets == ["a", "b", "run 0", "run 2", "run 1", "run 3"]
        assert column_of(frame, "groups", "mean") == means

    def test_where_seeds_were_asked_for_trainings_can_be_the_rows(self, page: Any, tmp_path: Path) -> None:
        """With the mean over all pairs of their seeds, as `trainings` has it."""
        comparison = comparison_of(3, seeds=2)
        frame = show(page, comparison, tmp_path)
        assert frame.locator(".over span").count() == 36
        frame.locator("#view").select_option("trainings")
        overlap = comparison.trainings.values("intersection_frac")
        expected = sorted((percent(overlap[a, b]) for a, b in ((0, 1), (0, 2), (1, 2))), reverse=True)
        assert column_of(frame, "pairs", "of smaller") == expected

    def test_weights_of_trainings_say_how_many_seeds_have_them(self, page: Any, tmp_path: Path) -> None:
        """With the best rank among these."""
        comparison = comparison_of(2, seeds=3, aggregate="mean", noise=0.5)
        frame = show(page, comparison, tmp_path)
        frame.locator("#pairs .pick").click()
        sets = [[*own.base_global_indices().tolist()] for own in comparison.sets.values()]
        shared = set().union(*sets[:3]) & set().union(*sets[3:])
        ranks = [
            tuple(f"{min(own.index(key) + 1 for own in held)} ({len(held)}/3)"
                  for side in (sets[:3], sets[3:]) for held in [[own for own in side if key in own]])
            for key in shared
        ]  # fmt: skip
        found = [*zip(*(column_of(frame, "weights", f"rank {side}") for side in (1, 2)), strict=True)]
        assert sorted(found) == sorted(ranks)


class TestWeights:
    """What the shared weights are."""

    def test_weights_have_names(self, page: Any, tmp_path: Path) -> None:
        """Those of `shared_weights`, of all pairs until one is chosen."""
        comparison = comparison_of(3)
        frame = show(page, comparison, tmp_path)
        expected = comparison.shared_weights()
        shown = expected.head(25)
        for name in ("layer", "component", "head", "neuron", "token"):
            cells = ["–" if pd.isna(cell) else str(cell) for cell in shown[name]]
            assert column_of(frame, "weights", name) == cells
        assert column_of(frame, "weights", "runs with it") == shown["n_runs"].astype(str).tolist()
        at = [
            f"{param}[{', '.join(map(str, where))}]"
            for param, where in zip(shown["param"], shown["coordinates"], strict=True)
        ]
        assert column_of(frame, "weights", "parameter") == at
        frame.locator("#weights-find").fill("[mask]")
        assert f"of {(expected['token'] == '[MASK]').sum()} weights" in frame.locator("#weights .bar").inner_text()
        frame.locator("#pairs .pick").first.click()
        frame.locator("#all").click()
        assert frame.locator("#weights h2").inner_text() == f"{len(expected)} weights in more than one of 3 runs"

    def test_who_else_holds_a_weight_is_counted_at_the_sliders_k(self, page: Any, tmp_path: Path) -> None:
        """Not at the one that was asked for."""
        comparison = comparison_of(6, k=20)
        frame = show(page, comparison, tmp_path)
        frame.locator("#pairs .pick").first.click()
        pair = set(re.findall(r"run \d", frame.locator("#weights h2").inner_text()))
        for position, k in ((1, 20), (0, 10)):
            frame.locator("#k").fill(str(position))
            holders: dict[int, set[str]] = {}
            for label, topk_set in comparison.sets.items():
                for key in topk_set.top(k).base_global_indices().tolist():
                    holders.setdefault(key, set()).add(label)
            expected = sorted(len(labels) for labels in holders.values() if pair <= labels)
            assert sorted(map(int, column_of(frame, "weights", "runs with it"))) == expected


class TestEverywhere:
    """On phones, in the dark, on paper, whatever the names."""

    @pytest.mark.parametrize("runs", [2, 8, 40])
    def test_a_phone_is_wide_enough(self, runs: int, page: Any, tmp_path: Path) -> None:
        """Nothing is wider than the page but the map, which scrolls in itself."""
        groups = {f"run {row}": f"group {row % 3}" for row in range(runs)} if runs > 2 else None
        frame = show(page, comparison_of(runs, groups=groups), tmp_path, 430)
        frame.locator("#pairs .pick").first.click()
        width = "document.documentElement.scrollWidth"
        assert frame.locator("body").evaluate(f"() => {width}") == 430
        frames = "all => all.every(one => one.scrollWidth <= one.clientWidth)"
        assert frame.locator(".frame").evaluate_all(frames)
        assert [*map(str.strip, table_of(frame, "weights")[0])] == ["weight", "rank 1", "rank 2", "runs with it"]
        assert re.match(r"\w+ · \w+", column_of(frame, "weights", "weight")[0])
        assert frame.locator(".left .names > *").count() == runs
        if groups:
            fits = (
                "all => all.every(one => one.scrollWidth <= one.clientWidth && one.scrollHeight <= one.clientHeight)"
            )
            assert frame.locator(".bracket span").count() == 6
            assert frame.locator(".bracket span").evaluate_all(fits)

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_texts_stand_out(self, scheme: str, page: Any, tmp_path: Path) -> None:
        """By a contrast of 4.5 at least (WCAG, level AA), numbers in cells by their own color."""
        page.emulate_media(color_scheme=scheme)
        frame = show(page, comparison_of(6, groups=TWO_GROUPS), tmp_path)
        frame.locator("#pairs .pick").first.click()

        def colors(selector: str) -> tuple[list[float], list[float]]:
            script = """node => {
                const numbers = color => color.match(/[\\d.]+/g).map(Number);
                let back = node;
                while (numbers(getComputedStyle(back).backgroundColor)[3] === 0) back = back.parentElement;
                return [getComputedStyle(node).color, getComputedStyle(back).backgroundColor].map(numbers);
            }"""
            text, back = frame.locator(selector).first.evaluate(script)
            return text[:3], back[:3]

        assert (sum(colors("body")[1]) < 200) == (scheme == "dark")
        for selector in (
            "#answer p",
            "#weights .quiet",
            ".at",
            ".pick",
            "tr.chosen .pick",
            "thead button",
            ".bracket",
            "#said",
        ):
            assert contrast(*colors(selector)) >= 4.5, selector
        script = """node => {
            const plane = node.parentElement.previousElementSibling, n = plane.width;
            const at = [...node.parentElement.children].indexOf(node);
            const pixel = [...plane.getContext('2d').getImageData(at % n, Math.floor(at / n), 1, 1).data];
            return [getComputedStyle(node).color.match(/\\d+/g).map(Number), pixel.slice(0, 3)];
        }"""
        for i in range(36):
            assert contrast(*frame.locator(".over span").nth(i).evaluate(script)) >= 4.5

    def test_paper_has_no_buttons(self, page: Any, tmp_path: Path) -> None:
        """It is as wide as a sheet, in light colors, and pairs that fit into its length are there."""
        page.emulate_media(color_scheme="dark")
        frame = show(page, comparison_of(8), tmp_path)
        page.emulate_media(media="print")
        frame.locator("body").evaluate("() => dispatchEvent(new Event('beforeprint'))")
        assert len(column_of(frame, "pairs", "runs")) == 28
        assert sum(frame.locator(part).bounding_box()["width"] for part in (".left", ".plane")) <= 640
        for gone in ("#measure", "#pairs-find", ".pages button", "#stretch"):
            assert frame.locator(gone).first.is_hidden(), gone
        assert frame.locator("body").evaluate("body => getComputedStyle(body).backgroundColor") == "rgb(255, 255, 255)"
        page.emulate_media(media="screen")
        frame.locator("body").evaluate("() => dispatchEvent(new Event('afterprint'))")
        assert len(column_of(frame, "pairs", "runs")) == 12

    def test_tables_have_headings(self, page: Any, tmp_path: Path) -> None:
        """Each a name, and each cell the headings of its row and column."""
        frame = show(page, comparison_of(6, seeds=2, aggregate="mean", groups=TWO_GROUPS), tmp_path)
        for section in ("pairs", "groups", "tests", "seeds", "weights"):
            table = frame.locator(f"#{section} table")
            named = table.get_attribute("aria-labelledby")
            assert frame.locator(f"#{named}").inner_text()
            assert table.locator("thead th:not([scope=col])").count() == 0
            assert table.locator("tbody tr > th[scope=row]").count() == table.locator("tbody tr").count() > 0

    def test_names_are_text(self, page: Any, tmp_path: Path) -> None:
        """Nothing in a label, group, note or token is run, loaded or followed, wherever it is shown."""
        harm = "<img src=http://127.0.0.1:9/x onerror=hacked=1></script><script>hacked=1</script>@DATA@@SCRIPT@"
        link = "<a href='javascript:hacked=1'>x</a>"
        labels = [f"{row} {harm} {link}" for row in range(4)]
        anatomy = Anatomy(vocab=10, tokens=dict.fromkeys(range(10), harm))
        comparison = comparison_of(
            4,
            label=f"{{}} {harm} {link}",
            notes=(harm + link,),
            groups={label: f"{harm}{row % 2}" for row, label in enumerate(labels)},
            anatomy=anatomy,
        )
        frame = show(page, comparison, tmp_path)
        frame.locator("#pairs .pick").first.click()
        page.mouse.move(300, 400)
        assert frame.locator("#pairs .both span").first.get_attribute("title") in labels
        frame.locator("#all").click()
        frame.locator("#weights-find").fill("onerror")
        assert harm in column_of(frame, "weights", "token")
        assert f"within {harm}0" in column_of(frame, "groups", "groups")
        assert frame.locator("#notes li").first.inner_text() == harm + link
        assert frame.locator("img").count() == 0
        assert frame.locator("a").count() == 0
        assert frame.locator("body").evaluate("() => typeof hacked") == "undefined"

    def test_a_script_that_is_smuggled_in_does_not_run(self, page: Any, tmp_path: Path) -> None:
        """The page's policy names its own."""
        frame = show(page, comparison_of(2), tmp_path)
        blocked = frame.locator("body").evaluate(
            """body => new Promise(resolve => {
                document.addEventListener('securitypolicyviolation', event => resolve(event.effectiveDirective));
                const script = document.createElement('script');
                script.textContent = 'hacked = 1';
                body.append(script);
            })"""
        )
        assert blocked == "script-src-elem"
        assert frame.locator("body").evaluate("() => typeof hacked") == "undefined"


def contrast(one: list[float], other: list[float]) -> float:
    """How much two colors differ, from 1 to 21, as WCAG defines it."""

    def luminance(color: list[float]) -> float:
        parts = [part / 255 for part in color]
        r, g, b = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
