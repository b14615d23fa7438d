"""A repository that a test of the command line owns, with keys that are made once in a run."""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from outcrop.cvmfs.metainfo import Metainfo
from outcrop.cvmfs.names import repository_name
from outcrop.stratum0.create import create_repository, plan_creation
from outcrop.stratum0.repository import OwnedRepository
from outcrop.stratum0.settings import RepositorySettings
from outcrop.stratum0.signing.key_files import write_key_file
from outcrop.stratum0.signing.keys import KeyFiles, create_missing_keys

NAME = repository_name("tools.example.org")


def own_repository(directory: Path, *, age: timedelta = timedelta(0), ttl: int = 0) -> OwnedRepository:
    """A repository below `directory` that was made `age` ago; commands of this process find it."""
    data = directory / "data"
    data.mkdir()
    os.environ["OUTCROP_DATA_DIR"] = str(data)
    for name, content in _keys().items():
        write_key_file(data / name, content, 0o600)
    settings = RepositorySettings(name=NAME, storage=str(directory / "storage" / NAME), ttl=ttl)
    return create_repository(plan_creation(data, settings, Metainfo()), datetime.now(UTC) - age)


@functools.cache
def _keys() -> Mapping[str, bytes]:
    with tempfile.TemporaryDirectory() as directory:
        create_missing_keys(KeyFiles(Path(directory), NAME), datetime.now(UTC))
        return {path.name: path.read_bytes() for path in Path(directory).iterdir()}
