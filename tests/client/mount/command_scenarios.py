"""What commands say of a mounted repository: run by `private_place.play`, as `scenarios` is."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path

import click
from click.testing import CliRunner

from outcrop.cli.console import Console
from outcrop.cli.mount_status import command as status_command
from outcrop.cli.umount import command as umount_command
from tests.client.mount.revision_scenarios import FIRST, mounted_repository, publish
from tests.client.published import NAME


def said(command: click.Command, *arguments: str) -> str:
    heard = io.StringIO()
    with contextlib.redirect_stdout(heard):
        result = CliRunner().invoke(command, list(arguments), obj=Console(), catch_exceptions=False)
    return result.output


def status_and_umount_of_a_mount(directory: Path) -> None:
    publish(directory / "server", 1, FIRST)
    with mounted_repository(directory) as running:
        place = running.mountpoint
        assert (place / "README").read_bytes() == b"one"
        (found,) = json.loads(said(status_command, str(place), "--json"))
        assert (found["repository"], found["revision"], found["follows"]) == (NAME, 1, True)
        assert (found["mountpoint"], found["pid"], found["alive"]) == (str(place), running.server, True)
        assert found["servers"] == [f"{directory}/server"] or found["servers"][0].endswith("/server")
        assert found["log"] == str(directory / "mount.log")
        assert found["requests"] > 0
        text = said(status_command, NAME)
        assert f"{NAME} at {place}" in text
        assert "new revisions, within 3600 s" in text

        user = subprocess.Popen(["sleep", "60"], cwd=place)
        url = f"http://server.example.org/cvmfs/{NAME}"
        planned = said(umount_command, url, "--dry-run")
        assert f"unmount {place}" in planned
        assert f"sleep (process {user.pid})" in planned
        told = said(umount_command, url, "--lazy")
        assert f"goes for good when they end: sleep (process {user.pid})" in told
        user.kill()
        user.wait()
    assert list(place.iterdir()) == []


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
