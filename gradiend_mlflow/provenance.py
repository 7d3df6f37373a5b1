"""What a comparison was asked and of which sets, so that the same question is answered once."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import TYPE_CHECKING

from gradiend_mlflow import tags
from gradiend_mlflow.choosing import FINISHED
from gradiend_mlflow.comparison_files import FORMAT
from gradiend_mlflow.errors import ArtifactError, StoreError, UnavailableError
from gradiend_mlflow.reloading import fetch_files
from gradiend_mlflow.runs import PARALLEL_REQUESTS
from gradiend_mlflow.store import Store

if TYPE_CHECKING:
    from gradiend_mlflow.comparison import Comparison

logger = logging.getLogger("gradiend_mlflow")

_LINKED = 200  # ids that fit into one tag


def question_of(comparison: Comparison) -> str:
    """A digest of the settings, the runs and the SHA-256 of their sets: the same for the same answer.

    The order of the runs is no part of it: every number is one of a pair, whichever comes first. What the runs are
    called and how they are grouped is, because the figures and the description say it; so are the runs left out.
    """
    runs, seeds = comparison.runs, comparison.seed_overlap
    ids = list(runs["run_id"])
    asked = {
        "format": FORMAT,
        "part": comparison.part,
        "topk": str(comparison.topk),
        "value": comparison.value,
        "rbo_p": comparison.overlap.rbo_p,
        "runs": sorted(
            [run_id, label, sets[comparison.part]["sha256"], converged is False]
            for run_id, label, sets, converged in zip(ids, runs["label"], runs["sets"], runs["converged"], strict=True)
        ),
        "groups": None if comparison.groups is None else sorted(comparison.groups.items()),
        # The seeds of one training are in the order in which they were tried: pairs are matched by it.
        "seeds": None
        if seeds is None
        else [
            asdict(seeds.policy),
            sorted((x, [ids[y] for y in z]) for x, z in zip(seeds.labels, seeds.members, strict=True)),
        ],
        "skipped": sorted([run.run_id, run.reason] for run in comparison.skipped),
    }
    return hashlib.sha256(json.dumps(asked, separators=(",", ":")).encode()).hexdigest()


def find_answer(store: Store, experiment_id: str, question: str, *, run_name: str | None) -> str | None:
    """The newest comparison that answers the question already, if one does; of that name, if one is given.

    One whose files are gone or damaged is no answer, and is warned of.
    """
    found = store.search(
        [experiment_id],
        f"tags.`{tags.QUESTION}` = '{question}' AND attributes.status = '{FINISHED}'",
        order_by=["attributes.start_time DESC"],
    )
    for run in found:
        if run_name is None or run.info.run_name == run_name:
            try:
                fetch_files(store, run)
            except UnavailableError:
                raise
            except (ArtifactError, StoreError) as error:
                logger.warning(
                    "The comparison %s is logged anew: of the one that is there, %s", run.info.run_id, error
                )
            else:
                return str(run.info.run_id)
    return None


def free_name(store: Store, experiment_id: str, name: str) -> str:
    """The name, numbered if comparisons of the experiment have it already: lists show nothing else of them."""
    # Quotes would end the filter's string; the sign for any letter finds too much rather than too little.
    pattern = re.sub(r"['\\]", "_", name)
    found = store.search(
        [experiment_id],
        f"tags.`{tags.KIND}` = '{tags.COMPARISON}' AND attributes.run_name LIKE '{pattern}%'",
    )
    taken = {run.info.run_name for run in found}
    numbered = (f"{name} ({number})" for number in itertools.count(2))
    return next(candidate for candidate in itertools.chain([name], numbered) if candidate not in taken)


def link_sources(store: Store, run_ids: Sequence[str], comparison_id: str) -> None:
    """Tag the compared runs with the comparison, besides those that they are tagged with already."""

    def link(run_id: str) -> None:
        linked = linked_comparisons(store.run(run_id).data.tags)
        if comparison_id not in linked:
            store.set_tags(run_id, {tags.COMPARISONS: json.dumps([*linked, comparison_id][-_LINKED:])})

    with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
        list(pool.map(link, run_ids))


def linked_comparisons(run_tags: Mapping[str, str]) -> list[str]:
    """The comparisons that a run is tagged with."""
    try:
        linked = json.loads(run_tags.get(tags.COMPARISONS, "[]"))
    except ValueError:
        return []
    return [str(run_id) for run_id in linked] if isinstance(linked, list) else []
