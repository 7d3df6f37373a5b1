"""Artifacts that are downloaded: one file, as bytes and never more of it than was promised, or a folder of a model."""

from __future__ import annotations

import errno
import posixpath
from pathlib import Path

from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.artifact.gcs_artifact_repo import GCSArtifactRepository
from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository
from mlflow.utils.rest_utils import augmented_raise_for_status, http_request

from gradiend_mlflow.disk.temporary import temporary_folder
from gradiend_mlflow.disk.trees import open_regular
from gradiend_mlflow.errors import StoreError
from gradiend_mlflow.forks import away
from gradiend_mlflow.store.places.s3 import names_of_objects, read_object, save_object
from gradiend_mlflow.store.retries import ITS_OWN_FAULT, Retries
from gradiend_mlflow.store.trust.answers import answers_up_to
from gradiend_mlflow.untrusted import quoted


def download(artifact_uri: str, path: str, most: int, *, tracking_uri: str, retries: Retries) -> bytes:
    """The content of an artifact file; of one that is longer than `most` bytes, no more than its first `most` + 1.

    Whatever MLflow, its plugins and the operating system raise passes through.
    """
    with answers_up_to(most):
        repository = get_artifact_repository(artifact_uri, tracking_uri=tracking_uri)
        if isinstance(repository, HttpArtifactRepository):
            return _from_server(repository, path)
        if isinstance(repository, LocalArtifactRepository):
            with open_regular(Path(repository.artifact_dir, path)) as content:
                return content.read(most + 1)
        if type(repository) is S3ArtifactRepository:
            return read_object(retries, artifact_uri, path, most)
        if type(repository) is GCSArtifactRepository:
            return _from_bucket(retries, repository, path, most)
        with temporary_folder() as folder:
            file = folder / "artifact"  # a fixed name: nothing that the server sends decides it
            # The public download_artifacts lists the folder first: a second request for each file.
            retries.repeated(lambda _: repository._download_file(path, str(file)))  # noqa: SLF001
            with open_regular(file) as content:
                return content.read(most + 1)


def download_folder(artifact_uri: str, into: Path, *, tracking_uri: str, retries: Retries) -> Path:
    """Download all files at an address into a folder that exists; returns where they are.

    Raises:
        StoreError: If there is none, or its name leads out of the folder. Whatever else MLflow and its plugins raise
            passes through.
    """
    from mlflow.artifacts import download_artifacts

    repository = get_artifact_repository(artifact_uri, tracking_uri=tracking_uri)
    if type(repository) is not S3ArtifactRepository:
        return Path(download_artifacts(artifact_uri, dst_path=str(into), tracking_uri=tracking_uri))
    # MLflow would use threads, in which our limits do not hold.
    names = names_of_objects(retries, artifact_uri)
    for name in names:
        file = into / name
        if not file.resolve().is_relative_to(into.resolve()):
            raise StoreError(f"the artifact store has a file whose name leads elsewhere: {quoted(name)}")
        file.parent.mkdir(parents=True, exist_ok=True)
        save_object(retries, artifact_uri, name, file)
    if not names:
        raise StoreError(f"there are no files at {quoted(artifact_uri)}")
    return into


def _from_bucket(retries: Retries, repository: GCSArtifactRepository, path: str, most: int) -> bytes:
    # Google's client by itself tries for two minutes, and draws the pauses from Python's global random generator.
    bucket, root = repository.parse_gcs_uri(repository.artifact_uri)
    blob = repository.client.bucket(bucket).blob(posixpath.join(root, path))
    options = {"end": most, "retry": None, "checksum": None}  # there is none of a part; who asked has a digest
    with away():
        return retries.repeated(lambda seconds: bytes(blob.download_as_bytes(timeout=seconds, **options)))


def _from_server(repository: HttpArtifactRepository, path: str) -> bytes:
    # As MLflow does it, but in memory, and without first asking whether the server offers other ways.
    response = http_request(repository._host_creds, f"/{path}", "GET")  # noqa: SLF001
    if response.status_code == ITS_OWN_FAULT and _is_gone(repository, path):
        raise FileNotFoundError(errno.ENOENT, f"it is gone: the server answers {ITS_OWN_FAULT} and does not list it")
    augmented_raise_for_status(response)
    return bytes(response.content)


def _is_gone(repository: HttpArtifactRepository, path: str) -> bool:
    """Whether a server with a fault at this file lists its folder without it; a store that is away lists nothing."""
    try:
        listed = repository.list_artifacts(posixpath.dirname(path))
    except Exception:  # the fault itself says more than that this could not be asked, either
        return False
    return path not in [item.path for item in listed]
