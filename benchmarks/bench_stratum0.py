"""How fast a large tree of installed software is published, published again, and changed by one file.

Method: `pip install --target` of seven packages (numpy, scipy, pandas, matplotlib, sympy, scikit-learn, django) into a
directory that is kept for the next run, copied twice under different names. Each round, in turns: the yardstick (one
thread, read + zlib level 6 + SHA-1 over every file); a first publish into a new repository, durable; the same publish
again; a transaction without changes; a new file, and the same file with other bytes, as in a transaction. The kernel
has the files in memory before. Peak memory is that of a process that does nothing but the first publish, and of its
children.

What it leaves out: reading from a cold disk; stores behind a network. The second copy's contents are not compressed
again, which the yardstick does: half of the ratio is owed to that. The yardstick writes nothing, and syncs nothing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.repositories import NAME, created, made_keys, published
from benchmarks.timing import print_circumstances, print_table, take_turns
from benchmarks.trees import ReferenceTree, measured
from benchmarks.yardsticks import compress_all
from outcrop.directories import cache_directory
from outcrop.stratum0.publishing.contents import MAXIMUM_PROCESSES
from outcrop.stratum0.publishing.ingest import IngestOutcome
from outcrop.stratum0.repository import OwnedRepository

PACKAGES = ("numpy", "scipy", "pandas", "matplotlib", "sympy", "scikit-learn", "django")
ROUNDS = 5
"""A round takes a minute and more."""
YARDSTICK = "read + zlib-6 + SHA-1, one thread"


def main() -> None:
    """Prints the table."""
    print_circumstances()
    with tempfile.TemporaryDirectory(prefix="outcrop-bench-") as scratch:
        place = Path(scratch)
        tree = reference_tree(place / "tree")
        print(f"tree: {tree}; {ROUNDS} rounds in turns")
        bench = _Publishing(place, tree, made_keys(place / "keys"))
        timings = take_turns(
            {
                YARDSTICK: lambda: compress_all(tree.directory),
                "first publish": bench.first,
                "the same tree again": bench.again,
                "a transaction without changes": bench.nothing,
                "one new file": bench.one_file,
                "the same file, other bytes": bench.one_file,
            },
            ROUNDS,
        )
        print_table(timings, tree.bytes / 1e6, "MB", YARDSTICK)
        first = timings["first publish"].best
        for name in ("the same tree again", "a transaction without changes", "one new file"):
            print(f"first publish / {name}: {first / timings[name].best:,.0f}")
        print(f"peak memory of a first publish: {bench.peak_memory():,.0f} MB")


def reference_tree(destination: Path) -> ReferenceTree:
    """The packages, installed once into the cache directory, twice below `destination`."""
    installed = cache_directory() / "benchmarks" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    if not installed.is_dir():
        installed.parent.mkdir(parents=True, exist_ok=True)
        temporary = installed.with_suffix(".new")
        shutil.rmtree(temporary, ignore_errors=True)
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(temporary), *PACKAGES]
        subprocess.run(command, check=True)
        temporary.rename(installed)
    for name in ("first", "second"):
        shutil.copytree(installed, destination / name, symlinks=True)
    return measured(destination)


class _Publishing:
    def __init__(self, place: Path, tree: ReferenceTree, keys: Path) -> None:
        self._place, self._tree, self._keys = place, tree, keys
        self._repositories = 0
        self._files = 0
        self._repository: OwnedRepository | None = None

    def first(self) -> None:
        self._repository = self._new_repository()
        outcome = self._ingest(self._tree.directory, "/top")
        assert outcome.summary.added >= self._tree.entries, (outcome.summary.added, self._tree.entries)

    def again(self) -> None:
        assert not self._ingest(self._tree.directory, "/top").published

    def nothing(self) -> None:
        empty = self._place / "empty"
        empty.mkdir(exist_ok=True)
        assert not self._ingest(empty, "/top").published

    def one_file(self) -> None:
        more = self._place / "more"
        more.mkdir(exist_ok=True)
        self._files += 1
        (more / "file").write_bytes(os.urandom(1000 + self._files))
        assert self._ingest(more, "/top/first/numpy").published

    def peak_memory(self) -> float:
        """That of a process of its own, in MB, as if each of its children needed as much as the largest."""
        repository = self._new_repository()
        script = (
            "import resource, sys; from datetime import UTC, datetime; from pathlib import Path\n"
            "from outcrop.stratum0.publishing.ingest import IngestRequest, ingest\n"
            "from outcrop.stratum0.publishing.incoming_directory import DirectoryTree\n"
            "from outcrop.stratum0.repository import OwnedRepository\n"
            "ingest(OwnedRepository.open(Path(sys.argv[1]), sys.argv[2]),"
            " IngestRequest(trees=(DirectoryTree(Path(sys.argv[3])),)), now=datetime.now(UTC))\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
        )
        arguments = [str(repository.keys.directory), NAME, str(self._tree.directory)]
        done = subprocess.run([sys.executable, "-c", script, *arguments], check=True, capture_output=True, text=True)
        own, largest_child = map(int, done.stdout.split())
        return (own + min(os.cpu_count() or 1, MAXIMUM_PROCESSES) * largest_child) * 1024 / 1e6

    def _new_repository(self) -> OwnedRepository:
        self._repositories += 1
        data, storage = (self._place / f"{kind}{self._repositories}" for kind in ("data", "s"))
        return created(data, storage, keys=self._keys)

    def _ingest(self, directory: Path, at: str) -> IngestOutcome:
        assert self._repository is not None
        return published(self._repository, directory, at)
