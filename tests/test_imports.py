"""What is loaded when, and that these tests would notice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import gradiend_mlflow

LOADED = "import sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"


@pytest.mark.parametrize("heavy", ["torch", "matplotlib", "mlflow", "gradiend", "pandas", "pyarrow"])
def test_importing_the_package_loads_nothing_heavy(heavy: str, run_python: Callable[[str], str]) -> None:
    """A script that only wants an error class does not wait for torch."""
    assert heavy not in run_python(f"import gradiend_mlflow\n{LOADED}").split()


@pytest.mark.long
def test_that_would_be_noticed(run_python: Callable[[str], str]) -> None:
    """Using a name loads what it needs, and the check above sees it."""
    assert {"torch", "gradiend", "mlflow"} <= set(
        run_python(f"import gradiend_mlflow as g; g.autolog\n{LOADED}").split()
    )


def test_comparing_loads_no_model_code(logged: dict[str, Path], server: str, run_python: Callable[[str], str]) -> None:
    """The whole question - search, pull, numbers, figures, logging - without torch, transformers or gradiend."""
    loaded = run_python(
        f"""
import gradiend_mlflow
comparison = gradiend_mlflow.compare(experiment_names=["pronouns"], topk=100, tracking_uri={server!r})
assert comparison.run_id
comparison.plot_heatmap(), comparison.plot_venn()
{LOADED}
"""
    ).split()
    assert not {"torch", "transformers", "gradiend", "safetensors", "seaborn"} & set(loaded)
    assert {"mlflow", "matplotlib"} <= set(loaded)


@pytest.mark.parametrize("name", gradiend_mlflow.__all__)
def test_every_public_name_is_there(name: str) -> None:
    """Lazily, and documented."""
    value = getattr(gradiend_mlflow, name)
    assert name in dir(gradiend_mlflow)
    if callable(value):
        assert value.__doc__


def test_public_names_are_not_modules(run_python: Callable[[str], str]) -> None:
    """A submodule of the same name would take a function's place once it is imported."""
    script = "import gradiend_mlflow as g, types; [g.__getattr__(n) for n in g.__all__]\n"
    script += "print([n for n in g.__all__ if isinstance(getattr(g, n), types.ModuleType)])"
    assert run_python(script).strip() == "[]"


def test_unknown_names_are_attribute_errors() -> None:
    """As for any module."""
    with pytest.raises(AttributeError, match="nothing"):
        _ = gradiend_mlflow.nothing
    assert gradiend_mlflow.__version__ == "0.2.0"
