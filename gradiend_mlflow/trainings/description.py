"""The description of a training's run: MLflow's UI shows it first."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

from gradiend_mlflow.sets.picture import LAYERS_FILE
from gradiend_mlflow.store import tags
from gradiend_mlflow.store.ui.pages import page_of_view
from gradiend_mlflow.store.ui.views import COMPARISONS
from gradiend_mlflow.trainings.account import Account
from gradiend_mlflow.trainings.words.chosen import chosen
from gradiend_mlflow.trainings.words.terms import Outcome
from gradiend_mlflow.wording import counted, markdown, some_of

# Filled in by `with_ids`; text of others cannot be taken for them, because `markdown` escapes its underscores.
_RUN, _EXPERIMENT = "__run_id__", "__experiment_id__"
_MOST_CHOSEN = 12
_LONGEST = 80  # characters of a value


def description_of(account: Account, outcome: Outcome) -> str:
    """Markdown: what was trained and what came of it, what was chosen, a link to comparisons, where the weights lie.

    Args:
        account: The training.
        outcome: What it came to.

    Returns:
        The text, in which `with_ids` has to fill in MLflow's ids.
    """
    paragraphs = [f"**{_what(account)}**: {', '.join(_result(account, outcome))}."]
    if named := [f"{key} {_short(value)}" for key, value in chosen(account.params).items() if key != "seed"]:
        paragraphs.append(f"Chosen: {', '.join(some_of(named, _MOST_CHOSEN))}.")
    paragraphs.append(f"[Comparisons of this experiment]({page_of_view(_EXPERIMENT, COMPARISONS)})")
    if account.has_weights:
        path = quote(f"{tags.FIGURES_FOLDER}/{LAYERS_FILE}", safe="")
        paragraphs.append(f"![Where the top weights lie](get-artifact?run_uuid={_RUN}&path={path})")
    return "\n\n".join(paragraphs)


def with_ids(description: str, run_id: str, experiment_id: str) -> str:
    """The description with MLflow's ids of its run and experiment."""
    return description.replace(_RUN, quote(run_id, "")).replace(_EXPERIMENT, quote(experiment_id, ""))


def _what(account: Account) -> str:
    classes = " vs ".join(tags.target_classes_of(account.run_tags)) or account.name
    base_model = account.run_tags.get(tags.BASE_MODEL)
    return markdown(f"{classes} on {base_model}" if base_model else classes)


def _result(account: Account, outcome: Outcome) -> Iterator[str]:
    if outcome.correlation is not None:
        yield f"correlation {outcome.correlation:.3f}"
    elif outcome.loss is not None:
        yield f"loss {outcome.loss:.3g}"
    else:
        yield "trained, without an evaluation"
    if outcome.step is not None:
        yield f"best step {outcome.step:,}"
    if outcome.converged is not None:
        yield "converged" if outcome.converged else "**not converged**"
    if account.seeds:
        yield f"seed {account.run_tags.get(tags.SEED)} of {counted(len(account.seeds), 'seed')} tried"


def _short(value: str) -> str:
    short = value if len(value) <= _LONGEST else f"{value[:_LONGEST]}…"
    return markdown(short)
