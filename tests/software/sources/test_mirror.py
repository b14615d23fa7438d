from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from outcrop.errors import InvalidValue
from outcrop.software.sources.mirror import FileState, survey
from tests.software.sources.pretended import wanted


def test_a_file_counts_only_with_its_digest(tmp_path: Path) -> None:
    file = wanted("x.tar.gz", b"right")
    (shelved,) = survey([file, file], tmp_path)
    assert shelved.state is FileState.MISSING
    shelved.path.parent.mkdir(parents=True)
    shelved.path.write_bytes(b"wrong")
    assert survey([file], tmp_path)[0].state is FileState.WRONG
    shelved.path.write_bytes(b"right")
    assert survey([file], tmp_path)[0].state is FileState.PRESENT
    assert shelved.path == tmp_path / "x" / "x" / "x.tar.gz"


def test_a_patch_beside_its_easyconfig_needs_no_copy_unless_it_was_altered(tmp_path: Path) -> None:
    patch = tmp_path / "x.patch"
    patch.write_bytes(b"patch")
    file = replace(wanted("x.patch", b"patch"), beside=str(patch))
    assert survey([file], tmp_path / "mirror")[0].state is FileState.BESIDE
    patch.write_bytes(b"altered")
    assert survey([file], tmp_path / "mirror")[0].state is FileState.MISSING


def test_a_file_without_a_digest_cannot_be_proven(tmp_path: Path) -> None:
    assert survey([replace(wanted("x", b""), sha256=())], tmp_path)[0].state is FileState.UNPROVABLE


def test_two_files_for_one_place_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match=r"x/x/v1\.tar\.gz"):
        survey([wanted("v1.tar.gz", b"one"), wanted("v1.tar.gz", b"two")], tmp_path)
