"""`outcrop mount status`, `outcrop mount units`, and what `outcrop umount` says of users."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from outcrop.cli.console import Console
from outcrop.cli.mount_status import command as status_command
from outcrop.cli.mount_units import command as units_command
from outcrop.errors import InvalidValue, NotFound
from tests.client.mount.private_place import play


def units(*arguments: str) -> Result:
    return CliRunner().invoke(units_command, list(arguments), obj=Console(), catch_exceptions=False)


def test_units_are_printed_with_their_places() -> None:
    out = units("software.example.org").output
    for part in (
        "# /etc/systemd/system/cvmfs-software.example.org.automount (0644)",
        "# /sbin/mount.outcrop (0755)",
        "What=software.example.org\n",
    ):
        assert part in out


def test_units_are_written_in_their_places(tmp_path: Path) -> None:
    said = units(
        "http://s1.example.org/cvmfs/a.example.org", "--at", "/stacks", "-o", "tag=v1", "--output", str(tmp_path)
    )
    assert said.exit_code == 0
    unit = (tmp_path / "etc/systemd/system/stacks-a.example.org.mount").read_text()
    assert "What=http://s1.example.org/cvmfs/a.example.org\nWhere=/stacks/a.example.org\n" in unit
    assert "Options=ro,_netdev,tag=v1\n" in unit
    assert subprocess.run(["sh", "-n", tmp_path / "sbin/mount.outcrop"], check=False).returncode == 0


def test_plan_of_units_writes_nothing(tmp_path: Path) -> None:
    out = units("a.example.org", "--autofs", "--output", str(tmp_path), "--dry-run").output
    assert f"write {tmp_path}/etc/auto.outcrop" in out
    assert list(tmp_path.iterdir()) == []


def test_lines_of_fstab_come_with_the_program_that_they_need() -> None:
    out = units("a.example.org", "--fstab").output
    assert "a.example.org /cvmfs/a.example.org outcrop ro,_netdev" in out
    assert "mount.outcrop" in out


def test_a_place_below_nowhere_is_refused() -> None:
    with pytest.raises(InvalidValue, match="absolute"):
        units("a.example.org", "--at", "here")


def test_status_of_nothing_is_an_error_that_says_how_to_look(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        CliRunner().invoke(status_command, [str(tmp_path)], obj=Console(), catch_exceptions=False)


@pytest.mark.integration
def test_status_and_umount_of_a_mount(tmp_path: Path) -> None:
    play("status_and_umount_of_a_mount", tmp_path, module="command_scenarios")
