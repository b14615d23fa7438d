"""How fast a pack of each form is made from an empty cache, against what inflating and digesting alone takes.

Method: 3,000 files of 1 to 16 kB, each its own object, published into a repository in a directory and served on
loopback by nginx where it is installed, else by `outcrop repo serve`'s own server (a process of its own). In turns: the
yardstick (inflate and SHA-1 of every object, one thread, nothing written), a checkout, and a pack of each form whose
programs are installed, always with an empty cache; checkout and two packs besides over a relay that delays every byte
by 7 ms each way.

What it leaves out: real networks, which lose packets and share their bandwidth (the relay is a process of Python, and
takes a share of the processor that distance would not take), Squid, servers that are busy with others; large files,
which are bound by the disk.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.distance import ROUND_TRIP_SECONDS, far_away
from benchmarks.repositories import NAME, created, published
from benchmarks.servers import nginx, nginx_program, own_server
from benchmarks.timing import print_circumstances, print_table, take_turns
from benchmarks.yardsticks import inflate_all
from outcrop.client.address import RepositoryAddress
from outcrop.client.checkout import checkout
from outcrop.client.checkout_plan import plan_checkout
from outcrop.client.pack.formats import form_of
from outcrop.client.pack.image import PackImage
from outcrop.client.pack.packing import PackRequest, pack
from outcrop.client.pack.selection import select_paths
from outcrop.client.repository import ClientSettings, OpenRepository, open_repository
from outcrop.cvmfs.paths import ROOT, RepositoryPath

FILES, FILES_IN_A_DIRECTORY = 3000, 40
ROUNDS = 2
AT = RepositoryPath(b"/cvmfs/bench.example.org")
_PROGRAMS = {"x.squashfs": "sqfstar", "x.erofs": "mkfs.erofs", "x.tar.zst": "zstd"}


def main() -> None:
    """Prints the table."""
    print_circumstances()
    with tempfile.TemporaryDirectory(prefix="outcrop-bench-") as scratch:
        place = Path(scratch)
        _publish(place)
        with _served(place) as url:
            address = urlsplit(url)
            assert address.port is not None
            with far_away(address.port) as far_port:
                print(f"{FILES} files, from {url}; {ROUNDS} rounds in turns")
                _Packing(place, url, f"http://127.0.0.1:{far_port}{address.path}").measure()


def _publish(place: Path) -> None:
    numbers = random.Random(1)
    words = [numbers.randbytes(3).hex().encode() for _ in range(4000)]
    for number in range(FILES):
        path = place / "tree" / f"d{number // FILES_IN_A_DIRECTORY}" / f"f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%d " % number + b" ".join(numbers.choices(words, k=numbers.randrange(140, 2300))))
    published(created(place / "data", place / "storage"), place / "tree")


@contextmanager
def _served(place: Path) -> Iterator[str]:
    if nginx_program() is None:
        with own_server(place / "storage") as url:
            yield url
        return
    place.chmod(0o755)
    with nginx(place, place / "storage") as port:
        yield f"http://127.0.0.1:{port}/{NAME}"


class _Packing:
    def __init__(self, place: Path, url: str, far_url: str) -> None:
        self._place = place
        key = place / "data" / f"{NAME}.pub"
        self._near, self._far = (RepositoryAddress(NAME, (one,), (key,)) for one in (url, far_url))
        self._serial = 0

    def measure(self) -> None:
        objects = list((self._place / "storage" / NAME / "data").glob("??/*"))
        works: dict[str, Callable[[], object]] = {
            "inflate + SHA-1, one thread": lambda: inflate_all(objects),
            "fetch and verify alone": self._fetch,
            "checkout": self._checkout,
        }
        for name in ("x", "x.tar", "x.tar.gz", "x.tar.zst", "x.squashfs", "x.erofs", "x.oci"):
            if shutil.which(_PROGRAMS.get(name, "sh")) is not None:
                works[f"pack {name}"] = lambda name=name: self._pack(name)  # type: ignore[misc]
        far = f"{ROUND_TRIP_SECONDS * 1000:g} ms"
        works[f"checkout, {far}"] = lambda: self._checkout(self._far)
        for name in ("x", "x.tar"):
            works[f"pack {name}, {far}"] = lambda name=name: self._pack(name, self._far)  # type: ignore[misc]
        print_table(take_turns(works, ROUNDS), FILES, "files", "inflate + SHA-1, one thread")

    @contextmanager
    def _opened(self, address: RepositoryAddress | None = None) -> Iterator[OpenRepository]:
        cache = self._place / "cache"
        shutil.rmtree(cache, ignore_errors=True)
        settings = ClientSettings(cache=cache, cache_directory=cache, state_directory=self._place / "state")
        with open_repository(address or self._near, settings) as repository:
            yield repository

    def _fetch(self) -> None:
        with self._opened() as repository:
            tree = repository.tree
            files = [located for located in tree.walk() if located.entry.is_file]
            repository.contents.ensure(piece for one in files for piece in tree.pieces(one.path, one.entry))

    def _checkout(self, address: RepositoryAddress | None = None) -> None:
        with self._opened(address) as repository, self._new("checkout") as output:
            checkout(plan_checkout(repository.tree), repository.tree, repository.contents, output)

    def _pack(self, name: str, address: RepositoryAddress | None = None) -> None:
        with self._opened(address) as repository, self._new(name) as output:
            request = PackRequest(PackImage(select_paths(repository.tree, [ROOT]), AT), form_of(output))
            pack(request, repository.tree, repository.contents, output)

    @contextmanager
    def _new(self, name: str) -> Iterator[Path]:
        self._serial += 1
        directory = self._place / f"out{self._serial}"
        directory.mkdir()
        yield directory / name
        shutil.rmtree(directory)
