"""A repository on S3, from its creation to its readers, against a real server."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from outcrop.cvmfs.metainfo import Metainfo
from outcrop.cvmfs.paths import repository_path
from outcrop.errors import AlreadyExists, NetworkError, StorageError
from outcrop.storage.http import HttpStore
from outcrop.stratum0.create import create_repository, plan_creation
from outcrop.stratum0.publishing.incoming_directory import DirectoryTree
from outcrop.stratum0.publishing.ingest import IngestRequest, ingest
from outcrop.stratum0.repository import OwnedRepository
from outcrop.stratum0.serve import RepositoryServer
from outcrop.stratum0.settings import RepositorySettings
from tests.conformance.section16 import check_repository
from tests.storage.conftest import prefix, running_s3, s3
from tests.storage.s3_relay import Relay, answer_with, relaying
from tests.storage.s3_server import BUCKET, S3Server
from tests.stratum0.conftest import BEGINNING, NAME
from tests.stratum0.reading import content, entries, published_manifest, published_tree

__all__ = ["prefix", "running_s3", "s3"]

pytestmark = pytest.mark.integration

FILES = 20


@pytest.fixture
def relay(s3: S3Server) -> Iterator[Relay]:
    with relaying(s3) as relay:
        yield relay


@pytest.fixture
def repository(relay: Relay, prefix: str, tmp_path: Path, test_keys: Path) -> OwnedRepository:
    """A new repository on S3."""
    return create(relay.address(f"{prefix}/{NAME}"), tmp_path / "data directory", test_keys)


def create(storage: str, data: Path, keys: Path) -> OwnedRepository:
    shutil.copytree(keys, data)
    settings = RepositorySettings(name=NAME, storage=storage)
    create_repository(plan_creation(data, settings, Metainfo()), BEGINNING)
    return OwnedRepository.open(data, NAME)


@pytest.fixture
def bucket(s3: S3Server, prefix: str) -> Path:
    """The repository's files as the bucket serves them to everybody."""
    return s3.directory / BUCKET / prefix / NAME


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = tmp_path / "tree"
    (top / "nested").mkdir(parents=True)
    (top / "nested" / ".cvmfscatalog").touch()
    for number in range(FILES):
        (top / "nested" / f"f{number}").write_bytes(os.urandom(1000))
    return top


def request_for(tree: Path) -> IngestRequest:
    return IngestRequest(trees=(DirectoryTree(tree),), at=repository_path("/v1"))


NOW = BEGINNING + timedelta(minutes=1)


def test_what_is_published_reads_back_over_s3_and_over_plain_http(
    repository: OwnedRepository, bucket: Path, tree: Path
) -> None:
    assert ingest(repository, request_for(tree), now=NOW).published
    key = repository.keys.public_key.read_bytes()
    violations = check_repository(bucket, [key], NAME, now=NOW, all_revisions=True)
    # S3 has no directories, so none can be there without an object.
    assert [one for one in violations if one.rule != "0.layout"] == []
    with RepositoryServer({NAME: bucket}) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        for store in (repository.store, HttpStore(f"{server.url}/{NAME}")):
            found = entries(store)
            whole = published_tree(store)
            for number in range(FILES):
                path = f"/v1/nested/f{number}".encode()
                expected = (tree / "nested" / f"f{number}").read_bytes()
                assert content(store, whole, path, found[path]) == expected
            store.close()
        server.shutdown()
        thread.join()


def test_a_publish_costs_two_requests_for_each_new_object_and_few_more(
    repository: OwnedRepository, relay: Relay, tree: Path
) -> None:
    relay.asked.clear()
    ingest(repository, request_for(tree), now=NOW)
    # The files, the marker, the catalogs of the root and the nested directory, and the history.
    new = FILES + 4
    # The reflog and the manifest are put without asking whether they are there.
    assert relay.asked["PUT"] == new + 2
    # The certificate is there already.
    assert new + 1 <= relay.asked["HEAD"] <= new + 10
    # Manifest, catalog, history, reflog, who publishes, and what is promised of freshness.
    assert relay.asked["GET"] <= 9
    assert relay.asked["DELETE"] == relay.asked["POST"] == 0


def test_publishing_the_same_again_sends_nothing(repository: OwnedRepository, relay: Relay, tree: Path) -> None:
    ingest(repository, request_for(tree), now=NOW)
    relay.asked.clear()
    assert not ingest(repository, request_for(tree), now=NOW + timedelta(minutes=1)).published
    assert relay.asked["PUT"] == 0


@pytest.mark.fault
def test_a_server_that_refuses_leaves_the_old_revision(repository: OwnedRepository, relay: Relay, tree: Path) -> None:
    before = published_manifest(repository.store)
    relay.fail(answer_with(403, "AccessDenied"), "PUT", times=10_000)
    with pytest.raises(StorageError, match="may not be accessed"):
        ingest(repository, request_for(tree), now=NOW)
    relay.fail(answer_with(403, "AccessDenied"), times=0)
    assert published_manifest(repository.store) == before
    assert ingest(repository, request_for(tree), now=NOW).published


@pytest.mark.fault
def test_trouble_with_the_network_is_not_taken_for_somebody_elses_repository(
    repository: OwnedRepository, relay: Relay, tmp_path: Path, test_keys: Path
) -> None:
    relay.fail(answer_with(403, "AccessDenied"), "GET", times=10_000)
    with pytest.raises((NetworkError, StorageError)):
        create(repository.settings.storage, tmp_path / "other", test_keys)
    relay.fail(answer_with(403, "AccessDenied"), times=0)
    (tmp_path / "third").mkdir()
    plan = plan_creation(tmp_path / "third", repository.settings, Metainfo())
    with pytest.raises(AlreadyExists, match="another repository"):
        create_repository(plan, BEGINNING)
