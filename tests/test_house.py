"""The laws of the house: which room may use which, what each may load, how large it may be."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "gradiend_mlflow"

# Folder -> the folders that it may import, with the rooms in them; "" is the package's own folder below the face.
# Every folder may import itself, the rooms in it and "". Only downwards, and never from one wing (comparison, figures,
# overlap, runs) into the other (tracking, delivery, trainings).
MAY_IMPORT: dict[str, set[str]] = {
    "": set(),
    "display": set(),
    "disk": set(),
    "sets.anatomy": {"disk"},
    "sets.ranking": {"sets", "disk"},
    "sets.reading": {"disk"},
    "sets": {"disk"},
    "store.trust": {"disk"},
    "store.ui": {"store"},  # the names of its tags
    "store.models": {"store", "disk"},
    "store.places": {"store", "disk"},
    "store": {"disk", "sets"},
    "models": {"disk", "store", "sets"},
    "overlap.statistics": {"sets"},
    "overlap.layout": {"overlap.statistics", "sets"},
    "overlap": {"sets"},
    "runs": {"disk", "store", "sets"},
    "figures.drawing": {"overlap", "sets"},
    "figures.plans": {"figures.drawing", "overlap", "sets"},
    "figures.venns": {"figures.drawing"},
    "figures.near": {"figures.drawing", "figures.plans", "overlap", "sets"},
    "figures": {"overlap", "sets"},
    "comparison.chosen": {"runs", "overlap", "store", "sets"},
    "comparison.kept": {"comparison", "disk", "figures", "runs", "overlap", "store", "sets"},
    "comparison.page": {"figures", "overlap", "sets"},
    "comparison.said": {"comparison", "runs", "overlap", "store", "sets"},
    "comparison": {"disk", "figures", "overlap", "runs", "store", "sets"},
    "scale": {"comparison", "runs", "overlap", "store", "sets"},
    "trainings.words": {"store"},
    "trainings": {"disk", "store", "sets"},
    "delivery.journals": {"disk", "trainings", "store", "sets"},
    "delivery": {"disk", "trainings", "store", "sets"},
    "tracking.loops": {"tracking", "delivery", "disk", "trainings", "store", "sets"},  # its guard
    "tracking": {"delivery", "disk", "trainings", "store", "sets"},
    "commands": {"comparison", "delivery", "runs", "scale", "store", "tracking", "trainings"},
}
BASE = {"", "display"}  # may be imported by all
FACE = {"__init__", "__main__", "cli"}  # may import everything

# Library -> where it may be imported: folders and single modules.
MAY_LOAD: dict[str, set[str]] = {
    "mlflow": {"store", "tracking.autolog"},
    "boto3": {"store.places.s3"},
    "botocore": {"store.places.s3"},
    "sqlalchemy": {"store.places.databases"},
    "dask": {"scale"},
    "torch": {"sets.weights", "sets.reading.tensors", "sets.ranking.importance"},
    "safetensors": {"sets.reading.tensors"},
    "tqdm": {"display.progress"},
    "gradiend": {"tracking", "models.encoder"},
    "matplotlib": {"comparison", "figures"},
    "PIL": {"comparison", "sets.picture"},
}

MOST_MODULES, MOST_LINES, FEWEST_LINES = 10, 300, 30


@dataclass(frozen=True)
class Module:
    """A module of the package by its dotted name below the package."""

    name: str
    file: Path

    @property
    def room(self) -> str:
        """The folder."""
        return self.name.rpartition(".")[0]

    @property
    def tree(self) -> ast.Module:
        """What is in it."""
        return _parsed(self.file)


@cache
def _parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def modules() -> list[Module]:
    """All of them; a folder's own `__init__` has the folder's name."""
    found = []
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1]) if parts[-1] == "__init__" and len(parts) > 1 else ".".join(parts)
        found.append(Module(name, file))
    return found


MODULES = modules()
BY_NAME = {module.name: module for module in MODULES}


def imported(module: Module) -> Iterator[str]:
    """Every module that is imported, wherever in the file: on top, in functions, for types only."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "gradiend_mlflow":
            # A folder, a module, or a public name, which is the face's.
            names = [alias.name for alias in node.names]
            yield from (f"gradiend_mlflow.{name if name in BY_NAME else '__init__'}" for name in names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            own = [name for name in names if name.removeprefix("gradiend_mlflow.") in BY_NAME]
            yield from own or [node.module]


@cache
def own_imports(module: Module) -> set[str]:
    """The modules of this package that it imports."""
    return {name.removeprefix("gradiend_mlflow.") for name in imported(module) if name.startswith("gradiend_mlflow.")}


@pytest.fixture(autouse=True)
def tracking() -> None:
    """The laws need no database."""


def inside(room: str) -> list[Module]:
    """The modules of a folder; a folder's own `__init__` counts to the folder around it."""
    return [module for module in MODULES if module.room == room]


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_point_down(room: str) -> None:
    """Never up, never across."""
    for module in inside(room):
        if module.name not in FACE:
            check_imports(module)


def check_imports(module: Module) -> None:
    """No import of a module leads up or across."""
    room = module.room or (module.name if module.name in MAY_IMPORT else "")
    allowed = MAY_IMPORT[room] | {room} | BASE
    for other in sorted(own_imports(module)):
        room = other if other in MAY_IMPORT else BY_NAME[other].room
        assert {room, room.partition(".")[0]} & allowed, f"{module.name} imports {other}, which is not below it"
        assert other not in FACE, f"{module.name} imports {other}, the face of the package"


def test_no_circles() -> None:
    """Also none hidden in a function or under TYPE_CHECKING."""
    imports = {module.name: own_imports(module) - {module.name} for module in MODULES}
    circles = {name: sorted(other for other in imports[name] if name in _reached(other, imports)) for name in imports}
    found = [f"{name} -> {', '.join(others)}" for name, others in circles.items() if others]
    assert not found, f"these import each other: {'; '.join(found)}"


def _reached(start: str, imports: dict[str, set[str]]) -> set[str]:
    """All that is imported by a module, and by what it imports."""
    reached, waiting = {start}, [start]
    while waiting:
        new = imports[waiting.pop()] - reached
        reached |= new
        waiting += new
    return reached


def test_no_training_shows_a_bar() -> None:
    """Of what a training reaches only the reader could, and does not unless it is told to."""
    imports = {module.name: own_imports(module) - {module.name} for module in MODULES}
    reached = {name for module in MODULES if module.room == "tracking" for name in _reached(module.name, imports)}
    assert {name for name in reached if "display.progress" in imports[name]} == {"store.trust.paging"}
    (search,) = (node for node in ast.walk(BY_NAME["store.reader"].tree) if getattr(node, "name", "") == "search")
    assert isinstance(search, ast.FunctionDef)
    defaults = zip(search.args.kwonlyargs, search.args.kw_defaults, strict=True)
    assert [ast.unparse(value) for argument, value in defaults if argument.arg == "progress" and value] == ["False"]


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_can_be_seen(room: str) -> None:
    """Nothing is imported by a name that is computed."""
    for module in inside(room):
        called = {ast.unparse(node.func) for node in ast.walk(module.tree) if isinstance(node, ast.Call)}
        assert not called & {"__import__", "import_module", "importlib.import_module"}, module.name


@pytest.mark.parametrize(
    ("rooms", "absent"),
    [
        (("overlap", "sets"), {"mlflow", "matplotlib", "torch", "gradiend"}),
        (("comparison", "figures", "overlap", "runs", "store"), {"torch", "gradiend", "transformers"}),
    ],
)
def test_what_rooms_load(rooms: tuple[str, ...], absent: set[str], run_python: Callable[[str], str]) -> None:
    """What is imported in turn counts too."""
    with_torch = MAY_LOAD["torch"]
    whole = [module for module in MODULES if module.room.partition(".")[0] in rooms]
    names = [module.name for module in whole if module.name not in with_torch and module.room != "sets.ranking"]
    script = "".join(f"import gradiend_mlflow.{name}\n" for name in names)
    loaded = run_python(f"{script}import sys; print(*{{name.partition('.')[0] for name in sys.modules}})").split()
    assert not absent & set(loaded)


def test_numbers_load_no_figures(run_python: Callable[[str], str]) -> None:
    """What `compare(log=False).matrix` needs is there without matplotlib and scipy.stats, which take a second each."""
    script = (
        "import sys, gradiend_mlflow.comparison.compare\nfrom gradiend_mlflow import TopKSet, compute_overlap\n"
        "sets = {label: TopKSet.from_indices([1, 2], space=9) for label in 'ab'}\n"
        "compute_overlap(sets).jaccard, compute_overlap(sets).chance()\nprint(*sys.modules)"
    )
    loaded = set(run_python(script).split())
    assert "gradiend_mlflow.comparison.log" in loaded
    assert not {"matplotlib", "PIL", "seaborn", "scipy.stats", "scipy.optimize", "shapely"} & loaded


@pytest.mark.parametrize("library", MAY_LOAD)
def test_libraries_stay_in_their_rooms(library: str) -> None:
    """The reading wing loads neither torch nor gradiend; numbers know no figures and no server."""
    for module in MODULES:
        if any(name.split(".")[0] == library for name in imported(module)):
            assert {module.room.partition(".")[0], module.name} & MAY_LOAD[library], f"{module.name} imports {library}"


def test_rooms_have_walls() -> None:
    """No folder that the laws do not know."""
    assert {module.room for module in MODULES} == set(MAY_IMPORT)


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_rooms_are_small(room: str) -> None:
    """So that a reader finds what is in them."""
    names = [module.name for module in inside(room) if module.name not in MAY_IMPORT]
    assert len(names) <= MOST_MODULES, f"{room or 'the package'} has {len(names)}: {', '.join(names)}"


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_modules_are_small(room: str) -> None:
    """And none is so small that its only user could hold it."""
    for module in inside(room):
        lines = len(module.file.read_text(encoding="utf-8").splitlines())
        assert lines <= MOST_LINES, f"{module.file} has {lines} lines"
        users = [other.name for other in MODULES if module.name in own_imports(other)]
        if lines < FEWEST_LINES and module.name not in FACE | set(MAY_IMPORT):
            assert len(users) > 1, f"{module.name} has {lines} lines and one user, {', '.join(users)}"


@pytest.mark.parametrize("room", [room for room in MAY_IMPORT if room])
def test_rooms_say_what_they_are_for(room: str) -> None:
    """In one sentence, and re-export nothing."""
    (only,) = BY_NAME[room].tree.body
    assert isinstance(only, ast.Expr)
    said = ast.get_docstring(BY_NAME[room].tree) or ""
    assert said.count("\n") == 0
    assert said.endswith(".")


def test_a_broken_law_would_be_noticed(tmp_path: Path) -> None:
    """An import in a function, one for types, one of a folder's module, one of a library."""
    file = tmp_path / "module.py"
    file.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from gradiend_mlflow.figures.venn import plot_venn\n"
        "def f():\n    import mlflow.entities\n    from gradiend_mlflow.store import tags\n"
        "    from gradiend_mlflow import figures, plot_venn\n"
    )
    broken = Module("overlap.broken", file)
    assert own_imports(broken) == {"figures.venn", "store.tags", "figures", "__init__"}
    assert "mlflow.entities" in set(imported(broken))
    with pytest.raises(AssertionError, match=r"overlap.broken imports __init__"):
        check_imports(broken)
