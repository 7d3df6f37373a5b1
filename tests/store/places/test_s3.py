"""Sets that lie in S3 and are read from there, and S3 with every fault: in time, by its own name, without chance."""

from __future__ import annotations

import random
import re
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import boto3
import mlflow
import pytest
from mlflow import MlflowClient

import gradiend_mlflow
from gradiend_mlflow import InvalidInputError, StoreError
from gradiend_mlflow.errors import DeniedError, UnavailableError
from gradiend_mlflow.store.store import Store
from shared_server.s3 import BUCKET
from shared_server.tracking_server import tracking_server
from tests.support.proxy import CUT, HOLE, Proxy
from tests.support.sets import log_trainings

DOWN = "down"
GONE = "it is gone: the server answers 500 and does not list it"
SECRET = "lab-secret"  # as the settings have it


def objects(settings: dict[str, str], prefix: str) -> Any:
    """What is in the bucket, without the proxy."""
    found = boto3.resource("s3", endpoint_url=settings["MLFLOW_S3_ENDPOINT_URL"]).Bucket(BUCKET)
    return found.objects.filter(Prefix=prefix)


def refusal(status: int, code: str) -> tuple[int, bytes]:
    """An answer of S3 that says what is wrong."""
    told = f"<Error><Code>{code}</Code><Message>of {SECRET}?X-Amz-Signature=5ec4e7&amp;a=b</Message></Error>"
    return status, told.encode()


@pytest.fixture
def runs(tracking: MlflowClient, s3: Proxy, tmp_path: Path) -> list[str]:
    """Three runs in sqlite, whose sets are in S3."""
    made = tracking.create_experiment("in S3", artifact_location=f"s3://{BUCKET}/some/where")
    ids = log_trainings(tracking, tmp_path, 3, experiment_id=made)
    s3.requests.clear()
    return ids


def test_one_request_for_each_set(runs: list[str], s3: Proxy) -> None:
    """No HEAD before a GET."""
    assert len(gradiend_mlflow.compare(runs, topk=10, log=False).runs) == len(runs)
    assert [method for method, _ in s3.requests] == ["GET"] * len(runs)


def test_what_is_gone_or_another_is_named(runs: list[str], s3: Proxy, s3_settings: dict[str, str]) -> None:
    """The others are compared; nothing is asked twice."""
    for item in objects(s3_settings, "some"):
        if runs[0] in item.key:
            item.delete()
        elif runs[1] in item.key:
            item.put(Body=b"x" * 17_000_000)
    frame = gradiend_mlflow.verify_runs(runs)
    assert frame["result"].tolist() == ["missing", "damaged", "ok"]
    assert "(NoSuchKey)" in frame["reason"][0]
    assert "has more than the" in frame["reason"][1]
    assert len(s3.requests) == len(runs)


FAULTS: list[Any] = [
    pytest.param(DOWN, UnavailableError, "Connection refused", id="down"),
    pytest.param(HOLE, UnavailableError, "no answer in time", id="hangs"),
    pytest.param(CUT, UnavailableError, "without response", id="cut"),
    pytest.param(refusal(503, "SlowDown"), UnavailableError, r"SlowDown", id="503"),
    pytest.param(refusal(403, "AccessDenied"), DeniedError, "AccessDenied", id="denied"),
    pytest.param(refusal(400, "ExpiredToken"), StoreError, "ExpiredToken", id="expired"),
    pytest.param(refusal(404, "NoSuchBucket"), StoreError, "NoSuchBucket", id="no bucket"),
]


@pytest.mark.parametrize(("fault", "kind", "reason"), FAULTS)
def test_a_reader_learns_of_a_fault_in_time(
    fault: Any, kind: type[StoreError], reason: str, runs: list[str], s3: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under S3's own name; no secret is told, no random number is drawn, no thread remains."""
    monkeypatch.setenv("GRADIEND_MLFLOW_DEADLINE", "1.5")
    break_with(s3, fault)
    random.seed(7)
    begun = time.monotonic()
    with pytest.raises(StoreError, match=f"at the artifact store s3://{BUCKET} at {s3.uri}: .*{reason}") as caught:
        gradiend_mlflow.load_topk(runs, topk=10)
    assert type(caught.value) is kind
    assert time.monotonic() - begun < 8
    assert random.random() == random.Random(7).random()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ThreadPoolExecutor")]
    told = "".join(traceback.format_exception(caught.value))
    assert SECRET not in told
    assert "5ec4e7" not in told
    if kind is not UnavailableError:
        assert len(s3.requests) == len(runs)


@pytest.mark.parametrize("profile", [None, "nobodys"])
def test_without_an_account_it_is_said_where_one_is_looked_for(
    profile: str | None, runs: list[str], s3: Proxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As without one for MLflow; for want of an account, a comparison does not complain of too few runs."""
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    if profile is not None:
        monkeypatch.setenv("AWS_PROFILE", profile)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    for ask in (gradiend_mlflow.load_topk, gradiend_mlflow.compare):
        with pytest.raises(
            StoreError, match=r"AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or .* AWS_PROFILE"
        ) as caught:
            ask(runs, topk=10)
        assert type(caught.value) is DeniedError
    assert s3.requests == []


def break_with(s3: Proxy, fault: Any) -> None:
    """Let S3 have a fault from now on."""
    if fault == DOWN:
        s3.stop()
    else:
        s3.fault = lambda method, path: fault


@pytest.mark.parametrize(("fault", "kind", "reason"), [pytest.param(None, None, "", id="none"), *FAULTS])
def test_a_writer_learns_of_a_fault_in_time(
    fault: Any, kind: type[StoreError] | None, reason: str, runs: list[str], s3: Proxy, tmp_path: Path
) -> None:
    """Each attempt is one request; the worker repeats it."""
    store = Store(once=True, timeout=1)
    break_with(s3, fault)
    (tmp_path / "notes.txt").write_text("some")
    random.seed(7)
    begun = time.monotonic()
    if kind is None:
        store.upload(runs[0], tmp_path / "notes.txt", None)
    else:
        with pytest.raises(StoreError, match=f"at the artifact store s3://{BUCKET} at .*{reason}") as caught:
            store.upload(runs[0], tmp_path / "notes.txt", None)
        assert type(caught.value) is kind
        assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert time.monotonic() - begun < 8
    assert random.random() == random.Random(7).random()
    assert len(s3.requests) == (fault != DOWN)


@pytest.fixture
def model(tracking: MlflowClient, s3: Proxy, tmp_path: Path) -> str:
    """The address of files in S3, as a model's: one below another, of which one is larger than a piece."""
    made = tracking.create_experiment("models in S3", artifact_location=f"s3://{BUCKET}/models")
    run_id = tracking.create_run(made).info.run_id
    folder = tmp_path / "model" / "gradiend"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(bytes(3_000_000))
    tracking.log_artifacts(run_id, str(tmp_path / "model"), "model")
    s3.requests.clear()
    return f"runs:/{run_id}/model"


def test_a_model_is_downloaded_with_one_request_for_each_file(model: str, s3: Proxy, tmp_path: Path) -> None:
    """And one for their list."""
    (tmp_path / "here").mkdir()
    found = Store().download_model(model, tmp_path / "here")
    assert (found / "gradiend" / "model.safetensors").read_bytes() == bytes(3_000_000)
    assert (found / "gradiend" / "config.json").read_text() == "{}"
    assert ["list-type" in path for _, path in s3.requests] == [True, False, False]
    assert {method for method, _ in s3.requests} == {"GET"}


@pytest.mark.parametrize(
    "of_files", [False, pytest.param(True, marks=pytest.mark.long)], ids=["all requests", "those for files"]
)
@pytest.mark.parametrize(("fault", "kind", "reason"), FAULTS)
def test_who_loads_a_model_learns_of_a_fault_in_time(
    fault: Any,
    kind: type[StoreError],
    reason: str,
    of_files: bool,
    model: str,
    s3: Proxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As who pulls sets, whether the list of files fails or a file."""
    monkeypatch.setenv("GRADIEND_MLFLOW_DEADLINE", "1.5")
    break_with(s3, fault)
    if of_files and fault != DOWN:
        s3.fault = lambda method, path: None if "list-type" in path else fault
    random.seed(7)
    begun = time.monotonic()
    with pytest.raises(StoreError, match=f"at the artifact store s3://{BUCKET} at {s3.uri}: .*{reason}") as caught:
        gradiend_mlflow.load_model(model)
    assert type(caught.value) is kind
    assert time.monotonic() - begun < 8
    assert random.random() == random.Random(7).random()
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_model_whose_files_have_other_places_in_their_names(model: str, s3: Proxy, tmp_path: Path) -> None:
    """Nothing is written outside the folder that it is downloaded into."""
    where = Store().run(model.split("/")[1]).artifact_uri.removeprefix(f"s3://{BUCKET}/")
    listed = f"<ListBucketResult><Contents><Key>{where}/model/../../up</Key></Contents></ListBucketResult>"
    s3.fault = lambda method, path: (200, listed.encode()) if "list-type" in path else None
    (tmp_path / "deep" / "here").mkdir(parents=True)
    with pytest.raises(StoreError, match="a file whose name leads elsewhere"):
        Store().download_model(model, tmp_path / "deep" / "here")
    assert len(s3.requests) == 1


def test_the_users_own_calls_stay_as_they_are(runs: list[str], s3: Proxy, tmp_path: Path) -> None:
    """MLflow repeats them, and reads an object's size first."""
    s3.fault = lambda method, path: 503 if len(s3.requests) < 3 else None
    mlflow.artifacts.download_artifacts(
        run_id=runs[0], artifact_path="gradiend/topk/decoder-weight.parquet", dst_path=str(tmp_path / "down")
    )
    assert "HEAD" in {method for method, _ in s3.requests}


def test_what_to_install(runs: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """boto3 is not one of the package's own needs."""
    from gradiend_mlflow.store.places import s3 as module

    module._client.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "boto3", None)
    with pytest.raises(StoreError, match=re.escape('pip install "gradiend-mlflow[s3]"')):
        gradiend_mlflow.load_topk(runs, topk=10)


@pytest.mark.long
def test_files_that_a_proxying_server_cannot_send(
    s3: Proxy, s3_settings: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers 500 for what is gone: eight of twelve do not hold up the other four, and all are told in seconds."""
    options = ["--backend-store-uri", f"sqlite:///{tmp_path}/server.db", "--artifacts-destination"]
    through_proxy = {**s3_settings, "MLFLOW_S3_ENDPOINT_URL": s3.uri}
    with tracking_server(tmp_path, *options, f"s3://{BUCKET}/proxied", environment=through_proxy) as uri:
        client = MlflowClient(uri)
        ids = log_trainings(client, tmp_path, 12)

        def lose(run_ids: list[str]) -> None:
            for item in objects(s3_settings, "proxied"):
                if any(run_id in item.key for run_id in run_ids):
                    item.delete()

        lose(ids[:8])
        begun = time.monotonic()
        comparison = gradiend_mlflow.compare(ids, topk=10, log=False, tracking_uri=uri)
        assert time.monotonic() - begun < 15
        assert comparison.runs["run_id"].tolist() == ids[8:]
        assert [run.run_id for run in comparison.skipped] == ids[:8]
        assert all(
            "it is gone: the server answers 500 and does not list it" in one.reason for one in comparison.skipped
        )

        monkeypatch.setenv("GRADIEND_MLFLOW_CACHE", "off")
        lose(ids)
        begun = time.monotonic()
        with pytest.raises(InvalidInputError, match=GONE):
            gradiend_mlflow.compare(ids, topk=10, log=False, tracking_uri=uri)
        assert time.monotonic() - begun < 15
        assert set(gradiend_mlflow.verify_runs(ids[:2], tracking_uri=uri)["result"]) == {"missing"}

        monkeypatch.setenv("GRADIEND_MLFLOW_DEADLINE", "6")
        s3.fault = lambda method, path: refusal(405, "MethodNotAllowed")  # nobody knows what it has
        with pytest.raises(UnavailableError, match=r"500.*\(asked for 6 s"):
            gradiend_mlflow.compare(ids[:2], topk=10, log=False, tracking_uri=uri)
