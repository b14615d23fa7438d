"""What happens on a mounted repository when its owner publishes: run by `private_place.play`, as `scenarios` is."""

from __future__ import annotations

import contextlib
import mmap
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from outcrop.client.address import RepositoryAddress
from outcrop.client.mount.processes import RunningMount, mounted
from outcrop.client.mount.report import REPORT_ATTRIBUTE, Report, parse_report
from outcrop.client.mount.repository_tree import open_mounted_tree
from outcrop.client.repository import CURRENT, ClientSettings, RevisionChoice
from outcrop.cvmfs.catalog_edit import nested_mountpoint, nested_root
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.entry import Entry, Mark
from outcrop.cvmfs.paths import ancestors
from tests.client.mount.scenarios import wait_until
from tests.client.published import NAME, NOW, Published, directory_entry, file_entry, keys, link_entry, signed_manifest
from tests.faulty_server import Site, serving

OLD, NEW = os.urandom(3_000_000), os.urandom(2_500_000)
FIRST = {
    b"/README": b"one", b"/d/big": OLD, b"/d/gone": b"gone", b"/d/same": b"same", b"/n/inner/x": b"x" * 5000,
    b"/n/inner/y": b"y", b"/old/tool/lib": b"library", b"/old/chunked": OLD, b"/far/away": b"away",
}  # fmt: skip
SECOND = {
    b"/README": b"two", b"/d/big": NEW, b"/d/new": b"new", b"/d/same": b"same", b"/n/inner/x": b"x" * 5000,
    b"/n/inner/z": b"z", b"/n/more/w": b"w", b"/far/away": b"further away", b"/old": b"a file now",
}  # fmt: skip
LINK = {1: b"d/same", 2: b"d/new"}


def publish(directory: Path, revision: int, files: dict[bytes, bytes], ttl: int = 3600) -> None:
    """Writes the repository with `files` below `directory`; what is below `/n` has a catalog of its own."""
    published = Published(revision=revision)
    entries: dict[bytes, Entry] = {b"/link": link_entry(b"link", LINK[revision])}
    chunks = {}
    for path, data in files.items():
        for above in ancestors(path)[1:]:
            entries.setdefault(above, directory_entry(above.rpartition(b"/")[2]))
        name = path.rpartition(b"/")[2]
        if name == b"chunked":
            chunks[path] = published.chunked(data, 500_000)
            entries[path] = file_entry(name, len(data), None, marks=Mark.CHUNKED)
        else:
            entries[path] = published.file(name, data)
    inner = {path: entry for path, entry in entries.items() if path.startswith(b"/n/")}
    nested = published.catalog(inner, b"/n", root=nested_root(entries[b"/n"]))
    outer = {path: entry for path, entry in entries.items() if path not in inner}
    outer[b"/n"] = nested_mountpoint(entries[b"/n"])
    published.root = published.catalog(outer, nested=[nested], chunks=chunks)
    published.sign()
    published.files[".cvmfspublished"] = signed_manifest(published.manifest(ttl=ttl), published.owner.signing)
    published.write(directory)


def reading(directory: Path, server: str = "") -> tuple[RepositoryAddress, ClientSettings]:
    """How the repository that is published below `directory` is read, from there or from `server`."""
    key = directory / "key.pub"
    key.write_bytes(keys().public_pem)
    address = RepositoryAddress(NAME, (server or f"file://{directory}/server",), (key,))
    settings = ClientSettings(
        cache_directory=directory / "cache", state_directory=directory / "state", now=lambda: NOW
    )  # fmt: skip
    return address, settings


@contextlib.contextmanager
def mounted_repository(
    directory: Path, choice: RevisionChoice = CURRENT, name: str = "mount", server: str = ""
) -> Iterator[RunningMount]:
    (directory / name).mkdir()
    opening = partial(open_mounted_tree, *reading(directory, server), choice)
    with mounted(opening, directory / name, source=NAME, log=directory / f"{name}.log") as running:
        yield running


def report(running: RunningMount) -> Report:
    return parse_report(os.getxattr(running.mountpoint, REPORT_ATTRIBUTE), "the mount")


def look_now(running: RunningMount) -> Report:
    """Has the server look for a new revision; its report afterwards."""
    before = report(running).check
    os.kill(running.server, signal.SIGUSR2)
    wait_until(lambda: report(running).check != before, "the server has looked")
    return report(running)


def contents(mountpoint: Path) -> dict[bytes, bytes]:
    top = os.fsencode(mountpoint)
    return {
        os.path.join(path, name)[len(top) :]: Path(os.fsdecode(os.path.join(path, name))).read_bytes()
        for path, _, names in os.walk(top)
        for name in names
        if not os.path.islink(os.path.join(path, name))
    }


def numbers(mountpoint: Path) -> dict[str, int]:
    return {str(path.relative_to(mountpoint)): path.lstat().st_ino for path in mountpoint.rglob("*")}


def new_revision_shows_and_running_jobs_go_on(directory: Path) -> None:
    publish(directory / "server", 1, FIRST)
    with mounted_repository(directory) as running:
        place = running.mountpoint
        assert contents(place) == FIRST
        assert not (place / "d" / "new").exists()
        before = numbers(place)
        assert os.readlink(place / "link") == "d/same"
        big, chunked = (os.open(place / name, os.O_RDONLY) for name in ("d/big", "old/chunked"))
        mapped = mmap.mmap(big, 0, prot=mmap.PROT_READ)
        inside = os.open(place / "old" / "tool", os.O_RDONLY | os.O_DIRECTORY)
        script = "read go; cat lib; ls; cat ../chunked | wc -c"
        worker = subprocess.Popen(
            ["/bin/sh", "-c", script], cwd=place / "old" / "tool", stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

        publish(directory / "server", 2, SECOND)
        found = look_now(running)
        assert (found.revision, found.check and found.check.outcome) == (2, "changed")
        assert contents(place) == SECOND
        assert os.readlink(place / "link") == "d/new"
        assert os.getxattr(place, "user.revision") == b"2"
        assert not (place / "d" / "gone").exists()
        assert sorted(os.listdir(place / "n" / "inner")) == ["x", "z"]
        after = numbers(place)
        changed = {path for path in before.keys() & after.keys() if before[path] != after[path]}
        assert changed == {"README", "d/big", "far/away", "old", "link"}

        for descriptor in (big, chunked):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            assert os.pread(descriptor, len(OLD), 0) == OLD
        assert Digest.of(mapped[:]) == Digest.of(OLD)
        assert os.listdir(inside) == ["lib"]
        said, _ = worker.communicate(b"go\n", timeout=20)
        assert said.split() == [b"librarylib", str(len(OLD)).encode()]
        assert look_now(running).check.outcome == "unchanged"  # type: ignore[union-attr]
    assert "revision 2 is shown now" in (directory / "mount.log").read_text()


def new_revision_comes_by_itself(directory: Path) -> None:
    publish(directory / "server", 1, FIRST, ttl=1)
    with mounted_repository(directory) as running:
        assert (running.mountpoint / "README").read_bytes() == b"one"
        publish(directory / "server", 2, SECOND, ttl=1)
        wait_until(lambda: (running.mountpoint / "README").read_bytes() == b"two", "the new revision shows")


def outage_is_survived_with_what_is_cached(directory: Path) -> None:
    publish(directory / "server", 1, FIRST)
    with mounted_repository(directory) as running:
        place = running.mountpoint
        assert (place / "d" / "big").read_bytes() == OLD
        assert sorted(os.listdir(place / "n" / "inner")) == ["x", "y"]
        (directory / "server").rename(directory / "away")
        found = look_now(running)
        assert found.check is not None
        assert (found.check.outcome, found.revision) == ("failed", 1)
        assert found.check.problem
        assert (place / "d" / "big").read_bytes() == OLD
        assert sorted(os.listdir(place / "n" / "inner")) == ["x", "y"]
        look_now(running)
        (directory / "away").rename(directory / "server")
        publish(directory / "server", 2, SECOND)
        assert look_now(running).revision == 2
        assert contents(place) == SECOND
    log = (directory / "mount.log").read_text()
    assert log.count("goes on to be shown, from what is cached") == 1
    assert "can be reached again" in log


def mount_that_begins_without_a_server_shows_what_is_cached_and_follows(directory: Path) -> None:
    publish(directory / "server", 1, FIRST)
    site = Site(files_below(directory / "server"))
    with serving(site) as url, mounted_repository(directory, server=url, name="before") as running:
        assert contents(running.mountpoint) == FIRST
    with mounted_repository(directory, server=url) as running:
        assert contents(running.mountpoint) == FIRST
        found = look_now(running)
        assert found.check is not None
        assert (found.check.outcome, found.revision) == ("failed", 1)
        publish(directory / "server", 2, SECOND)
        with serving(Site(files_below(directory / "server")), port=urlsplit(url).port or 0):
            assert look_now(running).revision == 2
            assert contents(running.mountpoint) == SECOND
    assert "revision 1 is shown, as far as this machine has it" in (directory / "mount.log").read_text()


def files_below(top: Path) -> dict[str, bytes]:
    return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}


def chosen_revision_stays(directory: Path) -> None:
    publish(directory / "server", 1, FIRST)
    with mounted_repository(directory) as first:
        root = first.mountpoint
        digest = Digest.parse(os.getxattr(root, "user.root_hash").decode(), what="the mount")
        assert os.getxattr(root, "user.expires") == b"59"
    with mounted_repository(directory, RevisionChoice(root_catalog=digest), "chosen") as running:
        publish(directory / "server", 2, SECOND)
        assert os.getxattr(running.mountpoint, "user.expires") == b"never (fixed root catalog)"
        os.kill(running.server, signal.SIGUSR2)
        assert contents(running.mountpoint) == FIRST
        assert report(running).check is None
        assert not report(running).follows


def old_revision_is_not_gone_back_to(directory: Path) -> None:
    """A server that shows an older state is trouble, not a revision."""
    publish(directory / "server", 1, FIRST)
    shutil.copytree(directory / "server", directory / "before")
    publish(directory / "server", 2, SECOND)
    with mounted_repository(directory) as running:
        assert contents(running.mountpoint) == SECOND
        shutil.copy(directory / "before" / ".cvmfspublished", directory / "server" / ".cvmfspublished")
        found = look_now(running)
        assert (found.revision, found.check and found.check.outcome) == (2, "failed")
        assert contents(running.mountpoint) == SECOND


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
