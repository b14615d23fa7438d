"""`outcrop mount` and `outcrop umount`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from outcrop.cli.app import run
from tests.client.mount.private_place import play
from tests.cvmfs.samples import DIRECTORY

KEY = DIRECTORY / "keys" / "test.example.org.pub"


def arguments(tmp_path: Path, mountpoint: Path) -> list[str]:
    return ["mount", f"file://{tmp_path}/test.example.org", str(mountpoint), "--key", str(KEY)]


def test_plan_says_what_is_mounted_where_and_by_whom_it_is_proved(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run([*arguments(tmp_path, tmp_path / "place"), "--tag", "v1.0", "--dry-run"]) == 0
    out = capfd.readouterr().out
    for part in ("the tag v1.0 of test.example.org", str(tmp_path / "place"), str(KEY)):
        assert part in out


def test_plan_is_a_document_as_well(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run([*arguments(tmp_path, tmp_path / "place"), "--dry-run", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["at"] == str(tmp_path / "place")


@pytest.mark.parametrize("option", ["--fqrn", "--name"])
def test_the_repository_may_be_called_otherwise_than_its_url(
    option: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run([*arguments(tmp_path, tmp_path / "place"), option, "alias.example.org", "--dry-run"]) == 0
    assert "the current revision of alias.example.org" in capfd.readouterr().out


def test_a_mountpoint_that_is_not_there_comes_with_the_command_that_makes_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments(tmp_path, tmp_path / "place")) == 1
    assert f"mkdir -p {tmp_path}/place" in capfd.readouterr().err


def test_a_directory_that_holds_something_is_not_hidden_by_a_mount(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / "precious").touch()
    assert run(arguments(tmp_path, tmp_path / "place")) == 1
    assert "it holds 'precious'" in capfd.readouterr().err


def test_a_file_is_no_mountpoint(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "place").touch()
    assert run(arguments(tmp_path, tmp_path / "place")) == 1
    assert "is not a directory" in capfd.readouterr().err


@pytest.mark.parametrize("command", [["mount"], ["umount"], ["umount", "--all", "x"]])
def test_what_is_meant_must_be_said(command: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert run(command) == 2
    assert "hint" in capfd.readouterr().err


def test_a_mount_that_does_not_exist_cannot_be_taken_away(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["umount", str(tmp_path)]) == 1
    assert "outcrop mount status" in capfd.readouterr().err


@pytest.mark.integration
def test_commands_mount_and_unmount(tmp_path: Path) -> None:
    play("commands_mount_and_unmount", tmp_path)
