"""How fast a tree is published, against one thread that reads, compresses with zlib level 6 and digests with SHA-1.

Method: a copy of this environment's packages, up to 40 MB. Each round, in turns: the yardstick over all files; a first
publish into a new repository, durable, with the default encoder and with zlib; the same publish again (no change); a
publish of one new file; a plain copy of the tree with `cp -a` and `sync`. The kernel has the files in memory before.

What it leaves out: reading from a cold disk, trees of other shape (few large files go faster), more than this machine's
cores. The yardstick writes nothing, so a ratio above 1 is in spite of that.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import zlib
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.timing import print_circumstances, print_table, take_turns
from benchmarks.trees import ReferenceTree, copied_site_packages
from outcrop.cvmfs.metainfo import Metainfo
from outcrop.cvmfs.names import repository_name
from outcrop.cvmfs.paths import repository_path
from outcrop.stratum0.create import create_repository, plan_creation
from outcrop.stratum0.publishing.incoming_directory import DirectoryTree
from outcrop.stratum0.publishing.ingest import IngestRequest, ingest
from outcrop.stratum0.repository import OwnedRepository
from outcrop.stratum0.settings import RepositorySettings
from outcrop.stratum0.signing.keys import KeyFiles, create_missing_keys

TREE_BYTES = 40_000_000
ROUNDS = 5
NAME = repository_name("bench.example.org")


def main() -> None:
    """Prints the table."""
    print_circumstances()
    with tempfile.TemporaryDirectory(prefix="outcrop-bench-") as scratch:
        place = Path(scratch)
        tree = copied_site_packages(place / "tree", TREE_BYTES)
        print(f"tree: {tree}; {ROUNDS} rounds in turns")
        keys = place / "keys"
        create_missing_keys(KeyFiles(keys, NAME), datetime.now(UTC))
        bench = _Publishing(place, tree, keys)
        timings = take_turns(
            {
                "read + zlib-6 + SHA-1, one thread": bench.yardstick,
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

    def yardstick(self) -> None:
        for directory, _names, files in os.walk(self._tree.directory):
            for name in files:
                path = os.path.join(directory, name)
                if not os.path.islink(path):
                    hashlib.sha1(zlib.compress(Path(path).read_bytes(), 6), usedforsecurity=False).digest()

    def copy(self) -> None:
        destination = self._place / "copy"
        subprocess.run(["cp", "-a", str(self._tree.directory), str(destination)], check=True)
        os.sync()
        shutil.rmtree(destination)

    def first(self, compressor: str) -> None:
        if self._repository is not None:
            shutil.rmtree(self._repository.settings.storage)
        self._number += 1
        data = self._place / f"data{self._number}"
        shutil.copytree(self._keys, data)
        settings = RepositorySettings(
            name=NAME, storage=str(self._place / f"s{self._number}" / NAME), compressor=compressor
        )
        self._repository = create_repository(plan_creation(data, settings, Metainfo()), datetime.now(UTC))
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
        request = IngestRequest(trees=(DirectoryTree(directory),), at=repository_path(at))
        return ingest(self._repository, request, now=datetime.now(UTC)).summary.added
