"""A machine that reads, and the repositories of the reference on its disk."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from tests.client.reading import Reader
from tests.cvmfs.samples import DIRECTORY, NAMES


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    return Reader(tmp_path / "reader")


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("samples")
    for name in NAMES:
        with tarfile.open(DIRECTORY / f"{name}.tar.gz") as archive:
            archive.extractall(directory, filter="tar")
    return directory


@pytest.fixture(scope="module")
def shared_reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    return Reader(tmp_path_factory.mktemp("reader"))
