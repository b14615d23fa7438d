"""Repositories that tests own: real keys (made once), a store in memory or on disk, a clock that stands still."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from outcrop.cvmfs.metainfo import Metainfo
from outcrop.cvmfs.names import repository_name
from outcrop.stratum0.create import create_repository, plan_creation
from outcrop.stratum0.publishing.ingest import IngestOutcome, IngestRequest, ingest
from outcrop.stratum0.repository import OwnedRepository
from outcrop.stratum0.settings import RepositorySettings
from outcrop.stratum0.signing.keys import WHITELIST_DAYS, KeyFiles, create_missing_keys

NAME = repository_name("test.example.org")
BEGINNING = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@dataclass
class Publisher:
    """A repository on disk with a clock of its own, one minute further at each publish."""

    repository: OwnedRepository
    directory: Path
    now: datetime = field(default=BEGINNING)

    @property
    def storage(self) -> Path:
        return Path(self.repository.settings.storage)

    @property
    def public_key(self) -> bytes:
        return self.repository.keys.public_key.read_bytes()

    def publish(self, request: IngestRequest, *, dry_run: bool = False) -> IngestOutcome:
        self.now += timedelta(minutes=1)
        return ingest(self.repository, request, now=self.now, dry_run=dry_run)


@pytest.fixture(scope="session")
def test_keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the keys of `NAME`, made once."""
    directory = tmp_path_factory.mktemp("keys")
    create_missing_keys(KeyFiles(directory, NAME), BEGINNING)
    return directory


@pytest.fixture
def new_publisher(tmp_path: Path, test_keys: Path) -> Callable[..., Publisher]:
    """Makes a repository with the given settings, whose whitelist holds for so many days."""

    def make(whitelist_days: int = WHITELIST_DAYS, **settings: object) -> Publisher:
        data = tmp_path / "data directory"
        data.mkdir(exist_ok=True)
        for path in test_keys.iterdir():
            shutil.copy(path, data / path.name)  # with its permissions: a secret that others may read is refused
        values = {"name": NAME, "storage": str(tmp_path / "storage" / NAME), **settings}
        chosen = RepositorySettings(**values)  # type: ignore[arg-type]
        plan = plan_creation(data, chosen, Metainfo(organisation="Tests"), whitelist_days=whitelist_days)
        return Publisher(create_repository(plan, BEGINNING), data)

    return make


@pytest.fixture
def publisher(new_publisher: Callable[..., Publisher]) -> Publisher:
    """A repository with default settings."""
    return new_publisher()
