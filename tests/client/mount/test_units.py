"""Files for systemd, autofs and fstab."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path, PurePosixPath

import pytest

from outcrop.client.mount.units import (
    MOUNT_HELPER,
    GeneratedFile,
    WantedMount,
    autofs_files,
    escaped_path,
    fstab_lines,
    mount_helper,
    systemd_files,
)
from outcrop.errors import InvalidValue

WANTED = WantedMount("software.example.org", PurePosixPath("/cvmfs/software.example.org"), ("tag=2026.06",))
PATHS = ["/cvmfs/software.example.org", "/a-b/c d", "/.hidden/x", "/x/größer", "/", "/a/.b", "/with\\back"]


def install(files: list[GeneratedFile], directory: Path) -> None:
    for file in files:
        path = directory / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.text)
        path.chmod(file.mode)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.skipif(shutil.which("systemd-escape") is None, reason="systemd-escape is not installed")
def test_names_of_units_are_those_of_systemd(path: str) -> None:
    said = subprocess.run(["systemd-escape", "--path", path], capture_output=True, text=True, check=True).stdout
    assert escaped_path(PurePosixPath(path)) == said.strip()


def test_an_automount_and_a_mount_belong_together() -> None:
    helper, automount, mount = systemd_files([WANTED], "/usr/bin/outcrop", 600)
    assert helper.path == MOUNT_HELPER
    assert automount.path == "etc/systemd/system/cvmfs-software.example.org.automount"
    assert mount.path == "etc/systemd/system/cvmfs-software.example.org.mount"
    assert "Where=/cvmfs/software.example.org\nTimeoutIdleSec=600\n" in automount.text
    for line in ("What=software.example.org", "Type=outcrop", "Options=ro,_netdev,tag=2026.06"):
        assert f"{line}\n" in mount.text
    assert "TimeoutIdleSec" not in systemd_files([WANTED], "outcrop", 0)[1].text


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    install(systemd_files([WANTED], "/usr/bin/true", 600), tmp_path)
    units = [str(path) for path in (tmp_path / "etc/systemd/system").iterdir()]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units],
        capture_output=True,
        text=True,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}/etc/systemd/system:"},
        check=False,
    )
    complaints = [line for line in done.stderr.splitlines() if "software.example.org" in line]
    assert complaints == [], done.stderr


def test_a_map_has_a_line_for_each_repository() -> None:
    url = WantedMount("http://s1.example.org/cvmfs/data.example.org", PurePosixPath("/cvmfs/data.example.org"))
    _, master, found = autofs_files([WANTED, url], "outcrop", 300)
    assert master.text == "/cvmfs /etc/auto.outcrop --timeout=300\n"
    assert found.text.splitlines()[1:] == [
        "software.example.org -fstype=outcrop,ro,tag=2026.06 :software.example.org",
        "data.example.org -fstype=outcrop,ro :http\\://s1.example.org/cvmfs/data.example.org",
    ]


def test_a_map_serves_one_directory() -> None:
    with pytest.raises(InvalidValue, match="several"):
        autofs_files([WANTED, WantedMount("a.example.org", PurePosixPath("/elsewhere/a.example.org"))], "outcrop", 1)


def test_lines_of_fstab_have_six_fields() -> None:
    (line,) = fstab_lines([WANTED]).splitlines()
    assert line.split() == [
        "software.example.org", "/cvmfs/software.example.org", "outcrop",
        "ro,_netdev,noauto,x-systemd.automount,tag=2026.06", "0", "0",
    ]  # fmt: skip


@pytest.mark.parametrize("repository", ["with blank", "$(reboot)", "a\nb", "-x", "", "a,b"])
def test_what_means_something_in_a_unit_is_refused(repository: str) -> None:
    with pytest.raises(InvalidValue, match="cannot be written"):
        WantedMount(repository, PurePosixPath("/cvmfs/x"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["repo", "/m"], "mount --quiet --everyone -- repo /m"),
        (["repo", "/m", "-o", "ro,tag=a,_netdev"], "mount --quiet --everyone --tag a -- repo /m"),
        (["repo", "/m", "-o", "by=layers"], "mount --quiet --everyone --by layers -- repo /m"),
        (
            ["repo", "/m", "-sn", "-t", "outcrop", "-oro,root-hash=b"],
            "mount --quiet --everyone --root-hash b -- repo /m",
        ),
        ([":repo", "/m", "-f"], "mount --quiet --everyone --dry-run -- repo /m"),
        (["repo", "/m m", "-o", "key=/k *"], "mount --quiet --everyone --key /k * -- repo /m m"),
    ],
)
def test_mount_helper_says_it_to_outcrop(tmp_path: Path, arguments: list[str], said: str) -> None:
    install([mount_helper("echo")], tmp_path)
    done = subprocess.run([tmp_path / MOUNT_HELPER, *arguments], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == said
