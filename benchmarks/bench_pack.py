"""How fast a pack of each form is made from an empty cache, against what inflating and digesting alone takes.

Method: 3,000 files of 1 to 16 kB, each its own object, published into a repository in a directory and served on
loopback by nginx where it is installed, else by `outcrop repo serve`'s own server (a process of its own). In turns: the
yardstick (inflate and SHA-1 of every object, one thread, nothing written), a checkout, and a pack of each form whose
programs are installed, always with an empty cache.

What it leaves out: networks (loopback has no latency), Squid, servers that are busy with others; large files, which are
bound by the disk.
"""

from __future__ import annotations

import multiprocessing
import random
import shutil
import socket
import subprocess
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha1
from pathlib import Path

from benchmarks.timing import print_circumstances, print_table, take_turns
from outcrop.client.address import RepositoryAddress
from outcrop.client.checkout import checkout
from outcrop.client.checkout_plan import plan_checkout
from outcrop.client.pack.formats import form_of
from outcrop.client.pack.image import PackImage
from outcrop.client.pack.packing import PackRequest, pack
from outcrop.client.pack.selection import select_paths
from outcrop.client.repository import ClientSettings, OpenRepository, open_repository
from outcrop.cvmfs.metainfo import Metainfo
from outcrop.cvmfs.names import repository_name
from outcrop.cvmfs.paths import ROOT, RepositoryPath
from outcrop.stratum0.create import create_repository, plan_creation
from outcrop.stratum0.publishing.incoming_directory import DirectoryTree
from outcrop.stratum0.publishing.ingest import IngestRequest, ingest
from outcrop.stratum0.serve import RepositoryServer
from outcrop.stratum0.settings import RepositorySettings

FILES, FILES_IN_A_DIRECTORY = 3000, 40
ROUNDS = 2
NAME = repository_name("bench.example.org")
AT = RepositoryPath(b"/cvmfs/bench.example.org")
_PROGRAMS = {"x.squashfs": "sqfstar", "x.erofs": "mkfs.erofs", "x.tar.zst": "zstd"}
_NGINX = """
daemon off; master_process off; pid {place}/nginx.pid; error_log {place}/nginx.log;
events {{ worker_connections 512; }}
http {{ access_log off; client_body_temp_path {place}/t1; proxy_temp_path {place}/t2; fastcgi_temp_path {place}/t3;
uwsgi_temp_path {place}/t4; scgi_temp_path {place}/t5; keepalive_requests 1000000;
server {{ listen 127.0.0.1:{port}; root {root}; }} }}
"""


def main() -> None:
    """Prints the table."""
    print_circumstances()
    with tempfile.TemporaryDirectory(prefix="outcrop-bench-") as scratch:
        place = Path(scratch)
        _publish(place)
        with _served(place) as url:
            print(f"{FILES} files, from {url}; {ROUNDS} rounds in turns")
            _Packing(place, url).measure()


def _publish(place: Path) -> None:
    numbers = random.Random(1)
    words = [numbers.randbytes(3).hex().encode() for _ in range(4000)]
    for number in range(FILES):
        path = place / "tree" / f"d{number // FILES_IN_A_DIRECTORY}" / f"f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%d " % number + b" ".join(numbers.choices(words, k=numbers.randrange(140, 2300))))
    settings = RepositorySettings(name=NAME, storage=str(place / "storage" / NAME))
    repository = create_repository(plan_creation(place / "data", settings, Metainfo()), datetime.now(UTC))
    ingest(repository, IngestRequest(trees=(DirectoryTree(place / "tree"),)), now=datetime.now(UTC))


@contextmanager
def _served(place: Path) -> Iterator[str]:
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        with _served_by_us(place) as url:
            yield url
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    configuration = place / "nginx.conf"
    place.chmod(0o755)
    configuration.write_text(_NGINX.format(place=place, port=port, root=place / "storage"))
    with subprocess.Popen([nginx, "-c", configuration, "-e", place / "nginx.log"]) as server:
        time.sleep(0.5)
        try:
            yield f"http://127.0.0.1:{port}/{NAME}"
        finally:
            server.terminate()


@contextmanager
def _served_by_us(place: Path) -> Iterator[str]:
    context = multiprocessing.get_context("fork")
    addresses = context.SimpleQueue()
    server = context.Process(target=_serve, args=(place, addresses), daemon=True)
    server.start()
    try:
        yield str(addresses.get())
    finally:
        server.terminate()
        server.join()


def _serve(place: Path, addresses: multiprocessing.SimpleQueue[str]) -> None:
    with RepositoryServer({NAME: place / "storage" / NAME}) as server:
        addresses.put(f"{server.url}/{NAME}")
        server.serve_forever()


class _Packing:
    def __init__(self, place: Path, url: str) -> None:
        self._place = place
        self._address = RepositoryAddress(NAME, (url,), (place / "data" / f"{NAME}.pub",))
        self._serial = 0

    def measure(self) -> None:
        objects = list((self._place / "storage" / NAME / "data").glob("??/*"))
        works: dict[str, Callable[[], object]] = {
            "inflate + SHA-1, one thread": lambda: _inflate_all(objects),
            "fetch and verify alone": self._fetch,
            "checkout": self._checkout,
        }
        for name in ("x", "x.tar", "x.tar.gz", "x.tar.zst", "x.squashfs", "x.erofs", "x.oci"):
            if shutil.which(_PROGRAMS.get(name, "sh")) is not None:
                works[f"pack {name}"] = lambda name=name: self._pack(name)  # type: ignore[misc]
        print_table(take_turns(works, ROUNDS), FILES, "files", "inflate + SHA-1, one thread")

    @contextmanager
    def _opened(self) -> Iterator[OpenRepository]:
        cache = self._place / "cache"
        shutil.rmtree(cache, ignore_errors=True)
        settings = ClientSettings(cache=cache, cache_directory=cache, state_directory=self._place / "state")
        with open_repository(self._address, settings) as repository:
            yield repository

    def _fetch(self) -> None:
        with self._opened() as repository:
            tree = repository.tree
            files = [located for located in tree.walk() if located.entry.is_file]
            repository.contents.ensure(piece for one in files for piece in tree.pieces(one.path, one.entry))

    def _checkout(self) -> None:
        with self._opened() as repository, self._new("checkout") as output:
            checkout(plan_checkout(repository.tree), repository.tree, repository.contents, output)

    def _pack(self, name: str) -> None:
        with self._opened() as repository, self._new(name) as output:
            request = PackRequest(PackImage(select_paths(repository.tree, [ROOT]), AT), form_of(output))
            pack(request, repository.tree, repository.contents, output)

    @contextmanager
    def _new(self, name: str) -> Iterator[Path]:
        self._serial += 1
        directory = self._place / f"out{self._serial}"
        directory.mkdir()
        yield directory / name
        shutil.rmtree(directory)


def _inflate_all(objects: list[Path]) -> None:
    for path in objects:
        stored = path.read_bytes()
        assert sha1(stored, usedforsecurity=False).hexdigest()[2:] == path.name[:38]
        zlib.decompress(stored)
