"""What a paper prints: the table of pairs, of groups, and the weights that runs share."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradiend_mlflow import Comparison, InvalidInputError, TopKSet, WeightSpace, compute_overlap, save_topk
from gradiend_mlflow.comparison.tables import block_means, latex_of
from gradiend_mlflow.overlap.seeds import SeedOverlap, SeedPolicy
from gradiend_mlflow.overlap.shared_weights import shared_weights
from tests.support.sets import weighted_families


def comparison_of(sets: dict[str, TopKSet], **options: Any) -> Comparison:
    """A comparison of sets that are in no run."""
    runs = pd.DataFrame({"label": list(sets), "run_id": list(sets)})
    settings_ = {"part": "decoder-weight", "topk": 4, "value": "intersection_frac"} | options
    return Comparison(compute_overlap(sets), sets, sets, runs, **settings_)


@pytest.fixture
def sets() -> dict[str, TopKSet]:
    """Three sets over 20 weights."""
    lists = {"a_1": [0, 1, 2, 3], "b": [1, 0, 5, 4], "c": [0, 9, 8, 7]}
    return {label: TopKSet.from_indices(indices, space=20) for label, indices in lists.items()}


class TestTables:
    """`to_frame`, `to_csv` and `to_latex`."""

    def test_pairs_are_sorted_and_set_against_chance(self, sets: dict[str, TopKSet]) -> None:
        """Most overlapping first, against chance."""
        compared = comparison_of(sets)
        frame = compared.to_frame()
        assert frame.columns.tolist() == [
            "a", "b", "intersection_frac", "intersection", "expected", "lift", "p_value", "q_value",
        ]  # fmt: skip
        assert frame[["a", "b"]].to_numpy().tolist() == [["a_1", "b"], ["a_1", "c"], ["b", "c"]]
        assert frame["intersection_frac"].tolist() == [0.5, 0.25, 0.25]
        assert frame["expected"].tolist() == [0.8, 0.8, 0.8]
        chance = compared.overlap.chance()
        assert frame["p_value"][0] == chance.p_value[0, 1]
        assert frame["q_value"][2] == chance.q_value[1, 2]
        counts = replace(compared, value="intersection").to_frame()
        assert counts.columns.tolist()[2:4] == ["intersection", "expected"]

    def test_groups_have_means_within_and_between(self, sets: dict[str, TopKSet]) -> None:
        """Mean and largest value within and between; without groups, of all pairs."""
        compared = comparison_of(sets, groups={"a_1": "x", "b": "x", "c": "y"})
        frame = compared.to_frame("groups")
        assert frame.drop(columns=["mean", "max"]).to_numpy().tolist() == [["x", "x", 1], ["x", "y", 2], ["y", "y", 0]]
        np.testing.assert_array_equal(frame["mean"], [0.5, 0.25, np.nan])
        for ask in (Comparison.to_frame, Comparison.to_csv, Comparison.to_latex):
            with pytest.raises(InvalidInputError, match="there are no groups for a table of them: pass groups"):
                ask(comparison_of(sets), "groups")

    @given(weighted_families(at_least=2), st.data())
    @settings(max_examples=30)
    def test_blocks_partition_the_pairs(self, family: dict[str, TopKSet], data: st.DataObject) -> None:
        """Every pair is in one block; their means, weighted, are the mean of all."""
        groups = {label: data.draw(st.sampled_from("xyz")) for label in family}
        matrix = compute_overlap(family).jaccard
        frame = block_means(list(family), matrix, groups)
        pairs = matrix[np.triu_indices(len(family), k=1)]
        assert frame["pairs"].sum() == len(pairs)
        assert (frame["mean"] * frame["pairs"]).sum() == pytest.approx(pairs.sum())
        assert frame["max"].max() == pairs.max()

    def test_csv_keeps_all_digits(self, sets: dict[str, TopKSet], tmp_path: Path) -> None:
        """All digits, to a file if one is named."""
        compared = comparison_of(sets)
        text = compared.to_csv(path=tmp_path / "pairs.csv")
        assert (tmp_path / "pairs.csv").read_text() == text
        rows = list(csv.DictReader(io.StringIO(text)))
        assert [float(row["q_value"]) for row in rows] == compared.to_frame()["q_value"].tolist()
        assert compared.to_csv("matrix").splitlines()[1] == "a_1,1.0,0.5,0.25"

    def test_latex_is_a_booktabs_tabular_with_escaped_text(self, sets: dict[str, TopKSet], tmp_path: Path) -> None:
        """A tabular for booktabs; what LaTeX would read as commands is escaped."""
        sets["50% \\ {x}"] = sets.pop("c")
        compared = comparison_of(sets, groups={"a_1": "x", "b": "y", "50% \\ {x}": "Other"})
        text = compared.to_latex("groups", path=tmp_path / "groups.tex")
        assert (tmp_path / "groups.tex").read_text() == text
        assert text.splitlines() == [
            r"\begin{tabular}{llrrr}",
            r"\toprule",
            r"group & group & pairs & mean & max \\",
            r"\midrule",
            r"x & x & 0 & -- & -- \\",
            r"x & y & 1 & 0.500 & 0.500 \\",
            r"x & Other & 1 & 0.250 & 0.250 \\",
            r"y & y & 0 & -- & -- \\",
            r"y & Other & 1 & 0.250 & 0.250 \\",
            r"Other & Other & 0 & -- & -- \\",
            r"\bottomrule",
            r"\end{tabular}",
        ]
        assert r"50\% \textbackslash{} \{x\}" in compared.to_latex("matrix")

    def test_latex_has_small_numbers_as_powers_of_ten(self) -> None:
        """As one writes p-values."""
        pair = {name: TopKSet.from_indices(range(40), space=1000) for name in "ab"}
        assert r"$1.80 \cdot 10^{-72}$" in comparison_of(pair).to_latex()

    def test_aggregated_seeds_have_their_pairs_and_their_spread(self, sets: dict[str, TopKSet]) -> None:
        """The pairs of seeds behind each number, and both ends of their spread."""
        overlap = compute_overlap(sets)
        policy = SeedPolicy("all_tried", "mean", "minmax", "all_pairs")
        seeds = SeedOverlap(("x", "y"), overlap, ((0, 1), (2,)), policy)
        compared = replace(comparison_of(sets), seed_overlap=seeds)
        assert "run & run & of the smaller set & seed pairs & lowest & highest" in compared.to_latex()
        relative = compared.to_frame("matrix", relative=True)
        assert "run & x & y" in compared.to_latex("matrix", relative=True)
        assert compared.to_csv("matrix", relative=True) == relative.to_csv(lineterminator="\n")
        assert compared.to_frame().to_dict("records") == [
            {"a": "x", "b": "y", "intersection_frac": 0.25, "seed_pairs": 2, "lowest": 0.25, "highest": 0.25}
        ]

    def test_latex_has_three_digits_a_minus_and_a_dash(self) -> None:
        """A number that is not there is a dash, and counts are whole."""
        frame = pd.DataFrame({"number": [1234.5, -0.12345, np.nan, 2e-7], "count": [1234567, 2, 3, 0]})
        rows = [line.removesuffix(r" \\").split(" & ") for line in latex_of(frame).splitlines()[4:8]]
        assert rows == [
            [r"$1.23 \cdot 10^{3}$", "1234567"],
            ["$-0.123$", "2"],
            ["--", "3"],
            [r"$2.00 \cdot 10^{-7}$", "0"],
        ]

    @pytest.mark.parametrize("label", ["[1ex]", "*"])
    def test_latex_labels_are_no_options_of_a_row(self, label: str, sets: dict[str, TopKSet]) -> None:
        r"""After `\\` LaTeX reads both as its arguments."""
        sets[label] = sets.pop("a_1")
        text = comparison_of(sets).to_latex("matrix", columns=[label, "run"])
        assert f"\\toprule\n{{}}{label} & run" in text
        assert f"& {{}}{label} \\\\" in text
        first = comparison_of(sets).to_latex("matrix").splitlines()[4:7]
        assert any(row.startswith(f"{{}}{label} & ") for row in first)

    def test_latex_is_never_cut(self) -> None:
        """By itself pandas leaves out what is beyond 262144 cells, or what its option says."""
        with pd.option_context("styler.render.max_elements", 4):
            text = latex_of(pd.DataFrame(np.ones((30, 3)), columns=["x", "y", "z"]))
        assert text.count("1.00 & 1.00 & 1.00") == 30

    def test_latex_as_a_paper_wants_it(self, sets: dict[str, TopKSet]) -> None:
        """Its columns, its headings, its digits, a caption and a label."""
        text = comparison_of(sets).to_latex(
            columns=["a", "b", "intersection_frac", "intersection", "q_value"],
            headings={"a": r"$A$", "b": r"$B$"},
            float_format="%.2f",
            caption="Overlap of $A$ and $B$.",
            label="tab:overlap",
        )
        assert text.startswith("\\begin{table}\n\\centering\n\\caption{Overlap of $A$ and $B$.}\n\\label{tab:overlap}")
        assert r"$A$ & $B$ & of the smaller set & shared & $q$ \\" in text
        assert r"a\_1 & b & 0.50 & 2 & 0.4" in text
        grouped = comparison_of(sets, groups=dict.fromkeys(sets, "all"))
        percent = grouped.to_latex("groups", float_format=lambda number: rf"{100 * number:.0f}\,\%")
        assert r"all & all & 3 & 33\,\% & 50\,\% \\" in percent

    def test_latex_takes_plain_text_and_maths(self, sets: dict[str, TopKSet]) -> None:
        """In captions and headings; what would break the table is escaped, what is LaTeX stays."""
        text = comparison_of(sets).to_latex(
            columns=["a", "lift"],
            headings={"a": "run_id & 50%", "lift": r"$k_a$ \emph{x}"},
            caption=r"50% of $A_1$ in run_1, cf. \ref{tab:a_b}, already 5\%.",
            label="tab:run_1",
        )
        assert r"\caption{50\% of $A_1$ in run\_1, cf. \ref{tab:a_b}, already 5\%.}" in text
        assert r"\label{tab:run_1}" in text
        assert r"run\_id \& 50\% & $k_a$ \emph{x} \\" in text

    def test_runs_are_not_taken_for_columns(self, sets: dict[str, TopKSet]) -> None:
        """A run may be called as a column is that has a heading of its own."""
        renamed = dict(zip(["a", "p_value", "c"], sets.values(), strict=True))
        assert r"run & a & p\_value & c \\" in comparison_of(renamed).to_latex("matrix")

    def test_files_need_a_folder(self, sets: dict[str, TopKSet], tmp_path: Path) -> None:
        """As figures do, and sets: none is made, because it is a slip more often than a wish."""
        missing = tmp_path / "tabels" / "pairs"
        for write in (
            lambda: comparison_of(sets).to_csv(path=missing),
            lambda: comparison_of(sets).to_latex(path=missing),
            lambda: save_topk(sets["b"], missing),
        ):
            with pytest.raises(InvalidInputError, match=r"path lies in a folder that is not there.*make it first"):
                write()

    def test_latex_says_what_is_too_small_to_say(self) -> None:
        """Of probabilities, which are 0 below the smallest float; a share of 0 is 0."""
        pair = {name: TopKSet.from_indices(range(2000), space=10**6) for name in "ab"}
        assert comparison_of(pair).to_latex(columns=["p_value"]).splitlines()[4] == r"$< 10^{-300}$ \\"
        assert latex_of(pd.DataFrame({"jaccard": [0.0]})).splitlines()[4] == r"0 \\"

    def test_the_control_comes_last(self, sets: dict[str, TopKSet]) -> None:
        """In every form of the table of groups, and in no other."""
        compared = comparison_of(sets, groups={"a_1": "rest", "b": "x", "c": "rest"})
        frame = compared.to_frame("groups", control="rest")
        assert frame[["group_a", "group_b"]].to_numpy().tolist() == [["x", "x"], ["x", "rest"], ["rest", "rest"]]
        assert compared.to_latex("groups", control="rest").splitlines()[6].startswith("rest & rest & 1 & 0.250")
        assert compared.to_csv("groups", control="rest").splitlines()[-1] == "rest,rest,1,0.25,0.25"
        with pytest.raises(InvalidInputError, match="control must be one of the groups, rest, x; got 'y'"):
            compared.to_frame("groups", control="y")
        with pytest.raises(InvalidInputError, match="control belongs to the table groups, relative to matrix; got"):
            compared.to_frame("pairs", control="rest")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (
                {"columns": ["a", "overlap"]},
                "the table has no column overlap; its columns are a, b, intersection_frac",
            ),
            ({"headings": {"p": "$p$"}}, "the table has no column p; its"),
            (
                {"float_format": "{:.2f}"},
                "float_format must be a %-format such as '%.2f', or a callable; got '{:.2f}'",
            ),
            ({"float_format": "%.2f %.2f"}, "float_format must be a %-format"),
            ({"label": "tab: overlap{"}, "label must be a name for \\label"),
            ({"caption": "of {A"}, "the braces of a caption or heading must match; got 'of {A'"),
        ],
    )
    def test_other_styles_are_refused(self, options: dict[str, Any], message: str, sets: dict[str, TopKSet]) -> None:
        """With what there is."""
        with pytest.raises(InvalidInputError, match=re.escape(message)):
            comparison_of(sets).to_latex(**options)

    def test_unknown_tables_are_refused(self, sets: dict[str, TopKSet]) -> None:
        """With the known."""
        with pytest.raises(InvalidInputError, match="table must be one of pairs, groups, matrix; got 'runs'"):
            comparison_of(sets).to_latex(table="runs")


NAMES = ("layer", "component", "head", "neuron", "token")


class TestSharedWeights:
    """`shared_weights`."""

    @given(weighted_families(), st.data())
    @settings(max_examples=50)
    def test_by_definition(self, family: dict[str, TopKSet], data: st.DataObject) -> None:
        """Who holds each weight, at which rank, with which sign."""
        least = data.draw(st.integers(1, len(family)))
        frame = shared_weights(compute_overlap(family), min_runs=least)
        held = {label: topk_set.base_global_indices().tolist() for label, topk_set in family.items()}
        counts = {weight: sum(weight in own for own in held.values()) for own in held.values() for weight in own}
        assert set(frame["offset"]) == {weight for weight, count in counts.items() if count >= least}
        assert frame["n_runs"].is_monotonic_decreasing
        for row in frame.to_dict("records"):
            assert row["n_runs"] == counts[row["offset"]] == len(row["runs"])
            assert list(row["runs"]) == [label for label in held if row["offset"] in held[label]]
            assert list(row["ranks"]) == [held[label].index(row["offset"]) + 1 for label in row["runs"]]
            values = np.array(
                [family[label].weights[rank - 1] for label, rank in zip(row["runs"], row["ranks"], strict=True)]
            )
            np.testing.assert_array_equal(np.array(row["weights"]).reshape(values.shape), values)
            majority = np.maximum((values > 0).mean(axis=0), (values < 0).mean(axis=0)).mean()
            assert row["sign_agreement"] == pytest.approx(majority)

    def test_names_and_coordinates(self) -> None:
        """Over different selections; unknown signs are NaN."""
        whole = WeightSpace(("query", "key"), ((2, 3), (2, 2)))
        sets = {
            "a": TopKSet.from_indices([8, 0, 5], space=whole),
            "b": TopKSet.from_indices([2, 3], space=WeightSpace(("key",), ((2, 2),))),
        }
        frame = comparison_of(sets).shared_weights(min_runs=2)
        assert frame.drop(columns=["weights", "sign_agreement", *NAMES]).to_dict("records") == [
            {"param": "key", "offset": 2, "coordinates": (1, 0), "n_runs": 2, "runs": ("a", "b"), "ranks": (1, 1)}
        ]
        assert frame["sign_agreement"].isna().all()
        (named,) = frame[list(NAMES)].to_dict("records")
        assert (named["layer"], named["component"], named["neuron"]) == ("other", "attention_key", 1)
        assert frame[["head", "token"]].isna().all(axis=None), "not known"

    def test_different_latent_dimensions_have_no_sign_in_common(self) -> None:
        """Of the weights that both hold; a weight of one run alone agrees with itself."""
        a = replace(TopKSet.from_indices([1, 2], space=5), weights=np.ones((2, 1)))
        b = replace(TopKSet.from_indices([1, 3], space=5), weights=-np.ones((2, 3)), latent_dim=3)
        frame = comparison_of({"a": a, "b": b}).shared_weights(min_runs=1).set_index("offset")
        assert frame["sign_agreement"].isna().to_dict() == {1: True, 2: False, 3: False}

    def test_nothing_shared(self) -> None:
        """An empty frame with the same columns."""
        sets = {name: TopKSet.from_indices([index], space=5) for index, name in enumerate("ab")}
        frame = comparison_of(sets).shared_weights()
        assert frame.empty
        assert frame.columns.tolist() == comparison_of(sets).shared_weights(min_runs=1).columns.tolist()

    @pytest.mark.parametrize("least", [0, 4, True, 1.5])
    def test_other_numbers_are_refused(self, least: Any, sets: dict[str, TopKSet]) -> None:
        """Fewer than one, more than there are."""
        with pytest.raises(InvalidInputError, match="min_runs must be an int between 1 and 3; got"):
            comparison_of(sets).shared_weights(min_runs=least)


def test_the_curve_goes_beyond_topk(sets: dict[str, TopKSet]) -> None:
    """Up to what was logged, whatever was compared."""
    cut = {label: topk_set.top(2) for label, topk_set in sets.items()}
    compared = replace(comparison_of(cut), stored=sets)
    assert compared.overlap_curve([1, 4]).intersection[:, 0, 1].tolist() == [0, 2]
    assert compared.overlap_curve().ks.tolist() == [1, 2, 3, 4]
