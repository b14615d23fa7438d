"""How fast a published tree is read, against the local disk.

Method: a copy of this environment's packages, up to 40 MB, published into a repository in a directory and served on
loopback by `outcrop repo serve`'s own server (a process of its own). In turns: the yardstick of checking out (inflate
and SHA-1 of every object, one thread, nothing written); `cp -a`; checkout with an empty cache and with a full one;
and, where this user may mount, `find` and `tar` over a fresh mount with an empty cache, over one with a full cache,
again over the same mount, and over the local disk.

What it leaves out: networks (loopback has no latency), Squid, nginx (which serves small files faster than Python does),
programs that read at random.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.repositories import NAME, created, published
from benchmarks.servers import own_server
from benchmarks.timing import Timings, print_circumstances, print_table, take_turns
from benchmarks.trees import ReferenceTree, copied_site_packages
from benchmarks.yardsticks import inflate_all
from outcrop.client.address import RepositoryAddress
from outcrop.client.checkout import checkout
from outcrop.client.checkout_plan import plan_checkout
from outcrop.client.mount.processes import mounted
from outcrop.client.mount.repository_tree import RepositoryTree
from outcrop.client.repository import ClientSettings, OpenRepository, open_repository
from outcrop.errors import MissingCapability

TREE_BYTES = 40_000_000
ROUNDS = 5


def main() -> None:
    """Prints the tables."""
    print_circumstances()
    with tempfile.TemporaryDirectory(prefix="outcrop-bench-") as scratch:
        place = Path(scratch)
        tree = copied_site_packages(place / "tree", TREE_BYTES)
        print(f"tree: {tree}; {ROUNDS} rounds in turns")
        published(created(place / "data", place / "storage"), tree.directory)
        with own_server(place / "storage") as url:
            _Reading(place, tree, url).measure()


class _Reading:
    def __init__(self, place: Path, tree: ReferenceTree, url: str) -> None:
        self._place, self._tree = place, tree
        self._address = RepositoryAddress(NAME, (url,), (place / "data" / f"{NAME}.pub",))
        self._cache = place / "cache"
        self._serial = 0

    def measure(self) -> None:
        objects = list((self._place / "storage" / NAME / "data").glob("??/*"))
        timings = take_turns(
            {
                "inflate + SHA-1, one thread": lambda: inflate_all(objects),
                "cp -a": self._copy,
                "checkout, empty cache": self._cold_checkout,
                "checkout, full cache": self._checkout,
            },
            ROUNDS,
        )
        print_table(timings, self._tree.files, "files", "cp -a")
        works: dict[str, Callable[[Path], object]] = {"find": _find, "tar": _tar}
        for name, work in works.items():
            try:
                mount_timings = self._mount_timings(work)
            except MissingCapability as error:
                print(f"{name} over a mount: {error}")
                continue
            print(f"-- {name}")
            print_table(mount_timings, self._tree.entries, "entries", "local disk")

    def _mount_timings(self, work: Callable[[Path], object]) -> dict[str, Timings]:
        timings = {
            name: Timings() for name in ("local disk", "mount, empty cache", "mount, full cache", "mount, again")
        }
        for _ in range(ROUNDS):
            shutil.rmtree(self._cache, ignore_errors=True)
            _add(timings["local disk"], lambda: work(self._tree.directory))
            for first in ("mount, empty cache", "mount, full cache"):
                mountpoint = self._new("mount")
                mountpoint.mkdir()
                with mounted(lambda: RepositoryTree(self._open()), mountpoint, source=NAME):
                    _add(timings[first], lambda place=mountpoint: work(place))  # type: ignore[misc]
                    if first == "mount, full cache":
                        _add(timings["mount, again"], lambda place=mountpoint: work(place))  # type: ignore[misc]
        return timings

    def _open(self) -> OpenRepository:
        state = self._place / "state"
        settings = ClientSettings(cache=self._cache, cache_directory=self._cache, state_directory=state)
        return open_repository(self._address, settings)

    def _cold_checkout(self) -> None:
        shutil.rmtree(self._cache, ignore_errors=True)
        self._checkout()

    def _checkout(self) -> None:
        destination = self._new("checkout")
        with self._open() as repository:
            checkout(plan_checkout(repository.tree), repository.tree, repository.contents, destination)
        assert sum(len(files) for _, _, files in os.walk(destination)) == self._tree.files
        shutil.rmtree(destination)

    def _copy(self) -> None:
        destination = self._new("copy")
        subprocess.run(["cp", "-a", str(self._tree.directory), str(destination)], check=True)
        shutil.rmtree(destination)

    def _new(self, kind: str) -> Path:
        self._serial += 1
        return self._place / f"{kind}{self._serial}"


def _add(timings: Timings, work: Callable[[], object]) -> None:
    taken = take_turns({"": work}, 1)[""]
    timings.wall += taken.wall
    timings.cpu += taken.cpu


def _find(directory: Path) -> None:
    subprocess.run(["find", str(directory), "-size", "+1000000M"], check=True, stdout=subprocess.DEVNULL)


def _tar(directory: Path) -> None:
    with subprocess.Popen(["tar", "-C", str(directory), "-c", "."], stdout=subprocess.PIPE) as tar:
        assert tar.stdout is not None
        while tar.stdout.read(1024 * 1024):
            pass
    assert tar.returncode == 0
