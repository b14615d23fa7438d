"""The stores that take objects in pass the suite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from outcrop.storage.directory import DirectoryStore
from outcrop.storage.faulty import FaultyStore
from outcrop.storage.interface import WritableStore
from outcrop.storage.memory import MemoryStore
from outcrop.storage.s3 import S3Store
from outcrop.storage.s3_address import S3Address
from tests.storage.conformance import WritableConformance
from tests.storage.s3_server import S3Server


class TestDirectory(WritableConformance):
    @pytest.fixture
    def store(self, tmp_path: Path) -> WritableStore:
        return DirectoryStore.create(tmp_path / "größer als \udcff")


class TestMemory(WritableConformance):
    @pytest.fixture
    def store(self) -> WritableStore:
        return MemoryStore()


class TestFaultyWithoutFaults(WritableConformance):
    @pytest.fixture
    def store(self) -> WritableStore:
        return FaultyStore(MemoryStore())


@pytest.mark.integration
class TestS3(WritableConformance):
    @pytest.fixture
    def store(self, s3: S3Server, prefix: str) -> Iterator[WritableStore]:
        store = S3Store.create(S3Address.parse(s3.address(prefix)))
        yield store
        store.close()
