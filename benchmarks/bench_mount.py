"""How fast a mount of a large tree is, against the same tree on the local disk.

Method: the reference tree of `bench_stratum0` (seven Python packages, twice) is published once into a directory that is
kept for the next run (`OUTCROP_BENCH_DIR`, by default below the cache directory) and served by nginx on loopback. In
turns, the local disk comes first in every round: `find -type f -size +100000c`, `tar c | wc -c`, `python -c "import
numpy, scipy, pandas, sympy"`, 20,000 small files in random order by `stat` and by open and read. Each over the local
tree with the kernel's caches warm; over a fresh mount with everything in the objects' cache; again over the same mount;
and, for import and tar, over a fresh mount with an empty cache. All of that over FUSE and, as root, by layers. Memory
is that of the server process after `find` and after `tar` over everything.

Other work on the machine lengthens a mount's time more than that of the local disk, since two processes take part and
wait for each other; so the processor seconds of the server are shown beside the ratios.

What it leaves out: networks with latency; several programs at once; how long mounting takes.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.bench_stratum0 import reference_tree
from benchmarks.repositories import NAME, created, published
from benchmarks.servers import nginx
from benchmarks.timing import print_circumstances
from benchmarks.trees import ReferenceTree, measured
from outcrop.client.address import RepositoryAddress
from outcrop.client.layered.server import LayeredService
from outcrop.client.mount.kernel import MountOptions
from outcrop.client.mount.processes import RunningMount, served
from outcrop.client.mount.repository_tree import open_mounted_tree
from outcrop.client.mount.server import serve
from outcrop.client.owners import AS_PUBLISHED
from outcrop.client.repository import ClientSettings
from outcrop.directories import cache_directory

ROUNDS = 3
FILES = 20_000
PORT = 8473
_USER_TICKS, _SYSTEM_TICKS = 11, 12
"""Fields of /proc/PID/stat behind the name. Source: proc(5)."""
IMPORTS = "import numpy, scipy, pandas, sympy"


@dataclass(frozen=True)
class Row:
    """A work: seconds on the local disk, over the mount, the ratio that is aimed at (0 for none); processor seconds of
    the server, the part of the time that other work on the machine changes least."""

    name: str
    local: float
    mount: float
    target: float
    processor: float = 0.0


def main() -> None:
    """Prints the table."""
    print_circumstances()
    kept = Path(os.environ.get("OUTCROP_BENCH_DIR") or cache_directory() / "benchmarks" / "mount")
    tree = _published(kept)
    print(f"tree: {tree}; best of {ROUNDS} rounds")
    for by in ("fuse", "layers") if os.geteuid() == 0 else ("fuse",):
        with tempfile.TemporaryDirectory(prefix="outcrop-bench-") as scratch, _nginx(Path(scratch), kept / "storage"):
            print(f"\n-- outcrop mount --by {by}")
            _Bench(Path(scratch), kept, tree, by_layers=by == "layers").run()


def _published(kept: Path) -> ReferenceTree:
    done = kept / "tree"
    if not done.exists():
        kept.mkdir(parents=True, exist_ok=True)
        reference_tree(kept / "tree.new")
        published(created(kept / "data", kept / "storage"), kept / "tree.new")
        (kept / "tree.new").rename(done)
    return measured(done)


@contextmanager
def _nginx(place: Path, storage: Path) -> Iterator[None]:
    with nginx(place, storage, port=PORT, workers=2):
        yield


class _Bench:
    def __init__(self, place: Path, kept: Path, tree: ReferenceTree, *, by_layers: bool) -> None:
        self._place, self._tree, self._by_layers = place, tree, by_layers
        key = kept / "data" / f"{NAME}.pub"
        self._address = RepositoryAddress(NAME, (f"http://127.0.0.1:{PORT}/{NAME}",), (key,))
        self._mountpoint = place / "mount"
        self._mountpoint.mkdir()
        self._small = _small_files(tree.directory)
        self._rows: dict[str, list[Row]] = {}

    def run(self) -> None:
        for _ in range(ROUNDS):
            self._cold("import, empty cache", _import, 2.5)
            # This one leaves everything in the cache.
            self._cold("tar, empty cache", _tar, 0)
            self._cached()
        self._print()

    @contextmanager
    def _mount(self) -> Iterator[RunningMount]:
        cache = self._place / "cache"
        settings = ClientSettings(cache=cache, cache_directory=cache, state_directory=self._place / "state")
        opening = partial(open_mounted_tree, self._address, settings)
        service = LayeredService(opening, cache, AS_PUBLISHED) if self._by_layers else partial(serve, opening)
        options = MountOptions(NAME, self._mountpoint, everyone=os.geteuid() == 0)
        with served(service, options, self._place / "log") as running:
            yield running

    def _cold(self, name: str, work: Callable[[Path], object], target: float) -> None:
        shutil.rmtree(self._place / "cache", ignore_errors=True)
        local = _seconds(work, self._tree.directory)
        with self._mount() as running:
            self._add_work(name, local, work, running, target)

    def _cached(self) -> None:
        works: list[tuple[str, Callable[[Path], object], float, float]] = [
            ("find", _find, 4, 2),
            ("tar", _tar, 2, 2),
            ("import", _import, 1.2, 1.2),
            (f"stat of {FILES:,} files", lambda place: _stat_all(place, self._small), 0, 0),
            (f"open+read of {FILES:,} files", lambda place: _read_all(place, self._small), 0, 0),
        ]
        for name, work, first, again in works:
            local = min(_seconds(work, self._tree.directory) for _ in range(2))
            with self._mount() as running:
                self._add_work(f"{name}, first", local, work, running, first)
                self._add_work(f"{name}, again", local, work, running, again)
                if name in ("find", "tar"):
                    memory = _memory(running.server)
                    self._rows.setdefault(f"memory after {name}", []).append(Row("", 0, memory, 150))

    def _add_work(
        self, name: str, local: float, work: Callable[[Path], object], running: RunningMount, target: float
    ) -> None:
        before = _processor_seconds(running.server)
        seconds = _seconds(work, running.mountpoint)
        used = _processor_seconds(running.server) - before
        self._rows.setdefault(name, []).append(Row(name, local, seconds, target, used))

    def _print(self) -> None:
        print(f"{'':34} {'local s':>8} {'mount s':>8} {'ratio':>6} {'target':>7} {'server CPU s':>12}")
        for name, rows in self._rows.items():
            best = min(rows, key=lambda row: row.mount)
            if name.startswith("memory"):
                print(f"{name:34} {'':>8} {best.mount:5.0f} MB {'':>6} {best.target:4.0f} MB")
                continue
            target = f"{best.target:7.1f}" if best.target else ""
            processor = min(row.processor for row in rows)
            rate = ""
            if name.endswith("files, again"):
                rate = f"  {FILES / best.mount:,.0f}/s"
            elif name == "tar, empty cache":
                rate = f"  {self._tree.bytes / best.mount / 1e6:,.0f} MB/s, 40 aimed at"
            print(f"{name:34} {best.local:8.2f} {best.mount:8.2f} {best.mount / best.local:6.2f} {target:>7}"
                  f" {processor:12.2f}{rate}")  # fmt: skip


def _seconds(work: Callable[[Path], object], place: Path) -> float:
    began = time.perf_counter()
    work(place)
    return time.perf_counter() - began


def _processor_seconds(process: int) -> float:
    """What a process and all its threads have used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[_USER_TICKS]) + int(fields[_SYSTEM_TICKS])) / os.sysconf("SC_CLK_TCK")


def _memory(process: int) -> float:
    """The resident memory of a process in MB."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def _small_files(directory: Path) -> list[str]:
    found = [
        os.path.relpath(os.path.join(path, name), directory)
        for path, _, names in os.walk(directory)
        for name in names
        if os.lstat(os.path.join(path, name)).st_size <= 16_384
    ]
    rng = random.Random(1)
    return [rng.choice(found) for _ in range(FILES)] if len(found) < FILES else rng.sample(found, FILES)


def _find(place: Path) -> None:
    subprocess.run(["find", str(place), "-type", "f", "-size", "+100000c"], check=True, stdout=subprocess.DEVNULL)


def _tar(place: Path) -> None:
    subprocess.run(f"tar -C '{place}' -c . | wc -c", shell=True, check=True, stdout=subprocess.DEVNULL)


def _import(place: Path) -> None:
    top = next(path for path in (place / "first", place / "twice" / "first") if path.is_dir())
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(top), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-s", "-c", IMPORTS], check=True, env=environment)


def _stat_all(place: Path, names: list[str]) -> None:
    top = f"{place}/"
    for name in names:
        os.stat(top + name)


def _read_all(place: Path, names: list[str]) -> None:
    top = f"{place}/"
    for name in names:
        descriptor = os.open(top + name, os.O_RDONLY)
        os.read(descriptor, 65536)
        os.close(descriptor)
