"""Passwords are not shown, not written down and not chained, whatever characters they have."""

from __future__ import annotations

import base64
import logging
import re
import traceback
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import gradiend_mlflow
from gradiend_mlflow.errors import StoreError
from gradiend_mlflow.store.secrets import MASK, has_secrets, masked, scrubbed, secrets_in, without_secrets
from gradiend_mlflow.store.store import Store
from tests.support.trainings import MakeTrainer

SECRET = "S3CRET"


@pytest.mark.parametrize(
    ("uri", "shown", "kept"),
    [
        ("http://host:5000/mlflow", "http://host:5000/mlflow", "http://host:5000/mlflow"),
        ("http://me:S3CRET@host/mlflow", "http://***@host/mlflow", "http://host/mlflow"),
        ("http://me:p@S3CRET@host", "http://***@host", "http://host"),
        ("http://me:pa/S3CRET@host:5000", "http://***@host:5000", "http://host:5000"),
        ("http://me:pa?S3CRET@host", "http://***@host", "http://host"),
        ("http://me:pa#S3CRET@host", "http://***@host", "http://host"),
        ("http://me:pa:S3CRET@[::1]:80/x", "http://***@[::1]:80/x", "http://[::1]:80/x"),
        ("https://S3CRET@host", "https://***@host", "https://host"),
        ("https://S3CRET:x-oauth-basic@host", "https://***@host", "https://host"),
        ("http://host/?access_token=S3CRET&a=1", "http://host/?access_token=***&a=1", "http://host/?a=1"),
        ("postgresql://me:S3CRET@h/db", "postgresql://me:***@h/db", "postgresql://me@h/db"),
        ("postgresql+psycopg2://me:S3CRET@h:5/db", "postgresql+psycopg2://me:***@h:5/db", "postgresql+psycopg2://me@h:5/db"),
        ("postgresql://h/db?user=me&password=S3CRET", "postgresql://h/db?user=me&password=***", "postgresql://h/db?user=me"),
        ("postgresql://h/db?user=a@b.c&password=S3CRET", "postgresql://h/db?user=a@b.c&password=***", "postgresql://h/db?user=a@b.c"),
        ("mysql://h/db?passwd=S3CRET&charset=utf8", "mysql://h/db?passwd=***&charset=utf8", "mysql://h/db?charset=utf8"),
        ("mssql://h/db?driver=x&pwd=S3CRET", "mssql://h/db?driver=x&pwd=***", "mssql://h/db?driver=x"),
        ("mssql:///?odbc_connect=DRIVER%3Dx%3BPWD%3DS3CRET", "mssql:///?odbc_connect=***", "mssql:///"),
        ("http://me:00000?S3CRET@host", "http://***@host", "http://host"),
        ("postgresql://me:12345?S3CRET@h/db", "postgresql://me:***@h/db", "postgresql://me@h/db"),
        ("sqlite:////data/a:b@c/mlflow.db", "sqlite:////data/a:b@c/mlflow.db", "sqlite:////data/a:b@c/mlflow.db"),
        ("sqlite:////data/mlflow.db", "sqlite:////data/mlflow.db", "sqlite:////data/mlflow.db"),
        ("databricks", "databricks", "databricks"),
        ("/data/a@b", "/data/a@b", "/data/a@b"),
    ],
)  # fmt: skip
def test_what_is_shown_and_what_is_kept(uri: str, shown: str, kept: str) -> None:
    """Never the secret."""
    assert masked(uri) == shown
    assert without_secrets(uri) == kept
    assert has_secrets(uri) == (SECRET in uri)
    assert SECRET not in masked(uri) + without_secrets(uri) + scrubbed(f"could not reach {uri}", uri)


# Long enough not to occur by chance in what is not secret.
passwords = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zs")), min_size=9, max_size=30)


@given(passwords, st.sampled_from(["http://me:{}@host:5000/x", "postgresql://me:{}@host/db?sslmode=require"]))
def test_any_password_before_the_host(password: str, form: str) -> None:
    """Whatever characters it has, escaped or not."""
    # me:1/2?a=3@host is what a host, a port, a database and a parameter look like.
    assume(form.startswith("http") or re.match(r"\d{0,5}/[^?@]*\?[^@]*=", password) is None)
    uri = form.format(password)
    for text in (masked(uri), without_secrets(uri), scrubbed(f"no route to {uri}", uri)):
        assert password not in text
        assert "host" in text


@pytest.mark.parametrize("uri", ["http://co:x@host", "http://me@host:5000", "postgresql://me:no@h/db", "http://a:b@h"])
def test_short_secrets_do_not_garble_prose(uri: str) -> None:
    """They occur in any text; where credentials stand they are masked like others."""
    prose = "could not list the experiments of me and co, no run: a: 'bob', b, x=xx; at https://example.com/me/no?a:80"
    assert scrubbed(prose, uri) == prose
    user, _, password = uri.partition("://")[2].partition("@")[0].partition(":")
    for secret in filter(None, (password or user, f"{user}:{password}" if password else "")):
        for form in ("s://{}@h", "q?password={}", "{{'password': '{}'}}", "k: Bearer {}"):
            assert scrubbed(form.format(secret), uri) == form.format(MASK)
    assert re.fullmatch(r"no route to \w+://\*\*\*@[\w:/]+", scrubbed(f"no route to {uri}", uri))


@given(passwords, st.sampled_from(["Basic", "Bearer"]))
def test_what_a_header_has(password: str, scheme: str) -> None:
    """As it was sent, and unpacked."""
    packed = base64.b64encode(f"me:{password}".encode()).decode()
    sent = secrets_in({"Authorization": f"{scheme} {packed}", "Accept": "text/html"})
    shown = scrubbed(f"bad header {scheme} {packed}, me:{password}, of text/html", "http://host", sent)
    assert shown == f"bad header {scheme} ***, ***, of text/html"
    assert secrets_in({"X-Api-Key": "a b"}) == {"b"}
    assert secrets_in({"Accept": "text/html", "Authorization": ""}) == frozenset()


def everything_said(error: BaseException) -> str:
    """An exception with all that hangs on it."""
    said, seen = "", set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            said += f"{one!r} {one} {one.args!r}"
            waiting += [one.__cause__, one.__context__]
    return said + "".join(traceback.format_exception(error))


@pytest.mark.parametrize(
    "uri",
    [
        "http://me:S3CRET@127.0.0.1:9",
        "http://S3CRET@127.0.0.1:9/a",
        "postgresql://me:S3CRET@127.0.0.1:9/db",
        "postgresql://127.0.0.1:9/db?user=me&password=S3CRET",
        "nosuchscheme://me:S3CRET@host",
    ],
)
def test_errors_carry_no_secret(uri: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Neither in their text, nor in a cause or context, nor in the log."""
    monkeypatch.setenv("GRADIEND_MLFLOW_DEADLINE", "0.3")
    caplog.set_level(logging.DEBUG, logger="gradiend_mlflow")
    with pytest.raises(StoreError) as caught:
        Store(uri).experiments()
    assert SECRET not in everything_said(caught.value)
    with pytest.raises(StoreError) as caught:
        gradiend_mlflow.search_runs("any", tracking_uri=uri)
    assert SECRET not in everything_said(caught.value)
    ours = [record for record in caplog.records if record.name == "gradiend_mlflow"]
    assert SECRET not in "".join(caplog.handler.format(record) for record in ours)


def test_a_training_writes_no_secret_down(
    make_trainer: MakeTrainer, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal of a training whose server is not there, its warnings, and what sync says of it."""
    uri = "http://me:S3CRET@127.0.0.1:9"
    monkeypatch.setenv("GRADIEND_MLFLOW_DEADLINE", "0.3")
    caplog.set_level(logging.DEBUG, logger="gradiend_mlflow")
    for _ in range(2):  # the second is of gradiend's cache
        gradiend_mlflow.autolog(topk=10, tracking_uri=uri, deadline=0.1)
        make_trainer(use_cache=True).train()
        gradiend_mlflow.autolog(disable=True)
    gradiend_mlflow.flush(1)
    written = [file for file in tmp_path.rglob("*") if file.is_file() and file.suffix in (".jsonl", ".json", ".csv")]
    assert any(file.suffix == ".jsonl" for file in written)
    assert [file for file in written if SECRET in file.read_text()] == []
    frame = gradiend_mlflow.sync(tmp_path, tracking_uri=uri, progress=False)
    ours: Any = [caplog.handler.format(record) for record in caplog.records if record.name == "gradiend_mlflow"]
    assert ours
    assert SECRET not in "".join(ours) + frame.to_string()


def test_a_run_that_is_ended_prints_no_secret(
    server: str, make_trainer: MakeTrainer, capfd: pytest.CaptureFixture[str]
) -> None:
    """MLflow prints a link to each run, with the address as it was given."""
    uri = server.replace("http://", "http://me:S3CRET@")
    gradiend_mlflow.autolog(topk=10, tracking_uri=uri, experiment_name="secret")
    make_trainer().train()
    assert gradiend_mlflow.flush()
    printed = capfd.readouterr()
    assert SECRET not in printed.out + printed.err
    (run,) = gradiend_mlflow.search_runs("secret", tracking_uri=uri).to_dict("records")
    assert SECRET not in str(run)
