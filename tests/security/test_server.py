"""A hostile server: where it sends a token, how much it answers, how long it takes."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import gradiend_mlflow
from gradiend_mlflow import GradiendMLflowError, StoreError
from gradiend_mlflow.store.reader import Reader
from gradiend_mlflow.store.store import Store
from gradiend_mlflow.store.trust.addresses import check_artifact_uri
from tests.support.hostile import HostileServer, Request, endless, hostile_server, reply, run_of
from tests.support.sampling import quick

SERVER = "http://me:pw@mlflow.example:5000/prefix"
TOKEN = "the-users-token"


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch) -> Iterator[HostileServer]:
    """A hostile server, and a user with a token who waits for two seconds."""
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", TOKEN)
    monkeypatch.setenv("GRADIEND_MLFLOW_DEADLINE", "2")
    with hostile_server() as server:
        yield server


@pytest.fixture
def other() -> Iterator[HostileServer]:
    """Another server, which must not learn of the token."""
    with hostile_server() as server:
        yield server


class TestAddresses:
    """What a server may call the place of its artifacts."""

    @pytest.mark.parametrize(
        ("artifact_uri", "tracking_uri"),
        [
            ("mlflow-artifacts:/0/abc/artifacts", SERVER),
            ("mlflow-artifacts://mlflow.example:5000/0/abc", SERVER),
            ("http://mlflow.example:5000/api/2.0/mlflow-artifacts/artifacts/0", SERVER),
            ("http://MLFLOW.example:80/x", "http://mlflow.example"),
            ("https://mlflow.example/x", "https://mlflow.example:443/prefix"),
            ("http://[::1]:5000/x", "http://[::1]:5000"),
            ("http://me:pw@mlflow.example:5000/prefix/api/2.0/mlflow-artifacts/artifacts/0", SERVER),
            ("s3://bucket/0/abc", SERVER),
            ("gs://bucket/with spaces/abc", SERVER),
            ("abfss://files@account.dfs.core.windows.net/0", SERVER),
            ("wasbs://container@account.blob.core.windows.net/0", SERVER),
            ("file:///home/me/mlruns/0/abc", "sqlite:////home/me/mlflow.db"),
            ("/home/me/mlruns/0/abc", "sqlite:///mlflow.db"),
            ("./mlruns/../other/0", "./mlruns"),
            ("file:///home/me/mlruns/0/abc", "file:///home/me/mlruns"),
        ],
    )
    def test_usual(self, artifact_uri: str, tracking_uri: str) -> None:
        """The server itself, the clouds, and files beside a local store."""
        check_artifact_uri(artifact_uri, tracking_uri)

    @pytest.mark.parametrize(
        "artifact_uri",
        [
            "",
            "http://evil.example/x",
            "https://mlflow.example:5000/x",  # another scheme
            "http://mlflow.example/x",  # another port
            "http://mlflow.example:5000@evil.example/x",
            "http://somebody@mlflow.example:5000/x",
            "http://evil.example\\@mlflow.example:5000/x",
            "http://mlflow.example:5000.evil.example/x",
            "http:evil.example",
            "http:///evil.example",
            " http://evil.example",
            "http://mlflow.example:5000\t.evil.example/",
            "mlflow-artifacts://evil.example/x",
            "mlflow-artifacts://mlflow.example:5000@evil.example/x",
            "mlflow-artifacts:/\n/evil.example/x",
            "s3://user@evil.example/x",
            "s3://",
            "abfss://files@evil.example/x",
            "abfss://files@account.dfs.core.windows.net.evil.example/x",
            "abfss://files@evil.example#.dfs.core.windows.net/x",
            "file:///home/me/.ssh",
            "/home/me/.ssh",
            "./mlruns",
            "//evil.example/share",
            "ftp://evil.example/x",
            "sftp://evil.example/x",
            "hdfs://evil.example/x",
            "dbfs:/x",
            "runs:/abc/x",
            "models:/abc/1",
            "plugin-of-somebody://x",
            "x" * 10_000,
        ],
    )
    def test_others(self, artifact_uri: str) -> None:
        """Whatever else; the error says how to allow it, and quotes little."""
        with pytest.raises(StoreError, match="GRADIEND_MLFLOW_ALLOW_ARTIFACTS") as raised:
            check_artifact_uri(artifact_uri, SERVER)
        assert len(str(raised.value)) < 700

    @pytest.mark.parametrize(
        ("artifact_uri", "tracking_uri"),
        [
            ("http://evil.example/x", "sqlite:///mlflow.db"),
            ("http:evil.example", "sqlite:///mlflow.db"),
            (" http://evil.example/x", "sqlite:///mlflow.db"),
            ("mlflow-artifacts://evil.example/x", "./mlruns"),
            ("file:///etc", "postgresql://me:pw@localhost/db"),
            ("file:///etc", "databricks"),
            ("/etc", "databricks://profile"),
        ],
    )
    def test_others_of_other_stores(self, artifact_uri: str, tracking_uri: str) -> None:
        """A local store may name files only, and only a local store may."""
        with pytest.raises(StoreError, match="GRADIEND_MLFLOW_ALLOW_ARTIFACTS"):
            check_artifact_uri(artifact_uri, tracking_uri)

    @pytest.mark.parametrize(
        ("named", "artifact_uri", "allowed"),
        [
            ("hdfs", "hdfs://namenode:8020/x", True),
            ("ftp, HDFS:", "hdfs://namenode:8020/x", True),
            ("hdfs://namenode:8020/runs", "hdfs://namenode:8020/runs/0", True),
            ("hdfs://namenode:8020/runs", "hdfs://namenode:8020/runs-of-others", False),
            ("hdfs://namenode:8020/runs", "hdfs://namenode:8020/runs/../x", False),
            ("hdfs://namenode:8020/runs", "hdfs://namenode:8020/runs/%2e%2e/x", False),
            ("https://store.example", "https://store.example:443/x", True),
            ("https://store.example", "https://store.example.evil.example/x", False),
            ("https://store.example", "https://store.example@evil.example/x", False),
            ("file", "/shared/mlruns/0", True),
            ("/shared", "file:///shared/mlruns/0", True),
            ("/shared", "/shared/../etc", False),
            ("/shared", "/sharedness", False),
            ("", "/shared", False),
            (",", "ftp://x/y", False),
        ],
    )
    def test_named_by_the_user(
        self, named: str, artifact_uri: str, allowed: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A scheme, an address or its beginning, in whole steps."""
        monkeypatch.setenv("GRADIEND_MLFLOW_ALLOW_ARTIFACTS", named)
        if allowed:
            check_artifact_uri(artifact_uri, SERVER)
        else:
            with pytest.raises(StoreError):
                check_artifact_uri(artifact_uri, SERVER)


class TestTheToken:
    """It goes to the tracking server only."""

    @pytest.mark.parametrize("scheme", ["http", "mlflow-artifacts"])
    def test_reading(self, scheme: str, hostile: HostileServer, other: HostileServer) -> None:
        """An artifact that lies elsewhere is not asked for."""
        hostile.runs = [run_of(other.uri.replace("http", scheme) + "/x")]
        frame = gradiend_mlflow.search_runs(["e"], tracking_uri=hostile.uri)
        with pytest.raises(GradiendMLflowError, match="not its own address"):
            gradiend_mlflow.load_topk(frame, tracking_uri=hostile.uri)
        assert hostile.requests[0][2] == f"Bearer {TOKEN}"
        assert not other.requests

    def test_writing(self, hostile: HostileServer, other: HostileServer, tmp_path: Path) -> None:
        """Nothing is uploaded elsewhere: files, folders, images."""
        hostile.runs = [run_of(f"{other.uri}/x")]
        (tmp_path / "file.txt").write_text("mine")
        store = Store(hostile.uri)
        for what in (tmp_path / "file.txt", tmp_path):
            with pytest.raises(StoreError, match="not its own address"):
                store.upload("a" * 32, what, None)
        assert not other.requests

    def test_writing_into_files(self, hostile: HostileServer, tmp_path: Path) -> None:
        """Nor into this machine's."""
        hostile.runs = [run_of(f"file://{tmp_path}/ssh")]
        (tmp_path / "file.txt").write_text("mine")
        with pytest.raises(StoreError, match="not its own address"):
            Store(hostile.uri).upload("b" * 32, tmp_path / "file.txt", None)
        assert not (tmp_path / "ssh").exists()

    @pytest.mark.parametrize("wanted", [False, True])
    def test_uploads_in_parts(
        self, wanted: bool, hostile: HostileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A server is not asked for addresses of parts, whatever it offers, unless the user wants it."""
        hostile.answers["server-info"] = lambda request: reply(request, {"multipart_uploads_enabled": True})
        monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE", "1")
        if wanted:
            monkeypatch.setenv("MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD", "true")
        (tmp_path / "file.txt").write_text("mine")
        run_id = ("c" if wanted else "d") * 32  # MLflow remembers where a run's artifacts are
        with pytest.raises(StoreError):  # this server takes nothing in the end
            Store(hostile.uri).upload(run_id, tmp_path / "file.txt", None)
        assert any("/mpu/create" in path for _, path, _ in hostile.requests) == wanted
        assert any(method == "PUT" for method, _, _ in hostile.requests) != wanted

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_a_redirected_search_is_an_error(self, status: int, hostile: HostileServer, other: HostileServer) -> None:
        """And not a search that finds nothing; it is not repeated either."""
        hostile.answers["runs/search"] = lambda request: reply(request, b"", status=status, Location=f"{other.uri}/r")
        with pytest.raises(StoreError, match=r"redirects to .* not followed: a token must not go to another server"):
            gradiend_mlflow.search_runs(["e"], tracking_uri=hostile.uri)
        assert not other.requests
        assert sum("runs/search" in path for _, path, _ in hostile.requests) == 1

    @pytest.mark.parametrize(
        "location", ["//{host}/x", "http:///{host}/x", "http:{host}", "\\\\{host}", "ftp://{host}"]
    )
    def test_odd_redirects(self, location: str, hostile: HostileServer, other: HostileServer) -> None:
        """However the other server is written."""
        target = location.format(host=other.uri.removeprefix("http://"))
        hostile.answers["mlflow-artifacts"] = lambda request: reply(request, b"", status=302, Location=target)
        with pytest.raises(GradiendMLflowError):
            gradiend_mlflow.load_topk(["a" * 32], tracking_uri=hostile.uri)
        assert not other.requests

    def test_redirects_of_the_server_to_itself(self, hostile: HostileServer) -> None:
        """Are followed, but not if that loses what was asked."""
        hostile.answers["search-later"] = lambda request: reply(request, {"runs": hostile.runs})
        hostile.answers["runs/search"] = lambda request: reply(
            request, b"", status=308, Location="/api/2.0/mlflow/runs/search-later"
        )
        assert len(gradiend_mlflow.search_runs(["e"], tracking_uri=hostile.uri)) == 1
        hostile.answers["runs/search"] = lambda request: reply(request, b"", status=302, Location="/elsewhere")
        with pytest.raises(StoreError, match=r"redirects to '.*elsewhere', which is not followed"):
            gradiend_mlflow.search_runs(["e"], tracking_uri=hostile.uri)


class TestNoEnd:
    """Answers without end are given up, soon."""

    def test_a_page_that_repeats(self, hostile: HostileServer) -> None:
        """Or an empty page that names another."""
        hostile.answers["runs/search"] = lambda request: reply(
            request, {"runs": hostile.runs, "next_page_token": "again"}
        )
        with pytest.raises(StoreError, match="no end: after 2 pages"):
            gradiend_mlflow.search_runs(["e"], tracking_uri=hostile.uri)
        hostile.answers["runs/search"] = lambda request: reply(request, {"next_page_token": f"{time.monotonic()}"})
        with pytest.raises(StoreError, match="no end: after 1 pages"):
            gradiend_mlflow.search_runs(["e"], tracking_uri=hostile.uri)

    def test_ever_new_pages(self, hostile: HostileServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of experiments, and of a metric."""
        monkeypatch.setattr("gradiend_mlflow.store.trust.paging._MOST_PAGES", 20)
        hostile.answers["experiments/search"] = lambda request: reply(
            request,
            {"experiments": [{"experiment_id": "0", "name": "e"}], "next_page_token": f"{len(hostile.requests)}"},
        )
        with pytest.raises(StoreError, match="no end: after 21 pages"):
            gradiend_mlflow.search_runs(["e"], tracking_uri=hostile.uri)
        point = {"key": "x", "value": 1, "timestamp": 1, "step": 1}
        hostile.answers["get-history"] = lambda request: reply(
            request, {"metrics": [point], "next_page_token": f"{len(hostile.requests)}"}
        )
        with pytest.raises(StoreError, match="no end: after 21 pages"):
            Reader(hostile.uri).metric_history("a" * 32, "x")

    @pytest.mark.parametrize("path", ["runs/search", "mlflow-artifacts"])
    @pytest.mark.parametrize("what", ["headers", "body"])
    def test_a_trickle(self, what: str, path: str, hostile: HostileServer) -> None:
        """A byte now and then: as long as a server that does not answer."""

        def trickle(request: Request) -> None:
            request.wfile.write(b"HTTP/1.1 200 OK\r\n")
            request.wfile.write(b"Content-Length: 1000\r\n\r\n" if what == "body" else b"X: ")
            while not hostile.leaving.wait(0.05):
                request.wfile.write(b" ")
                request.wfile.flush()

        hostile.answers[path] = trickle
        begun = time.monotonic()
        with pytest.raises(StoreError, match="no answer in time"):
            gradiend_mlflow.load_topk(
                gradiend_mlflow.search_runs(["e"], tracking_uri=hostile.uri), tracking_uri=hostile.uri
            )
        assert time.monotonic() - begun < 20

    def test_an_announced_size(self, hostile: HostileServer) -> None:
        """Is believed, and refused before anything is read."""
        hostile.answers["mlflow-artifacts"] = lambda request: reply(request, b"", Content_Length=str(10**15))
        with pytest.raises(StoreError, match=r"announces an answer of 1,000,000,000,000,000 bytes; at most 16,787"):
            gradiend_mlflow.load_topk(["a" * 32], tracking_uri=hostile.uri)


_IN_LITTLE_MEMORY = """
import resource, sys
import gradiend_mlflow
from gradiend_mlflow.comparison.compare import compare  # what is loaded counts, too
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + 400 * 2**20, size + 400 * 2**20))
try:
    gradiend_mlflow.load_topk(["a" * 32], tracking_uri=sys.argv[1])
except gradiend_mlflow.GradiendMLflowError as error:
    print(str(error)[:1000])
"""


def bomb(layers: int) -> bytes:
    """A gigabyte of zeros, compressed several times."""
    packer = zlib.compressobj(1, wbits=31)
    data = b"".join(packer.compress(bytes(2**20)) for _ in range(1024)) + packer.flush()
    for _ in range(layers - 1):
        data = gzip.compress(data)
    return data


@pytest.mark.parametrize("what", quick(["body", "twice", "headers", "search", "zeros", "continues", "fault"], first=2))
def test_bodies_without_end_need_little_memory(what: str, hostile: HostileServer) -> None:
    """400 MB above the start are enough for an endless body, a bomb, endless headers, an endless fault."""
    packed = bomb({"zeros": 1, "twice": 2}[what]) if what in ("zeros", "twice") else b""

    def continues(request: Request) -> None:
        while True:
            request.wfile.write(b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n" * 1000)

    def headers(request: Request) -> None:
        request.wfile.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            request.wfile.write(b"X: " + b"y" * 60_000 + b"\r\n")

    def fault(request: Request) -> None:
        request.wfile.write(b"HTTP/1.1 400 Bad\r\n\r\n")
        while True:
            request.wfile.write(b"<p>" * 10_000)

    answers: dict[str, tuple[str, Any]] = {
        "body": ("mlflow-artifacts", endless(b"x" * 2**16)),
        "search": ("runs/get", endless(b'{"a": [' * 10_000)),
        "zeros": ("mlflow-artifacts", lambda request: reply(request, packed, Content_Encoding="gzip")),
        "twice": ("mlflow-artifacts", lambda request: reply(request, packed, Content_Encoding="gzip, gzip")),
        "continues": ("runs/get", continues),
        "headers": ("runs/get", headers),
        "fault": ("mlflow-artifacts", fault),
    }
    path, answer = answers[what]
    hostile.answers[path] = answer
    command = [sys.executable, "-c", _IN_LITTLE_MEMORY, hostile.uri]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    expected = {
        "body": "longer than 16,787,456 bytes",
        "search": "longer than 67,108,864 bytes",
        "zeros": "longer than 16,787,456 bytes",
        "twice": "longer than 16,787,456 bytes",
        "continues": "sends more than was asked for",
        "headers": "could not find the run",
        "fault": "could not download",
    }
    assert expected[what] in done.stdout
    assert len(done.stdout) < 900


def test_errors_quote_little(hostile: HostileServer) -> None:
    """Whatever a server writes about its fault, and without what acts on a terminal."""
    text = json.dumps({"error_code": "BAD_REQUEST", "message": "\x1b[2J\u202e" + "long " * 10_000})
    hostile.answers["runs/search"] = lambda request: reply(request, text.encode(), status=400)
    with pytest.raises(StoreError) as raised:
        gradiend_mlflow.search_runs(["e"], tracking_uri=hostile.uri)
    assert len(str(raised.value)) < 600
    assert str(raised.value).isprintable()


def test_a_pipe_is_no_artifact(tmp_path: Path) -> None:
    """Reading one would never end; of a file no more is read than it may have."""
    import os

    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(bytes(1000))
    reader = Reader(f"sqlite:///{tmp_path}/mlflow.db")
    with pytest.raises(StoreError, match="is not a regular file"):
        reader.fetch(str(tmp_path), "pipe", sha256="", most=10)
    with pytest.raises(GradiendMLflowError, match="more than the 10 bytes"):
        reader.fetch(str(tmp_path), "large", sha256="", most=10)
