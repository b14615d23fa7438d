"""Every guide works as it is written: its `console` blocks run, in order, in an empty home directory."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from outcrop.client.ladder.ways import Way
from outcrop.software.demo_stack import system_gcc_version, write_demo_stack

GUIDES = Path(__file__).parent.parent / "docs" / "guides"
_BLOCK = re.compile(r"^(?P<indent> *)```console\n(?P<text>.*?)^(?P=indent)```", re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.integration


def commands(guide: Path) -> list[str]:
    """The command lines of a guide, but for `make`, which sets up the tree that the tests run in."""
    lines = [line.strip() for block in _BLOCK.finditer(guide.read_text()) for line in block["text"].splitlines()]
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ") and not line.startswith("$ make ")]


def follow(guide: str, home: Path) -> None:
    """Runs a guide in `home`; the port in it is exchanged for one that is free."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    # A guide that fails in the middle must not leave a server behind, which would hold its output open.
    lines = ["set -eumo pipefail", "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT", *commands(GUIDES / guide)]
    script = "\n".join(lines).replace("8000", port)
    environment = {**os.environ, "HOME": str(home), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    finished = subprocess.run(
        ["bash", "-c", script], cwd=home, env=environment, capture_output=True, text=True, check=False, timeout=500
    )
    if "cannot be had" in finished.stderr:
        pytest.skip("no mirror of Debian's source packages can be reached")
    assert finished.returncode == 0, f"{script}\n---\n{finished.stdout}\n---\n{finished.stderr}"


def test_every_guide_is_followed_by_a_test() -> None:
    followed = set(re.findall(r'follow\("([^"]+)"', Path(__file__).read_text()))
    assert followed == {path.name for path in GUIDES.glob("*.md")}


def test_the_ways_that_a_guide_lists_are_the_ladder() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", (GUIDES / "cluster-that-allows-nothing.md").read_text(), re.MULTILINE)
    ladder = [way.value for way in Way]
    assert [row for row in rows if row in ladder] == ladder


def test_getting_started(tmp_path: Path) -> None:
    follow("getting-started.md", tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(not os.access("/dev/fuse", os.R_OK | os.W_OK), reason="/dev/fuse cannot be opened")
def test_run_a_stratum_0(tmp_path: Path) -> None:
    follow("run-a-stratum-0.md", tmp_path)


@pytest.mark.skipif(not os.access("/dev/fuse", os.R_OK | os.W_OK), reason="/dev/fuse cannot be opened")
def test_read_a_repository(tmp_path: Path) -> None:
    follow("read-a-repository.md", tmp_path)


@pytest.mark.skipif(not os.access("/dev/fuse", os.R_OK | os.W_OK), reason="/dev/fuse cannot be opened")
def test_use_on_my_laptop(tmp_path: Path) -> None:
    follow("use-on-my-laptop.md", tmp_path)


@pytest.mark.timeout(300)
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_use_on_my_cluster(tmp_path: Path) -> None:
    follow("use-on-my-cluster.md", tmp_path)


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_pack_and_carry(tmp_path: Path) -> None:
    follow("pack-and-carry.md", tmp_path)


def test_cluster_that_allows_nothing(tmp_path: Path) -> None:
    follow("cluster-that-allows-nothing.md", tmp_path)


def test_configure_a_client(tmp_path: Path) -> None:
    follow("configure-a-client.md", tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.xdist_group("demo")
@pytest.mark.skipif(
    shutil.which("gcc") is None or shutil.which("bwrap") is None, reason="no compiler, or no bubblewrap"
)
def test_build_a_stack(tmp_path: Path) -> None:
    write_demo_stack(tmp_path / "stack", system_gcc_version(), version("easybuild"))
    follow("build-a-stack.md", tmp_path)
