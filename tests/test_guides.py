"""Every guide works as it is written: its `console` blocks run, in order, in an empty home directory."""

from __future__ import annotations

import json
import lzma
import os
import re
import shutil
import socket
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import pytest

from outcrop.client.ladder.ways import Way
from outcrop.compat.declared_files import STANDARD_DIRECTORY
from outcrop.compat.family import this_family
from outcrop.compat.package_sets import read_description
from outcrop.compat.verify.choices import choices_for
from outcrop.software.demo_stack import system_gcc_version, write_demo_stack
from tests.compat.debian.archive_made_here import GPG, WITHOUT_GPG, gnupg_home
from tests.compat.debian.guided_archive import advisories, archives
from tests.faulty_server import Site, serving

GUIDES = Path(__file__).parent.parent / "docs" / "guides"
_BLOCK = re.compile(r"^(?P<indent> *)```console\n(?P<text>.*?)^(?P=indent)```", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"^```toml\n# (?P<path>\S+/\S+\.toml)\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.integration


def commands(guide: Path) -> list[str]:
    """The command lines of a guide, but for `make`, which sets up the tree that the tests run in."""
    lines = [line.strip() for block in _BLOCK.finditer(guide.read_text()) for line in block["text"].splitlines()]
    return [line.removeprefix("$ ") for line in lines if line.startswith("$ ") and not line.startswith("$ make ")]


def write_files(guide: str, home: Path) -> None:
    """The files of a guide: its `toml` blocks that begin with a path."""
    for block in _FILE.finditer((GUIDES / guide).read_text()):
        place = home / block["path"]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(block["text"])


def follow(guide: str, home: Path, settings: Mapping[str, str] | None = None) -> None:
    """Runs a guide in `home`, with `settings` in its environment; the port in it is exchanged for one that is free."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    # A guide that fails in the middle must not leave a server behind, which would hold its output open.
    lines = ["set -eumo pipefail", "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT", *commands(GUIDES / guide)]
    script = "\n".join(lines).replace("8000", port)
    environment = {**os.environ, "HOME": str(home), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment.update(settings or {})
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


def test_what_a_guide_declares_can_be_read(tmp_path: Path) -> None:
    guide = "own-a-compatibility-layer.md"
    write_files(guide, tmp_path)
    own = tmp_path / "stack/compat"
    assert {file.name for file in own.iterdir()} == {"layer.toml", "analysis.toml", "instructions.toml", "scripts.toml"}
    declared = read_description(own)
    assert [one.packages for one in declared.effects] == [("jq",)]
    assert len(choices_for(this_family(), declared.instructions)) >= len(choices_for(this_family()))
    (wheel,) = re.findall(r"^```toml\n(\[\[wheel]].*?)^```", (GUIDES / guide).read_text(), re.MULTILINE | re.DOTALL)
    assert wheel in (STANDARD_DIRECTORY / "python.toml").read_text()


@pytest.mark.timeout(300)
@pytest.mark.skipif(GPG is None, reason=WITHOUT_GPG)
@pytest.mark.skipif(
    any(shutil.which(name) is None for name in ("gcc", "gpgv", "bwrap")), reason="no compiler, gpgv or bubblewrap"
)
def test_own_a_compatibility_layer(tmp_path: Path) -> None:
    """What the guide asks of Debian is asked of an archive that has its packages and no others, so the sets that come
    with Outcrop stay out, and there is no shell to verify the layer with. Updates come from what that archive is a
    month later."""
    home = tmp_path / "home"
    write_files("own-a-compatibility-layer.md", home)
    layer = home / "stack/compat/layer.toml"
    layer.write_text(f'back_end = "debian"\nsuites = ["bookworm"]\nstandard_sets = false\n{layer.read_text()}')
    tracker = tmp_path / "tracker.json"
    tracker.write_bytes(advisories())
    (home / "stack/tracker.json.xz").write_bytes(lzma.compress(advisories()))
    with zipfile.ZipFile(home / "stack/pypi.zip", "w") as records:
        package = {"ecosystem": "PyPI", "name": "another"}
        record = {"id": "PYSEC-2026-1", "affected": [{"package": package, "versions": ["1.0"]}]}
        records.writestr("PYSEC-2026-1.json", json.dumps(record))
    with gnupg_home() as gnupg:
        key = gnupg.make_key("Archive <archive@example.org>")
        old, mended = archives(tmp_path, key)
        with serving(Site(old.files)) as now, serving(Site(mended.files)) as later:
            settings = {f"OUTCROP_COMPAT_{command}_ADVISORIES": str(tracker) for command in ("AUDIT", "UPDATE")}
            settings["OUTCROP_COMPAT_UPDATE_NO_VERIFY"] = "1"
            for command, mirror in {"PLAN": now, "BUILD": now, "UPDATE": later}.items():
                settings[f"OUTCROP_COMPAT_{command}_DEBIAN_MIRROR"] = mirror
                settings[f"OUTCROP_COMPAT_{command}_KEYRING"] = str(key.keyring)
            follow("own-a-compatibility-layer.md", home, settings)
