"""Repositories to measure with: made anew in a directory, and filled with trees."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

from outcrop.cvmfs.metainfo import Metainfo
from outcrop.cvmfs.names import repository_name
from outcrop.cvmfs.paths import repository_path
from outcrop.stratum0.create import create_repository, plan_creation
from outcrop.stratum0.publishing.compressors import DEFAULT_COMPRESSOR
from outcrop.stratum0.publishing.incoming_directory import DirectoryTree
from outcrop.stratum0.publishing.ingest import IngestOutcome, IngestRequest, ingest
from outcrop.stratum0.repository import OwnedRepository
from outcrop.stratum0.settings import RepositorySettings
from outcrop.stratum0.signing.keys import KeyFiles, create_missing_keys

NAME = repository_name("bench.example.org")


def made_keys(directory: Path) -> Path:
    """`directory`, with the keys of `NAME` in it: to make them takes a second, which no round shall measure."""
    create_missing_keys(KeyFiles(directory, NAME), datetime.now(UTC))
    return directory


def created(
    data: Path, storage: Path, *, keys: Path | None = None, compressor: str = DEFAULT_COMPRESSOR
) -> OwnedRepository:
    """A new repository that lies in `storage / NAME`, and is owned in `data`: with copies of the keys in `keys`, or new
    ones."""
    if keys is not None:
        shutil.copytree(keys, data)
    settings = RepositorySettings(name=NAME, storage=str(storage / NAME), compressor=compressor)
    return create_repository(plan_creation(data, settings, Metainfo()), datetime.now(UTC))


def published(repository: OwnedRepository, tree: Path, at: str = "/") -> IngestOutcome:
    """Publishes the directory `tree` at the path `at`."""
    request = IngestRequest(trees=(DirectoryTree(tree),), at=repository_path(at))
    return ingest(repository, request, now=datetime.now(UTC))
