"""Files that could not be moved when a layer was built are findings."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from outcrop.compat.family import family_named
from outcrop.compat.layout import LayerLayout
from outcrop.compat.lock import render_lock
from outcrop.compat.package_sets import read_description
from outcrop.compat.record import RELOCATION_FILE, BuildLog, write_record
from outcrop.compat.relocate.tree import FileChanges
from outcrop.compat.verify.moved import moved_files
from outcrop.cvmfs.names import repository_name
from outcrop.errors import FormatError, NotFound
from tests.compat.test_lock import LOCK

LAYOUT = LayerLayout(repository_name("software.example.org"), "2026.06", family_named("x86_64"))
CHANGES = (FileChanges("usr/bin/good", "elf"), FileChanges("usr/bin/odd", "elf", refused="has no room"))


@pytest.fixture
def record(tmp_path: Path) -> Path:
    moment = datetime(2026, 6, 15, tzinfo=UTC)
    return write_record(tmp_path, LAYOUT, moment, render_lock(LOCK), read_description(), CHANGES, BuildLog(), ())


def test_a_file_that_could_not_be_moved_is_found(record: Path, tmp_path: Path) -> None:
    looked = moved_files(tmp_path)
    assert looked.number == 2
    assert [(one.subject, one.problem.endswith("has no room")) for one in looked.findings] == [("usr/bin/odd", True)]


def test_a_record_that_cannot_be_read_is_refused(record: Path, tmp_path: Path) -> None:
    (record / RELOCATION_FILE).write_text("rubbish")
    with pytest.raises(FormatError):
        moved_files(tmp_path)
    (record / RELOCATION_FILE).unlink()
    with pytest.raises(NotFound):
        moved_files(tmp_path / "nothing")
