"""The stores that need no server pass the suite."""

from __future__ import annotations

from pathlib import Path

import pytest

from outcrop.storage.directory import DirectoryStore
from outcrop.storage.faulty import FaultyStore
from outcrop.storage.interface import WritableStore
from outcrop.storage.memory import MemoryStore
from tests.storage.conformance import WritableConformance


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
