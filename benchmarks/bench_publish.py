"""How fast a tree is published, against one thread that reads, compresses with zlib level 6 and digests with SHA-1.

Method: a copy of this environment's packages, up to 40 MB. Each round, in turns: the yardstick over all files; a first
publish into a new repository, durable, with the default encoder and with zlib; the same publish again (no change); a
publish of one new file; a plain copy of the tree with `cp -a` and `sync`. The kernel has the files in memory before.

What it leaves out: reading from a cold disk, trees of other shape (few large files go faster), more than this machine's
cores. The yardstick writes nothing, so a ratio above 1 is in spite of that.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from benchmarks.repositories import created, made_keys, published
from benchmarks.timing import print_circumstances, print_table, take_turns
from benchmarks.trees import ReferenceTree, copied_site_packages
from benchmarks.yardsticks import compress_all
from outcrop.stratum0.repository import OwnedRepository

TREE_BYTES = 40_000_000
ROUNDS = 5


def main() -> None:
    """Prints the table."""
    print_circumstances()
    with tempfile.TemporaryDirectory(prefix="outcrop-bench-") as scratch:
        place = Path(scratch)
        tree = copied_site_packages(place / "tree", TREE_BYTES)
        print(f"tree: {tree}; {ROUNDS} rounds in turns")
        bench = _Publishing(place, tree, made_keys(place / "keys"))
        timings = take_turns(
            {
                "read + zlib-6 + SHA-1, one thread": lambda: compress_all(tree.directory),
                "cp -a and sync": bench.copy,
                "first publish (libdeflate)": lambda: bench.first("libdeflate"),
                "the same again, no change": bench.again,
                "one new file": bench.one_file,
                "first publish (zlib)": lambda: bench.first("zlib"),
            },
            ROUNDS,
        )
        print_table(timings, tree.bytes / 1e6, "MB", "read + zlib-6 + SHA-1, one thread")


class _Publishing:
    def __init__(self, place: Path, tree: ReferenceTree, keys: Path) -> None:
        self._place, self._tree, self._keys = place, tree, keys
        self._number = 0
        self._repository: OwnedRepository | None = None

    def copy(self) -> None:
        destination = self._place / "copy"
        subprocess.run(["cp", "-a", str(self._tree.directory), str(destination)], check=True)
        os.sync()
        shutil.rmtree(destination)

    def first(self, compressor: str) -> None:
        if self._repository is not None:
            shutil.rmtree(self._repository.settings.storage)
        self._number += 1
        data, storage = (self._place / f"{kind}{self._number}" for kind in ("data", "s"))
        self._repository = created(data, storage, keys=self._keys, compressor=compressor)
        outcome = self._ingest(self._tree.directory, "/top")
        assert outcome == self._tree.entries + 1, (outcome, self._tree.entries)

    def again(self) -> None:
        assert self._ingest(self._tree.directory, "/top") == 0

    def one_file(self) -> None:
        more = self._place / f"more{self._number}"
        more.mkdir()
        (more / f"file{os.getpid()}").write_bytes(os.urandom(1000))
        assert self._ingest(more, "/top") == 1
        shutil.rmtree(more)

    def _ingest(self, directory: Path, at: str) -> int:
        assert self._repository is not None
        return published(self._repository, directory, at).summary.added
