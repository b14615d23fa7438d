"""What happens on a mount by layers: run by `private_place.play`, in namespaces of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from outcrop.client.layered.server import LayeredService
from outcrop.client.mount.kernel import MountOptions
from outcrop.client.mount.mountinfo import mounts, our_mounts
from outcrop.client.mount.processes import RunningMount, served
from outcrop.client.mount.repository_tree import open_mounted_tree
from outcrop.client.mount.unmounting import end_mount, status
from outcrop.client.owners import AS_PUBLISHED
from outcrop.client.repository import CURRENT, RevisionChoice
from outcrop.cvmfs.digest import Digest
from tests.client.mount.revision_scenarios import (
    FIRST,
    NEW,
    OLD,
    SECOND,
    contents,
    files_below,
    look_now,
    publish,
    reading,
    report,
)
from tests.client.mount.scenarios import is_running, wait_until
from tests.client.published import NAME
from tests.faulty_server import Site, serving

_JOB = "import sys, os; os.chdir(sys.argv[1]); print('in', flush=True); input(); print(open('same').read(), flush=True)"


@contextlib.contextmanager
def layered(
    directory: Path, server: str = "", choice: RevisionChoice = CURRENT, name: str = "mount"
) -> Iterator[RunningMount]:
    """A mount by layers of the repository that is published below `directory`."""
    (directory / name).mkdir()
    opening = partial(open_mounted_tree, *reading(directory, server), choice)
    service = LayeredService(opening, directory / "cache", AS_PUBLISHED)
    with served(service, MountOptions(NAME, directory / name, True), directory / f"{name}.log") as running:
        yield running


def looked(running: RunningMount, directory: Path, words: str) -> None:
    """Has the server look for a new revision, and waits for what the log says after that."""
    log = directory / "mount.log"
    before = log.read_text().count(words)
    look_now(running)
    wait_until(lambda: log.read_text().count(words) > before, f"the log says {words!r}")


def shows_and_tells_what_is_mounted(directory: Path) -> None:
    publish(directory / "server", 1, FIRST)
    with layered(directory) as running:
        place = running.mountpoint
        # First with an empty cache, then with everything in it.
        assert contents(place) == contents(place) == FIRST
        assert (place / "link").read_bytes() == b"same"
        assert os.getxattr(place, "user.fqrn").decode() == NAME
        assert os.getxattr(place, "user.revision") == b"1"
        told = report(running)
        assert (told.repository, told.revision, told.pid, told.follows) == (NAME, 1, running.server, True)
        (line,) = our_mounts(mounts())
        assert (line.repository, status(line).server, status(line).revision) == (NAME, running.server, 1)
        with pytest.raises(OSError, match="Read-only file system"):
            (place / "new").touch()
    assert not our_mounts(mounts())


def next_revision_takes_its_place_and_running_jobs_go_on(directory: Path) -> None:
    publish(directory / "server", 1, FIRST)
    with layered(directory) as running:
        place = running.mountpoint
        job = subprocess.Popen(
            [sys.executable, "-c", _JOB, str(place / "d")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert job.stdin is not None
        assert job.stdout is not None
        assert job.stdout.readline() == "in\n"
        with (place / "d" / "big").open("rb") as held:
            assert held.read(10) == OLD[:10]
            publish(directory / "server", 2, SECOND)
            assert look_now(running).revision == 2
            assert contents(place) == SECOND
            assert held.read() == OLD[10:]
        assert (place / "d" / "big").read_bytes() == NEW
        assert [line.mountpoint for line in our_mounts(mounts())] == [str(place)]
        out, _ = job.communicate("\n", timeout=30)
        assert out == "same\n"


def file_that_is_damaged_meanwhile_is_mended_at_the_next_look(directory: Path) -> None:
    publish(directory / "server", 1, FIRST)
    with layered(directory) as running:
        place = running.mountpoint
        assert (place / "d" / "big").read_bytes() == OLD
        (cached,) = [path for path in (directory / "cache" / "objects").glob("??/*") if path.read_bytes() == OLD]
        cached.write_bytes(bytes(len(OLD)))
        looked(running, directory, "the layers are put together anew")
        assert (place / "d" / "big").read_bytes() == OLD
        assert "its bytes have changed" in (directory / "mount.log").read_text()


def outage_is_survived_and_no_server_is_needed_to_begin(directory: Path) -> None:
    publish(directory / "server", 1, FIRST)
    with serving(Site(files_below(directory / "server"))) as url, layered(directory, url, name="before") as running:
        assert contents(running.mountpoint) == FIRST
    with layered(directory, url) as running:
        assert contents(running.mountpoint) == FIRST
        check = look_now(running).check
        assert check is not None
        assert check.outcome == "failed"
        assert contents(running.mountpoint) == FIRST


def follow_that_fails_leaves_everything_as_it_is(directory: Path) -> None:
    publish(directory / "server", 1, FIRST)
    with layered(directory) as running:
        place = running.mountpoint
        assert contents(place) == FIRST
        below = place / "d"
        subprocess.run(["mount", "-t", "tmpfs", "none", below], check=True)
        publish(directory / "server", 2, SECOND)
        check = look_now(running).check
        assert check is not None
        assert check.outcome == "failed"
        assert "a mount at" in check.problem
        assert (place / "README").read_bytes() == b"one"
        subprocess.run(["umount", below], check=True)
        assert look_now(running).revision == 2
        assert contents(place) == SECOND


def layers_that_others_may_write_are_not_mounted(directory: Path) -> None:
    publish(directory / "server", 1, FIRST)
    with layered(directory, name="first") as running:
        assert contents(running.mountpoint) == FIRST
    (directory / "cache" / "layers").chmod(0o777)
    with layered(directory) as running:
        assert contents(running.mountpoint) == FIRST
    assert (directory / "cache" / "layers-0").is_dir()


def older_layers_are_served_for_as_long_as_somebody_uses_them(directory: Path) -> None:
    publish(directory / "server", 1, FIRST)
    with layered(directory) as running:
        place = running.mountpoint
        with contextlib.ExitStack() as held:
            top = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
            held.callback(os.close, top)
            publish(directory / "server", 2, SECOND)
            assert look_now(running).revision == 2
            subprocess.run(["umount", place], check=True)
            # Nothing of this file is in the cache.
            file = os.open("d/gone", os.O_RDONLY, dir_fd=top)
            held.callback(os.close, file)
            assert os.read(file, 10) == b"gone"
            assert is_running(running.server)
        wait_until(lambda: not is_running(running.server), "the server has ended")


def chosen_revision_stays(directory: Path) -> None:
    publish(directory / "server", 1, FIRST)
    with layered(directory, name="first") as first:
        root = Digest.parse(os.getxattr(first.mountpoint, "user.root_hash").decode(), what="the mount")
    publish(directory / "server", 2, SECOND)
    with layered(directory, choice=RevisionChoice(root_catalog=root)) as running:
        assert contents(running.mountpoint) == FIRST
        assert not report(running).follows


def whoever_ends_it_nothing_is_left(directory: Path) -> None:
    publish(directory / "server", 1, FIRST)

    def unmounted_by_us(running: RunningMount) -> None:
        (line,) = our_mounts(mounts())
        end_mount(line, lazy=False)
        assert not is_running(running.server)

    def unmounted_by_others(running: RunningMount) -> None:
        subprocess.run(["umount", running.mountpoint], check=True)

    def killed(running: RunningMount) -> None:
        os.kill(running.server, signal.SIGKILL)

    for number, end in enumerate((unmounted_by_us, unmounted_by_others, killed)):
        with layered(directory, name=f"mount{number}") as running:
            assert (running.mountpoint / "README").read_bytes() == b"one"
            end(running)
            wait_until(lambda: not our_mounts(mounts()), "the mount has gone")
            wait_until(lambda server=running.server: not is_running(server), "the server has ended")  # type: ignore[misc]
            assert list(running.mountpoint.iterdir()) == []


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[2]))
