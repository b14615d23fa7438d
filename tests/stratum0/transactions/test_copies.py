"""Who uses a copy of a mount, told by the processes of this namespace; the rest is in the scenarios of sandboxes."""

from __future__ import annotations

import os
from pathlib import Path

from outcrop.stratum0.transactions.copies import goes_with, program_name, users_of_copy


def test_who_has_a_file_open_is_named_and_nobody_else(tmp_path: Path) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used and more").mkdir()
    with (tmp_path / "used" / "file").open("w"):
        assert list(users_of_copy(os.getpid(), str(tmp_path / "used"))) == [program_name(os.getpid())]
        assert list(users_of_copy(os.getpid(), str(tmp_path / "used and more"))) == []
    assert list(users_of_copy(os.getpid(), str(tmp_path / "used"))) == []


def test_what_is_no_mount_goes_with_nothing(tmp_path: Path) -> None:
    assert not goes_with(os.getpid(), str(tmp_path), None, str(tmp_path))
