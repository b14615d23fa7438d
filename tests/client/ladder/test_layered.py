"""Repositories shown by layers, as root and in a user namespace, each time by a real `outcrop run`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.digest import Algorithm, Digest
from outcrop.cvmfs.entry import Mark
from tests.client.ladder.confined import NOBODY, Report
from tests.client.ladder.site import GREETING, PREFIX, ROOT, Site, reason_against_machines
from tests.client.ladder.test_run import SHOW, check, check_nothing_left
from tests.client.published import CONTENTS, file_entry, keys, library
from tests.client.published import NAME as LIBRARY
from tests.cvmfs.samples import DIRECTORY

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("ladder")]

WAYS = ["erofs", "overlay"]
_SECONDS = 100
_USERS = {"erofs": 0, "overlay": NOBODY}
"""Who takes each way: images are root's."""

_ALONE = ("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc")


@pytest.fixture(autouse=True)
def _only_where_layers_hold() -> None:
    reason = reason_against_machines()
    if reason:
        pytest.skip(reason)


@dataclass
class Machine:
    """A machine of the test's own, which reads the repositories below `directory`."""

    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, way: str, name: str, key: Path, command: Sequence[str], *options: str) -> str:
        """What `command` says when it sees the repository `name` by `way`."""
        ended = self.ended(way, name, key, command, *options)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def ended(
        self, way: str, name: str, key: Path, command: Sequence[str], *options: str
    ) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "outcrop", "run", "--way", way, "--key", str(key), *options,
                f"file://{self.directory}/{name}", "--", *command]  # fmt: skip
        environment = {
            **os.environ,
            "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
            "OUTCROP_CACHE_DIR": str(self.directory / "cache"),
            "OUTCROP_STATE_DIR": str(self.directory / "state"),
            **self.environment,
        }
        return subprocess.run(
            [*_ALONE, *line], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=_SECONDS, check=False,
        )  # fmt: skip

    @property
    def objects(self) -> Path:
        return self.directory / "cache" / "objects"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    library().write(tmp_path / LIBRARY)
    (tmp_path / "library.pub").write_bytes(keys().public_pem)
    return Machine(tmp_path)


def library_key(machine: Machine) -> Path:
    return machine.directory / "library.pub"


def shown(machine: Machine, way: str, command: str, *options: str) -> str:
    """What a shell says about the library, from within it."""
    return machine.run(way, LIBRARY, library_key(machine), ["sh", "-c", f"cd /cvmfs/{LIBRARY} && {command}"], *options)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["test.example.org", "rmd.example.org"])
def test_a_sample_shows_what_the_stock_client_shows(tmp_path: Path, way: str, name: str) -> None:
    subprocess.run(["tar", "xzf", DIRECTORY / f"{name}.tar.gz", "-C", tmp_path], check=True)
    # What the stock client had in its environment when the expectations were written.
    machine = Machine(tmp_path, {"CVMFS_TEST_VAR": "from_env", "HOME": "/root"})
    options = [] if way == "erofs" else ["--without-owners"]
    command = [sys.executable, "-m", "tests.client.ladder.compare_sample", name, f"/cvmfs/{name}", *options]
    for _ in range(2):  # with an empty cache, and with a full one
        assert "entries are the same" in machine.run(way, name, DIRECTORY / "keys" / f"{name}.pub", command)


@pytest.mark.parametrize("way", WAYS)
def test_files_of_every_kind_have_their_bytes(machine: Machine, way: str) -> None:
    assert shown(machine, way, "cat README shelf/inner/two shelf/one | md5sum; readlink variant; ls -a").split() == [
        subprocess.run(
            ["md5sum"], input=b"".join(CONTENTS[path] for path in (b"/README", b"/shelf/inner/two", b"/shelf/one")),
            capture_output=True, check=True,
        ).stdout.decode().split()[0],
        "-", "README", ".", "..", "README", "absolute", "circle", "latest", "out", "shelf", "variant",
    ]  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_other_values_of_variables_fill_links_in_differently(machine: Machine, way: str) -> None:
    assert shown(machine, way, "readlink variant").strip() == "README"
    machine.environment = {"BOOK": "atlas"}
    assert shown(machine, way, "readlink variant").strip() == "atlas"


@pytest.mark.parametrize("way", WAYS)
def test_a_layer_is_made_once_and_made_again_when_it_has_changed(machine: Machine, way: str) -> None:
    shown(machine, way, "true")
    (layer,) = (machine.directory / "cache" / "layers" / LIBRARY).glob("*.layer")
    made = layer.read_bytes()
    before = layer.stat().st_mtime_ns
    shown(machine, way, "true")
    assert layer.stat().st_mtime_ns == before
    layer.write_bytes(made[:-100] + b"x" * 100)
    assert shown(machine, way, "cat README").encode() == CONTENTS[b"/README"]
    (layer,) = (machine.directory / "cache" / "layers" / LIBRARY).glob("*.layer")
    assert layer.read_bytes() == made


@pytest.mark.fault
@pytest.mark.parametrize("way", WAYS)
def test_a_file_in_the_cache_that_changed_is_reported_and_fetched_again(machine: Machine, way: str) -> None:
    shown(machine, way, "cat README")
    (path,) = (one for one in machine.objects.glob("??/*") if one.read_bytes() == CONTENTS[b"/README"])
    path.chmod(0o600)
    path.write_bytes(b"x" * len(CONTENTS[b"/README"]))
    ended = machine.ended(way, LIBRARY, library_key(machine), ["cat", f"/cvmfs/{LIBRARY}/README"])
    assert ended.stdout.encode() == CONTENTS[b"/README"]
    assert "damaged file in the cache" in ended.stderr
    assert path.read_bytes() == CONTENTS[b"/README"]


@pytest.mark.fault
@pytest.mark.parametrize("way", WAYS)
def test_without_a_server_what_is_cached_can_be_read_and_the_rest_is_an_error(machine: Machine, way: str) -> None:
    shown(machine, way, "cat README")
    # The repository goes once it is open; what was read before stays.
    gone = f"rm -r {machine.directory / LIBRARY}/data; cat README; cat shelf/inner/two 2>&1 || true"
    text = shown(machine, way, gone)
    assert text.encode().startswith(CONTENTS[b"/README"])
    assert "Input/output error" in text


@pytest.mark.parametrize("way", WAYS)
def test_once_it_is_in_the_cache_nobody_is_asked(machine: Machine, way: str) -> None:
    shown(machine, way, "cat README shelf/inner/two")
    stop = "for p in /proc/[0-9]*; do grep -q outcrop $p/cmdline && kill -9 ${p#/proc/}; done; "
    text = shown(machine, way, f"{stop} cat README shelf/inner/two; cat shelf/one >/dev/null 2>&1 || echo refused")
    assert text.encode() == CONTENTS[b"/README"] + CONTENTS[b"/shelf/inner/two"] + b"refused\n"


@pytest.mark.parametrize("way", WAYS)
def test_nothing_can_be_written(machine: Machine, way: str) -> None:
    assert "Read-only file system" in shown(machine, way, "touch new 2>&1 || true; rm README 2>&1 || true")


def test_what_one_digest_means_in_two_ways_is_shown_in_both(tmp_path: Path) -> None:
    published = library()
    digest = published.add(b"inner\n")
    stored = next(data for name, data in published.files.items() if name.endswith(digest.text[2:]))
    published.sign(
        published.catalog({
            b"/plain": file_entry(b"plain", len(stored), digest, compression=Compression.NONE),
            b"/zipped": file_entry(b"zipped", 6, digest),
        })
    )  # fmt: skip
    published.write(tmp_path / LIBRARY)
    (tmp_path / "library.pub").write_bytes(keys().public_pem)
    machine = Machine(tmp_path)
    for _ in range(2):
        assert shown(machine, "erofs", "cat zipped; wc -c <plain").split() == ["inner", str(len(stored))]


@pytest.mark.parametrize("way", WAYS)
def test_a_machine_that_allows_it_takes_it_first_and_nothing_is_left(site: Site, way: str) -> None:
    user = _USERS[way]
    check(site.on_a_machine(site.run(SHOW), user=user, home=f"home-{way}"), way, user=user)


@pytest.mark.fault
@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_left_after_sigkill(site: Site, way: str) -> None:
    line = site.run("sh", "-c", f"cd {PREFIX} && exec sleep 600", options=["--way", way])
    report = site.on_a_machine(line, user=_USERS[way], home=f"home-{way}", kill_after=8.0)
    assert report.code == -9
    check_nothing_left(report)


@pytest.mark.parametrize("way", WAYS)
def test_the_command_has_its_own_exit_code_and_input(site: Site, way: str) -> None:
    def run(*command: str, text: str = "") -> Report:
        line = site.run(*command, options=["--way", way])
        return site.on_a_machine(line, user=_USERS[way], home=f"home-{way}", text=text)

    assert run("sh", "-c", "exit 7").code == 7
    assert run(f"{PREFIX}/bin/none").code == 127
    assert run(f"{PREFIX}/bin/cat", text="from me").output == "from me"


def test_what_the_command_leaves_running_keeps_its_mount_and_no_longer(site: Site) -> None:
    later = f"(sleep 1; cat {PREFIX}/greeting >/mnt/home/later-overlay) >/dev/null 2>&1 &"
    report = site.on_a_machine(site.run("sh", "-c", later, options=["--way", "overlay"]))
    check_nothing_left(report)
    assert (site.directory / "home" / "later-overlay").read_text().strip() == GREETING


def test_without_fuse_the_layers_say_why_not(site: Site) -> None:
    report = site.on_a_machine(site.run(SHOW, options=["--way", "overlay"]), fuse=False)
    assert report.code == 9
    assert "there is no /dev/fuse" in report.complaint


def test_doctor_knows_both(site: Site) -> None:
    for user, works in ((0, ["erofs", "overlay"]), (NOBODY, ["overlay"])):
        report = site.on_a_machine(site.outcrop("doctor", "--json"), user=user, home=f"doctor-{user}")
        ways = {each["way"]: each for each in json.loads(report.output)["ways"]}
        assert [way for way in WAYS if ways[way]["works"]] == works
        if user:
            assert "lets only root mount images" in ways["erofs"]["hint"]
        check_nothing_left(report)


@pytest.mark.skipif(not shutil.which("fsck.erofs"), reason="erofs-utils is not installed")
def test_the_image_of_a_sample_is_found_sound(tmp_path: Path) -> None:
    name = "test.example.org"
    subprocess.run(["tar", "xzf", DIRECTORY / f"{name}.tar.gz", "-C", tmp_path], check=True)
    Machine(tmp_path).run("erofs", name, DIRECTORY / "keys" / f"{name}.pub", ["true"])
    (layer,) = (tmp_path / "cache" / "layers" / name).glob("*.layer")
    told = subprocess.run(["fsck.erofs", layer], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr


@pytest.mark.parametrize("way", WAYS)
def test_other_digests_uncompressed_and_external_files_have_their_bytes(tmp_path: Path, way: str) -> None:
    published = library()
    plain, outside = b"uncompressed\n", b"external\n"
    digest = published.add(plain, compression=Compression.NONE, algorithm=Algorithm.SHAKE128)
    external = {"compression": Compression.NONE, "marks": Mark.EXTERNAL}
    published.sign(
        published.catalog({
            b"/plain": file_entry(b"plain", len(plain), digest, compression=Compression.NONE),
            b"/other": file_entry(b"other", 6, published.add(b"other\n", algorithm=Algorithm.RMD160)),
            b"/outside": file_entry(b"outside", len(outside), Digest.of(outside), **external),
        })
    )  # fmt: skip
    published.write(tmp_path / LIBRARY)
    (tmp_path / "external").mkdir()
    (tmp_path / "external" / "outside").write_bytes(outside)
    (tmp_path / "library.pub").write_bytes(keys().public_pem)
    machine = Machine(tmp_path)
    for _ in range(2):
        text = shown(machine, way, "cat plain other outside", "--external", f"file://{tmp_path}/external")
        assert text == "uncompressed\nother\nexternal\n"


def test_whoever_shares_a_cache_with_others_has_layers_of_his_own(machine: Machine) -> None:
    (machine.directory / "cache").mkdir()
    (machine.directory / "cache" / "layers").mkdir()
    os.chown(machine.directory / "cache" / "layers", NOBODY, NOBODY)
    assert shown(machine, "erofs", "cat README").encode() == CONTENTS[b"/README"]
    assert list((machine.directory / "cache" / "layers-0" / LIBRARY).glob("*.layer"))
