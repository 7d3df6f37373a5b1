"""The cache of pulled sets: what is in it, what is not, and that a reader never suffers from it."""

from __future__ import annotations

import hashlib
import logging
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

import gradiend_mlflow
from gradiend_mlflow import InvalidInputError, TopKSet, compare, load_topk, search_runs
from gradiend_mlflow.runs.cache import Cache, open_cache
from gradiend_mlflow.store.reader import Reader
from tests.support.sets import log_set, tag_set

PLENTY = 1e9


def digest_of(data: bytes) -> str:
    """What a file is kept under."""
    return hashlib.sha256(data).hexdigest()


def names(folder: Path) -> set[str]:
    """What lies in a folder."""
    return {file.name for file in folder.iterdir()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder."""
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that are fetched from the store, in any order."""
    paths: list[str] = []
    fetch = Reader.fetch

    def noted(self: Reader, artifact_uri: str, path: str, **promised: Any) -> bytes:
        paths.append(path)
        return fetch(self, artifact_uri, path, **promised)

    monkeypatch.setattr(Reader, "fetch", noted)
    return paths


@pytest.fixture
def run_id(tracking: MlflowClient, tmp_path: Path) -> str:
    """A run with one set of 20 weights."""
    run_id = log_set(tracking, tmp_path)
    tag_set(tracking, run_id, sha256=digest_of((tmp_path / "decoder-weight.parquet").read_bytes()))
    return run_id


class TestPulling:
    """`load_topk` and `compare` with a cache."""

    def test_the_second_time_nothing_is_fetched(self, run_id: str, fetched: list[str], tmp_path: Path) -> None:
        """By any function that pulls, whatever k is asked for; and the sets are the same."""
        cache = tmp_path / "kept"
        first = load_topk([run_id], topk=5, cache=cache)
        assert len(fetched) == 1
        assert load_topk([run_id], topk=5, cache=cache) == first
        assert load_topk([run_id], topk=20, cache=str(cache))[run_id].top(5) == first[run_id]
        assert len(fetched) == 1
        assert load_topk([run_id], topk=5, cache="off") == first
        assert len(fetched) == 2

    def test_compare_keeps_them_too(
        self, logged: dict[str, Path], server: str, fetched: list[str], tmp_path: Path
    ) -> None:
        """In the given folder, under the digests of the runs' tags, and nothing else in it."""
        cache = tmp_path / "kept"
        matrix = compare(experiment_names="pronouns", topk=50, log=False, cache=cache, tracking_uri=server).matrix
        frame = search_runs("pronouns", tracking_uri=server)
        assert names(cache) == {f"{sets['decoder-weight']['sha256']}.parquet" for sets in frame["sets"]}
        assert len(fetched) == len(logged)
        again = compare(frame, topk=50, log=False, cache=cache, tracking_uri=server).matrix
        assert again.equals(matrix)
        assert len(fetched) == len(logged)

    def test_a_damaged_file_is_pulled_again(self, run_id: str, fetched: list[str], tmp_path: Path) -> None:
        """Truncated, changed, empty: nobody notices, and the next reader finds it whole."""
        cache = tmp_path / "kept"
        good = load_topk([run_id], topk=20, cache=cache)
        (file,) = cache.iterdir()
        content = file.read_bytes()
        for number, damaged in enumerate((content[:-1], content[:-1] + b"x", b""), start=2):
            file.write_bytes(damaged)
            assert load_topk([run_id], topk=20, cache=cache) == good
            assert len(fetched) == number
            assert file.read_bytes() == content

    def test_what_a_server_calls_a_digest_is_no_path(
        self, run_id: str, tracking: MlflowClient, tmp_path: Path
    ) -> None:
        """Neither read nor removed."""
        precious = tmp_path / "precious.parquet"
        precious.write_bytes(b"mine")
        tag_set(tracking, run_id, sha256="../precious")
        with pytest.raises(gradiend_mlflow.ArtifactError, match="sha256 must be 64 hexadecimal digits"):
            load_topk([run_id], topk=5, cache=tmp_path / "kept")
        assert precious.read_bytes() == b"mine"

    def test_a_file_that_is_not_the_logged_one_is_not_kept(
        self, run_id: str, tracking: MlflowClient, tmp_path: Path
    ) -> None:
        """Only what was verified is."""
        tag_set(tracking, run_id, sha256="0" * 64)
        with pytest.raises(gradiend_mlflow.ArtifactError):
            load_topk([run_id], topk=5, cache=tmp_path / "kept")
        assert not (tmp_path / "kept").exists()


class TestWhere:
    """Which folder it is."""

    def test_the_environment_says(
        self, run_id: str, fetched: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A folder, or "off"; an argument counts more."""
        monkeypatch.setenv("GRADIEND_MLFLOW_CACHE", str(tmp_path / "mine"))
        load_topk([run_id], topk=5)
        assert len(names(tmp_path / "mine")) == 1
        load_topk([run_id], topk=5, cache=tmp_path / "argument")
        assert len(names(tmp_path / "argument")) == 1
        monkeypatch.setenv("GRADIEND_MLFLOW_CACHE", "off")
        load_topk([run_id], topk=5)
        monkeypatch.setenv("GRADIEND_MLFLOW_CACHE", " OFF ")
        load_topk([run_id], topk=5)
        assert len(fetched) == 4
        assert names(tmp_path) >= {"mine", "argument"}
        assert not [name for name in names(Path.cwd()) if "off" in name.lower()]

    def test_by_default_it_is_the_users_cache_folder(
        self, run_id: str, tmp_path: Path, run_python: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As the system defines it; an empty variable is none."""
        monkeypatch.setenv("GRADIEND_MLFLOW_CACHE", "")
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache home"))
        uri = Reader().uri
        run_python(f"import gradiend_mlflow as g; g.load_topk([{run_id!r}], topk=5, tracking_uri={uri!r})")
        assert len(names(tmp_path / "cache home" / "gradiend-mlflow")) == 1

    def test_who_has_no_home_has_no_cache(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Rather than one in a folder called "~"."""
        monkeypatch.delenv("GRADIEND_MLFLOW_CACHE")
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.setattr("os.path.expanduser", lambda path: path)
        monkeypatch.chdir(tmp_path)
        before = names(tmp_path)
        open_cache(None).write(digest_of(b"x"), b"x")
        assert names(tmp_path) == before

    def test_a_tilde_is_the_users_home(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Environment variables in configuration files are not expanded by a shell."""
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("GRADIEND_MLFLOW_CACHE", "~/sets")
        open_cache(None).write(digest_of(b"x"), b"x")
        assert len(names(tmp_path / "sets")) == 1

    @pytest.mark.parametrize("cache", [False, 3, b"folder"])
    def test_what_is_no_folder(self, cache: object) -> None:
        """It says what to pass."""
        with pytest.raises(InvalidInputError, match='must be a directory, "off" or None'):
            load_topk([], cache=cache)

    @pytest.mark.parametrize("cache", ["s3://bucket/sets", "a\0b", "~nobody-of-that-name/sets"])
    def test_what_is_no_folder_here(self, cache: str) -> None:
        """Rather than one of that name in the working directory."""
        with pytest.raises(InvalidInputError, match="must be a directory on this machine"):
            load_topk([], cache=cache)

    @pytest.mark.parametrize("text", ["much", "0", "-1", "nan", "2 GB"])
    def test_a_size_that_is_none(self, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """It says which variable."""
        monkeypatch.setenv("GRADIEND_MLFLOW_CACHE_SIZE", text)
        with pytest.raises(InvalidInputError, match="GRADIEND_MLFLOW_CACHE_SIZE must be a number of gigabytes"):
            load_topk([])


class TestSize:
    """It is kept below a size."""

    def test_what_was_used_longest_ago_goes(self, folder: Path) -> None:
        """Reading counts as using."""
        contents = [bytes([number]) * 100 for number in range(4)]
        digests = [digest_of(content) for content in contents]
        cache = Cache(folder, 250)
        for age, (digest, content) in enumerate(zip(digests[:3], contents[:3], strict=True)):
            cache.write(digest, content)
            os.utime(folder / f"{digest}.parquet", (age, age))
        assert cache.read(digests[0]) == contents[0]
        cache.write(digests[3], contents[3])
        cache.trim()
        assert names(folder) == {f"{digests[0]}.parquet", f"{digests[3]}.parquet"}

    def test_the_environment_says_how_large(
        self, run_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """In gigabytes; a set that does not fit is pulled all the same."""
        monkeypatch.setenv("GRADIEND_MLFLOW_CACHE_SIZE", "1e-6")
        assert len(load_topk([run_id], topk=5, cache=tmp_path / "kept")) == 1
        assert names(tmp_path / "kept") == set()

    def test_nothing_else_is_removed(self, folder: Path) -> None:
        """Somebody may have pointed it at his documents."""
        (folder / "thesis.parquet").write_bytes(b"x" * 1000)
        (folder / "more").mkdir()
        cache = Cache(folder, 10)
        cache.write(digest_of(b"x" * 100), b"x" * 100)
        cache.trim()
        assert names(folder) == {"thesis.parquet", "more"}

    def test_one_that_cannot_be_kept_holds_up_no_other(self, folder: Path) -> None:
        """Where something else has its name."""
        contents = [bytes([number]) * 100 for number in range(3)]
        digests = [digest_of(content) for content in contents]
        (folder / f"{digests[0]}.parquet").mkdir()
        cache = Cache(folder, 150)
        for digest, content in zip(digests, contents, strict=True):
            cache.write(digest, content)
        assert [cache.read(digest) for digest in digests] == [None, *contents[1:]]
        cache.trim()
        assert (folder / f"{digests[0]}.parquet").is_dir()
        assert len(names(folder)) == 2

    def test_what_a_killed_process_left_goes(self, folder: Path) -> None:
        """But not what another is writing now."""
        old, new = (folder / f"{digit * 32}.partial" for digit in "01")
        for file, age in ((old, 7200), (new, 0)):
            file.write_bytes(b"half")
            os.utime(file, (time.time() - age,) * 2)
        cache = Cache(folder, PLENTY)
        cache.write(digest_of(b"x"), b"x")
        cache.trim()
        assert names(folder) == {new.name, f"{digest_of(b'x')}.parquet"}


class TestFaults:
    """The reader goes on without."""

    @pytest.mark.parametrize("fault", ["a file in its place", "full"])
    def test_where_nothing_can_be_written(
        self,
        fault: str,
        logged: dict[str, Path],
        server: str,
        fetched: list[str],
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """Sets are pulled each time, with one warning in all, and nothing half is left."""
        kept = tmp_path / "kept"
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        if fault == "full":
            kept.mkdir()
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))  # the system refuses to write more into any file
        else:
            kept.write_bytes(b"")
        try:
            with caplog.at_level(logging.WARNING, "gradiend_mlflow"):
                frame = search_runs("pronouns", tracking_uri=server)
                for _ in range(3):
                    assert len(load_topk(frame, topk=5, cache=kept, tracking_uri=server)) == len(logged)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert len(fetched) == 3 * len(logged)
        (record,) = caplog.records
        assert f"{kept} cannot be written" in record.getMessage()
        assert "GRADIEND_MLFLOW_CACHE=off" in record.getMessage()
        assert not kept.is_dir() or names(kept) == set()

    def test_a_folder_of_others_is_read(
        self, run_id: str, fetched: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A lab may share one that only one person fills: there, nothing can be marked as used."""
        folder = tmp_path / "kept"
        load_topk([run_id], topk=5, cache=folder)

        def refused(*_: object) -> None:
            raise PermissionError

        monkeypatch.setattr("os.utime", refused)
        load_topk([run_id], topk=5, cache=folder)
        assert len(fetched) == 1


_SHARING = """
import hashlib, random, sys
from pathlib import Path
from gradiend_mlflow.runs.cache import Cache
random.seed(int(sys.argv[1]))
contents = [bytes([number]) * 20_000 for number in range(10)]
hits = 0
for _ in range(300):
    cache = Cache(Path("shared"), 100_000)
    content = random.choice(contents)
    digest = hashlib.sha256(content).hexdigest()
    found = cache.read(digest)
    assert found in (None, content)
    hits += found is not None
    if found is None:
        cache.write(digest, content)
        cache.trim()
assert hits
"""


def test_processes_share_a_folder(tmp_path: Path) -> None:
    """They read, write and remove the same files at once: each finds a whole file or none, and the size is kept."""
    command = [sys.executable, "-W", "error", "-c", _SHARING]
    processes = [
        subprocess.Popen([*command, str(number)], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        for number in range(4)
    ]
    assert [process.communicate(timeout=120)[1] for process in processes] == [""] * 4
    assert len(names(tmp_path / "shared")) == 5
    for file in (tmp_path / "shared").iterdir():
        assert file.name == f"{digest_of(file.read_bytes())}.parquet"


def test_threads_share_a_cache(folder: Path) -> None:
    """As those of one `load_topk` do: every one writes the same file."""
    cache = Cache(folder, PLENTY)
    content = b"x" * 1_000_000
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: cache.write(digest_of(content), content), range(40)))
        assert set(pool.map(cache.read, [digest_of(content)] * 40)) == {content}
    assert names(folder) == {f"{digest_of(content)}.parquet"}


def test_many_are_pulled_at_once(tracking: MlflowClient, tmp_path: Path) -> None:
    """More than wait in memory: each run gets its own set, from the store and from the cache, in the order asked."""
    run_ids = {}
    for number in range(80):
        topk_set = TopKSet.from_indices([number, 99], space=100)
        run_id = log_set(tracking, tmp_path, topk_set)
        tag_set(tracking, run_id, sha256=digest_of((tmp_path / "decoder-weight.parquet").read_bytes()))
        run_ids[run_id] = topk_set
    half = dict(list(run_ids.items())[::2])
    assert load_topk(list(half), topk=2, cache=tmp_path / "kept") == half
    for _ in range(2):
        sets = load_topk(list(run_ids), topk=2, cache=tmp_path / "kept")
        assert list(sets) == list(run_ids)
        assert sets == run_ids
