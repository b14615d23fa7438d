"""How fast objects come into the cache: fetched, verified, inflated and named, from nginx on loopback.

Method: files of this environment's packages, up to 40 MB, stored as zlib objects and served by an nginx of its own. In
turns: the yardstick (inflate and SHA-1 of every object, one thread, nothing written); the transfers alone, with bytes
that are thrown away; the same written into a cache; and the last two over a relay that delays every byte by 7 ms each
way. Every round fills a new cache, and compares a sample of it with the files.

What it leaves out: real networks, which lose packets and share their bandwidth. The relay is a process of Python: it
takes a share of the processor that distance would not take. Where a machine has two cores, client, nginx and relay
share them.
"""

from __future__ import annotations

import hashlib
import tempfile
import zlib
from pathlib import Path

import deflate

from benchmarks.distance import ROUND_TRIP_SECONDS, far_away
from benchmarks.servers import nginx, nginx_program
from benchmarks.timing import print_circumstances, print_table, take_turns
from benchmarks.trees import copied_site_packages
from outcrop.client.cache import Cache
from outcrop.client.contents import Contents, Piece
from outcrop.client.network.proxies import DIRECT
from outcrop.client.network.servers import Servers
from outcrop.client.network.settings import NetworkSettings
from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.objects import ObjectKind, ObjectName
from outcrop.storage.http import HttpStore
from outcrop.storage.interface import Wanted

TREE_BYTES = 40_000_000
ROUNDS = 5
NETWORK = NetworkSettings(proxies=((DIRECT,),))
_SAMPLE = 50


def main() -> None:
    """Prints the table."""
    if nginx_program() is None:
        print("nginx is not installed")
        return
    print_circumstances()
    with tempfile.TemporaryDirectory(prefix="outcrop-bench-") as scratch:
        place = Path(scratch)
        place.chmod(0o755)
        tree = copied_site_packages(place / "tree", TREE_BYTES)
        pieces = _store(tree.directory, place / "www")
        stored = sum(path.stat().st_size for path in place.glob("www/data/*/*"))
        print(f"{len(pieces):,} objects, {stored / 1e6:.0f} MB; {ROUNDS} rounds in turns")
        with nginx(place, place / "www") as port, far_away(port) as far_port:
            fetching = _Fetching(place, pieces)
            near, far = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{far_port}"
            milliseconds = f"{ROUND_TRIP_SECONDS * 1000:g} ms"
            timings = take_turns(
                {
                    "inflate + SHA-1, one thread": fetching.inflate_all,
                    "transfers alone": lambda: fetching.transfer(near),
                    "into the cache": lambda: fetching.fetch(near),
                    f"transfers alone, {milliseconds}": lambda: fetching.transfer(far),
                    f"into the cache, {milliseconds}": lambda: fetching.fetch(far),
                },
                ROUNDS,
            )
    print_table(timings, len(pieces), "objects", "into the cache")


def _store(tree: Path, root: Path) -> list[tuple[Piece, Path]]:
    """Stores every file below `tree` as an object below `root`."""
    pieces: dict[Digest, tuple[Piece, Path]] = {}
    for path in sorted(path for path in tree.rglob("*") if path.is_file() and not path.is_symlink()):
        data = path.read_bytes()
        stored = deflate.zlib_compress(data, 6)
        name = ObjectName(Digest.of(stored), ObjectKind.FILE)
        pieces[name.digest] = Piece(0, len(data), name, Compression.ZLIB), path
        (root / name.path).parent.mkdir(parents=True, exist_ok=True)
        (root / name.path).write_bytes(stored)
    return list(pieces.values())


class _Nowhere:
    """A sink that keeps nothing."""

    def write(self, piece: bytes) -> None: ...


class _Fetching:
    def __init__(self, place: Path, pieces: list[tuple[Piece, Path]]) -> None:
        self._place = place
        self._pieces = pieces
        self._serial = 0

    def inflate_all(self) -> None:
        for piece, _ in self._pieces:
            stored = (self._place / "www" / piece.object.path).read_bytes()
            assert hashlib.sha1(stored, usedforsecurity=False).digest() == piece.object.digest.raw
            zlib.decompress(stored)

    def transfer(self, address: str) -> None:
        store = HttpStore(address)
        outcomes = store.fetch(Wanted(piece.object.path, _Nowhere()) for piece, _ in self._pieces)
        assert sum(fetched.error is None for fetched in outcomes) == len(self._pieces)
        store.close()

    def fetch(self, address: str) -> None:
        self._serial += 1
        root = self._place / f"cache{self._serial}"
        contents = Contents(Servers([HttpStore(address)], NETWORK), [Cache.create(root, tell=print)])
        contents.ensure(piece for piece, _ in self._pieces)
        for piece, path in self._pieces[:: max(1, len(self._pieces) // _SAMPLE)]:
            assert contents.local_file(piece).read_bytes() == path.read_bytes()
        contents.close()
