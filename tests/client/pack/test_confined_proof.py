"""A pack is relocated and proven by an ordinary user, on machines that allow less and less."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator

import pytest

from outcrop.client.ladder.call_filter import is_possible
from tests.client.ladder.site import GREETING, PREFIX, Site, open_site

pytestmark = [
    pytest.mark.integration,
    pytest.mark.xdist_group("ladder"),
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed"),
    pytest.mark.skipif(not is_possible(), reason="no numbers of system calls are known for this machine"),
]

TARGET = "/mnt/t/soft"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with open_site(tmp_path_factory.mktemp("site")) as opened:
        yield opened


@pytest.mark.parametrize("namespaces", [True, False])
def test_an_ordinary_user_proves_an_image_with_and_without_namespaces(site: Site, namespaces: bool) -> None:
    output = f"/mnt/home/{namespaces}.tar"
    line = site.outcrop(
        "pack", site.url, "/", "-o", output, "--key", site.key, "--relocate", TARGET, "--json",
        "--prove", f"{TARGET}/bin/show",
    )  # fmt: skip
    report = site.on_a_machine(line, fuse=False, namespaces=namespaces)
    assert report.code == 0, report.complaint
    assert GREETING in report.complaint
    proof = json.loads(report.output)["relocation"]["proof"]
    assert proof["files"] >= 3
    assert proof["command"] == [f"{TARGET}/bin/show"]
    assert (report.left_running, report.left_mounted) == ([], [])
    assert list((site.directory / "t").iterdir()) == []
    verified = site.on_a_machine(site.outcrop("pack", "--verify", output), fuse=False, namespaces=namespaces)
    assert verified.code == 0, verified.complaint


def test_what_still_asks_for_the_old_prefix_is_named_without_namespaces_too(site: Site) -> None:
    line = site.outcrop(
        "pack", site.url, "/", "-o", "/mnt/home/left", "--key", site.key, "--relocate", TARGET,
        "--prove", f"{TARGET}/bin/cat {PREFIX}/greeting",
    )  # fmt: skip
    report = site.on_a_machine(line, fuse=False, namespaces=False)
    assert report.code == 10
    assert f"{TARGET}/bin/cat still asks for {PREFIX}/greeting" in report.complaint
    assert not (site.directory / "home" / "left").exists()
    assert list((site.directory / "t").iterdir()) == []
