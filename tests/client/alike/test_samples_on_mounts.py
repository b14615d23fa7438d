"""An old tag and the copy of a Stratum 1 show on real mounts what the stock client shows; by layers, all samples do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.client.alike.running import run_alone
from tests.client.mount.private_place import play
from tests.cvmfs.samples import DIRECTORY

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root sees all owners as they are, and can mount an image"),
]

TEST, RMD = "test.example.org", "rmd.example.org"

READINGS: dict[str, tuple[str, str, str, list[str]]] = {
    "sha1": (TEST, TEST, TEST, []),
    "rmd160": (RMD, RMD, RMD, []),
    "tag": (TEST, f"{TEST}.tag-v1.0", TEST, ["--tag", "v1.0"]),
    "replica": ("s1.test", TEST, TEST, []),
}
"""The sample that is read, whose answers hold for it, its name, and the options that choose the revision."""

ENVIRONMENTS = {TEST: {"CVMFS_TEST_VAR": "from_env", "HOME": "/root"}}
"""What the stock client had in its environment when the answers were written, where it is not just a home."""


def environment_of(answers: str) -> dict[str, str]:
    return ENVIRONMENTS.get(answers, {"HOME": "/root"})


# The current revisions of the Stratum 0 are mounted over FUSE in `tests/client/mount/test_real_mount.py`.
@pytest.mark.parametrize(
    ("by", "reading"),
    [
        ("fuse", "tag"),
        ("fuse", "replica"),
        ("layers", "sha1"),
        ("layers", "rmd160"),
        ("layers", "tag"),
    ],
)
def test_mount_shows_what_the_stock_client_shows(tmp_path: Path, by: str, reading: str) -> None:
    server, answers, fqrn, options = READINGS[reading]
    play(
        "sample_shows_what_the_stock_client_shows", tmp_path, by, server, answers, fqrn, *options,
        environment=environment_of(answers), module="tests.client.alike.scenarios",
    )  # fmt: skip


# Their current revisions are run in `tests/client/ladder/test_layered.py`.
@pytest.mark.parametrize(("way", "reading"), [("erofs", "tag"), ("overlay", "tag")])
def test_run_shows_what_the_stock_client_shows(tmp_path: Path, way: str, reading: str) -> None:
    server, answers, fqrn, options = READINGS[reading]
    subprocess.run(["tar", "xzf", DIRECTORY / f"{server}.tar.gz", "-C", tmp_path], check=True)
    compare = [sys.executable, "-m", "tests.client.ladder.compare_sample", answers, f"/cvmfs/{fqrn}"]
    if way != "erofs":
        compare.append("--without-owners")
    said = run_alone(
        way, *options, "--fqrn", fqrn, "--key", str(DIRECTORY / "keys" / f"{fqrn}.pub"), f"file://{tmp_path}/{server}",
        "--", *compare, directory=tmp_path, environment=environment_of(answers),
    )  # fmt: skip
    assert "entries are the same" in said
