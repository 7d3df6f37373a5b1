"""Figures and a table for a paper, of two made-up studies in the design of German articles, one for each answer.

Four genders in four cases make 12 transitions of three kinds, such as masculine to feminine, each in every case. By a
rule transitions of one kind change the same weights in all cases; from memory every transition has weights of its own.
The sets are made here, so nothing is trained.

    python examples/paper_figures.py [FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from matplotlib import rc_context

import gradiend_mlflow
from gradiend_mlflow import TopKSet, WeightSpace

KINDS = ["masculine → feminine", "masculine → neuter", "feminine → plural"]
CASES = ["nominative", "genitive", "dative", "accusative"]
K = 1000
LAYERS = [f"bert.encoder.layer.{layer}.output.dense.weight" for layer in range(6)]
SPACE = WeightSpace(tuple(LAYERS), ((128, 512),) * len(LAYERS), base_model="made up")


def made_up(shared: float, *, seed: int = 0) -> dict[str, TopKSet]:
    """Sets of 1000 weights by transition; a share of each comes from what its kind has in common."""
    random = np.random.default_rng(seed)
    sets = {}
    for kind in KINDS:
        common = random.choice(SPACE.size, K, replace=False)
        for case in CASES:
            own = random.choice(SPACE.size, K, replace=False)
            chosen = np.where(random.random(K) < shared, common, own)
            unique = list(dict.fromkeys([*chosen.tolist(), *own.tolist()]))[:K]
            sets[f"{kind}, {case}"] = TopKSet.from_indices(unique, space=SPACE)
    return sets


def main(folder: Path) -> dict[str, gradiend_mlflow.GroupTest]:
    """Write each study's figures at the widths of a column and of the text, and its table."""
    folder.mkdir(parents=True, exist_ok=True)
    tests = {}
    for answer, shared in (("rule", 0.6), ("memory", 0.0)):
        sets = made_up(shared)
        overlap = gradiend_mlflow.compute_overlap(sets)
        kinds = {label: label.partition(",")[0] for label in sets}
        first = gradiend_mlflow.compute_overlap({case: sets[f"{KINDS[0]}, {case}"] for case in CASES})
        with rc_context({"font.size": 8, "pdf.fonttype": 42}):
            heatmap = gradiend_mlflow.plot_heatmap(overlap, groups=kinds, annot=False, figsize="column")
            heatmap.savefig(folder / f"{answer}_heatmap.pdf")
            gradiend_mlflow.plot_venn(first, figsize="column").savefig(folder / f"{answer}_venn.pdf")
            gradiend_mlflow.plot_curve(overlap, groups=kinds, figsize="text").savefig(folder / f"{answer}_curve.pdf")
        tests[answer] = overlap.test_groups(kinds)
        tests[answer].per_group.to_latex(folder / f"{answer}_groups.tex", float_format="%.3f")
        print(f"{answer}: {tests[answer]}")
    return tests


if __name__ == "__main__":
    main(Path(sys.argv[1] if sys.argv[1:] else "demo_figures"))
