"""What is fuzzed of runs: the texts of their tags, and the files of comparisons."""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from pathlib import Path

from gradiend_mlflow.comparison.loading import Facts, read_facts, read_sets, rebuilt
from gradiend_mlflow.errors import GradiendMLflowError
from gradiend_mlflow.sets.topk import TopKSet
from gradiend_mlflow.store import tags

_RUNS = Path(__file__).parents[1] / "golden" / "0.1.0" / "runs"
_COMPARISON = _RUNS / "comparison" / "artifacts"
_READ = (tags.TOPK, tags.TOPK_LEFT_OUT, tags.SEED, tags.TARGET_CLASSES, tags.COMPARISONS)


def read_tags(data: bytes) -> None:
    """Every reader of tags takes any text; what one returns has the types that it says."""
    run_tags = dict.fromkeys(_READ, data.decode("utf-8", "replace"))
    for entry in tags.sets_of(run_tags).values():
        assert isinstance(entry["k"], int)
        assert 0 < entry["k"] < 2**41
        assert len(entry["sha256"]) == 64
    assert all(isinstance(reason, str) for reason in tags.left_out_of(run_tags).values())
    assert all(isinstance(text, str) for text in (*tags.target_classes_of(run_tags), *tags.comparisons_of(run_tags)))
    assert -(2**63) <= (tags.seed_of(run_tags) or 0) < 2**63
    assert len(tags.damage_of_sets(run_tags) or "") < 1000


def tag_seeds() -> list[bytes]:
    """The tags of real runs, each once."""
    runs = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(_RUNS.glob("*/run.json"))]
    texts = {run["tags"][key] for run in runs for key in _READ if key in run["tags"]}
    return [text.encode() for text in sorted(texts)]


def read_comparison(data: bytes) -> None:
    """A comparison.json beside the right sets, or a sets.zip beside the right comparison.json, and what follows.

    A comparison that is accepted can be shown: no table fails later.
    """
    if data[:1] == b"{":
        facts = read_facts(data)
        sets = _known_sets(tuple(facts.labels))
    else:
        facts = _known_facts()
        sets = read_sets(data, facts)
        if sets == _known_sets(tuple(facts.labels)):
            return
    comparison = rebuilt(facts, sets, "x")
    try:
        comparison.to_csv(table="pairs")
        comparison.to_csv(table="matrix")
        if comparison.groups is not None:
            comparison.to_csv(table="groups")
    except GradiendMLflowError as error:
        raise AssertionError("a comparison was accepted that cannot be shown") from error


def comparison_seeds() -> list[bytes]:
    """A comparison.json without its numbers, which nobody reads back; the same with seeds; a sets.zip."""
    facts = json.loads((_COMPARISON / "comparison.json").read_text(encoding="utf-8"))
    facts = {key: value for key, value in facts.items() if key not in ("matrix", "chance", "intersection")}
    policy = {"seeds": "all_tried", "seed_aggregate": "mean", "dispersion": "std", "seed_pairing_mode": "matched"}
    seeds = policy | {"seed_group_policy": "union", "labels": ["a", "b"], "members": [[0], [1]]}
    with_seeds = facts | {"groups": None, "seeds": seeds}
    return [json.dumps(facts).encode(), json.dumps(with_seeds).encode(), _archive()]


@functools.cache
def _archive() -> bytes:
    return (_COMPARISON / "sets.zip").read_bytes()


@functools.cache
def _known_facts() -> Facts:
    return read_facts((_COMPARISON / "comparison.json").read_bytes())


@functools.lru_cache(maxsize=32)
def _known_sets(labels: tuple[str, ...]) -> dict[str, TopKSet]:
    """What the right archive holds for runs of these names."""
    return read_sets(_archive(), replace(_known_facts(), labels=list(labels)))
