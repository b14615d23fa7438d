"""How fast a repository is checked in full, against one thread that inflates and digests every object.

Method: a copy of this environment's packages, up to 120 MB, published into a repository in a directory. Each round, in
turns: two yardsticks over all files below `data/`, one thread, read + SHA-1 + inflate, with Python's zlib (which the
target of 60 % is stated for) and with libdeflate (which the check uses for objects of usual size); the full check; the
full check with one worker; the fast check. The kernel has the files in memory before.

What it leaves out: cold disks, S3, repositories of millions of objects. The yardsticks know no catalogs: they neither
list nor compare anything. The check reads every catalog besides, and that part runs on one core.
"""

from __future__ import annotations

import hashlib
import tempfile
import zlib
from datetime import UTC, datetime
from pathlib import Path

import deflate

from benchmarks.repositories import NAME, created, published
from benchmarks.timing import print_circumstances, print_table, take_turns
from benchmarks.trees import copied_site_packages
from outcrop.stratum0.check.owned import trusted_by
from outcrop.stratum0.check.report import Depth
from outcrop.stratum0.check.repository import CheckRequest, check_repository
from outcrop.stratum0.repository import OwnedRepository

TREE_BYTES = 120_000_000
ROUNDS = 5


def main() -> None:
    """Prints the table."""
    print_circumstances()
    with tempfile.TemporaryDirectory(prefix="outcrop-bench-") as scratch:
        place = Path(scratch)
        tree = copied_site_packages(place / "tree", TREE_BYTES)
        repository = created(place / "data", place / "storage")
        published(repository, tree.directory)
        bench = _Checking(repository, place / "storage" / NAME / "data")
        print(
            f"tree: {tree}; {bench.objects:,} objects, {bench.bytes / 1e6:,.0f} MB inflated; {ROUNDS} rounds in turns"
        )
        timings = take_turns(
            {
                "zlib + SHA-1, one thread": bench.zlib_yardstick,
                "libdeflate + SHA-1, one thread": bench.libdeflate_yardstick,
                "check --full": lambda: bench.check(Depth.CONTENT),
                "check --full, one worker": lambda: bench.check(Depth.CONTENT, workers=1),
                "check": lambda: bench.check(Depth.EXISTENCE),
            },
            ROUNDS,
        )
        print_table(timings, bench.bytes / 1e6, "MB", "zlib + SHA-1, one thread")
        print_table(timings, bench.bytes / 1e6, "MB", "libdeflate + SHA-1, one thread")


class _Checking:
    def __init__(self, repository: OwnedRepository, data: Path) -> None:
        self._repository = repository
        self._sizes = {path: len(zlib.decompress(path.read_bytes())) for path in sorted(data.glob("??/*"))}
        self.objects, self.bytes = len(self._sizes), sum(self._sizes.values())

    def zlib_yardstick(self) -> None:
        for path, size in self._sizes.items():
            assert len(zlib.decompress(_digested(path))) == size

    def libdeflate_yardstick(self) -> None:
        for path, size in self._sizes.items():
            assert len(deflate.zlib_decompress(_digested(path), size or 1)) == size

    def check(self, depth: Depth, workers: int = 0) -> None:
        trusted = trusted_by(self._repository, datetime.now(UTC))
        report = check_repository(self._repository.store, trusted, CheckRequest(depth, workers=workers))
        assert report.problems == (), report.problems
        assert report.objects


def _digested(path: Path) -> bytes:
    stored = path.read_bytes()
    hashlib.sha1(stored, usedforsecurity=False).digest()
    return stored
