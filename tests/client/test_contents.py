"""Every byte is verified, comes from whichever server is honest, and comes once."""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path

import pytest

from outcrop.client.cache import Cache
from outcrop.client.content import Content, ExternalPlace
from outcrop.client.contents import Contents, Piece
from outcrop.client.incoming import Incoming
from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.objects import ObjectKind, ObjectName
from outcrop.errors import FormatError, IntegrityError, MissingCapability, NetworkError, NotFound, StorageError
from outcrop.storage.faulty import FaultyStore
from outcrop.storage.http import HttpStore, TransferLimits
from outcrop.storage.memory import MemoryStore
from tests.client.published import Published
from tests.client.reading import contents_of, store_of
from tests.cvmfs.databases import endless_catalog
from tests.faulty_server import (
    HTML,
    Request,
    Site,
    drip,
    endless,
    html_page,
    serving,
    shortened,
    silence,
    truncated,
    wrong_bytes,
)

DATA = [b"%d" % number * 50 for number in range(30)]


@pytest.fixture
def published() -> Published:
    return Published()


def pieces_of(published: Published, data: list[bytes]) -> list[Piece]:
    return [Piece(0, len(one), ObjectName(published.add(one), ObjectKind.FILE), Compression.ZLIB) for one in data]


def bytes_of(contents: Contents, piece: Piece) -> bytes:
    return contents.local_file(piece).read_bytes()


def test_many_pieces_are_fetched_at_once_and_kept(tmp_path: Path, published: Published) -> None:
    pieces = pieces_of(published, DATA)
    contents = contents_of(store_of(published), cache=tmp_path)
    contents.ensure(pieces)
    offline = contents_of(MemoryStore(), cache=tmp_path)
    assert [bytes_of(offline, piece) for piece in pieces] == DATA


def test_descriptor_shows_the_bytes(tmp_path: Path, published: Published) -> None:
    (piece,) = pieces_of(published, [b"hello"])
    with open(contents_of(store_of(published), cache=tmp_path).open(piece), "rb") as file:
        assert file.read() == b"hello"


def test_progress_counts_plain_bytes(tmp_path: Path, published: Published) -> None:
    class Counting:
        total = 0

        def start(self, task: str, total: int | None = None, unit: str = "files") -> None: ...

        def advance(self, amount: int = 1, detail: str = "") -> None:
            self.total += amount

        def finish(self) -> None: ...

    pieces = pieces_of(published, DATA)
    contents = contents_of(store_of(published), cache=tmp_path)
    for _ in range(2):
        counting = Counting()
        contents.ensure(pieces, counting)
        assert counting.total == sum(len(one) for one in DATA)


def test_object_that_is_nowhere_is_named(tmp_path: Path) -> None:
    piece = Piece(0, 5, ObjectName(Digest.of(b"x"), ObjectKind.FILE), Compression.ZLIB)
    with pytest.raises(NotFound, match=str(piece.object)):
        contents_of(MemoryStore("here"), cache=tmp_path).ensure([piece])


def lying(published: Published) -> FaultyStore:
    return FaultyStore(store_of(published), tamper=lambda _name, data: data[:-1] + b"!")


def test_damaged_object_is_taken_from_the_next_server(tmp_path: Path, published: Published) -> None:
    told: list[str] = []
    pieces = pieces_of(published, DATA)
    honest = store_of(published)
    honest.address = "the honest one"
    contents = contents_of(lying(published), honest, cache=tmp_path, told=told)
    contents.ensure(pieces)
    assert [bytes_of(contents, piece) for piece in pieces] == DATA
    assert contents.server is honest
    assert "the honest one is asked first from now on" in told[0]


def test_server_that_only_lies_ends_in_an_error(tmp_path: Path, published: Published) -> None:
    pieces = pieces_of(published, DATA)
    with pytest.raises(IntegrityError, match="another digest"):
        contents_of(lying(published), cache=tmp_path).ensure(pieces)
    assert not list(tmp_path.glob("??/*"))


def test_good_server_is_remembered(tmp_path: Path, published: Published) -> None:
    pieces = pieces_of(published, DATA[:2])
    asked: list[str] = []

    def dead(_operation: str, name: str) -> NetworkError:
        asked.append(name)
        return NetworkError(what=name, problem="cannot be reached")

    contents = contents_of(FaultyStore(MemoryStore(), dead), store_of(published), cache=tmp_path)
    contents.ensure(pieces[:1])
    contents.ensure(pieces[1:])
    assert len(asked) == 1


STORED_LIES = {
    "html page": html_page,
    "other bytes": wrong_bytes(b"other"),
    "cut short": shortened(b"x" * 100),
    "truncated": truncated(b"x" * 100),
    "endless": endless,
    "a byte now and then": drip,
    "silence": silence,
}


@pytest.mark.parametrize("lie", STORED_LIES.values(), ids=STORED_LIES)
def test_whatever_one_server_does_the_bytes_come_from_another(
    tmp_path: Path, published: Published, lie: object
) -> None:
    pieces = pieces_of(published, DATA[:3])
    bad = Site(published.files)
    bad.faults = {pieces[1].object.path: lie}  # type: ignore[dict-item]
    limits = TransferLimits(connect=1, stall=1, retry_pause=0.01)
    with serving(bad) as first, serving(Site(published.files)) as second:
        contents = contents_of(HttpStore(first, limits), HttpStore(second, limits), cache=tmp_path)
        contents.ensure(pieces)
        assert [bytes_of(contents, piece) for piece in pieces] == DATA[:3]
        contents.close()


def test_html_page_instead_of_an_object_is_damage(tmp_path: Path, published: Published) -> None:
    site = Site(every=html_page)
    with serving(site) as url, pytest.raises(IntegrityError, match=f"the {len(HTML)} bytes that came"):
        contents_of(HttpStore(url), cache=tmp_path).ensure(pieces_of(published, [b"x" * 1000]))


def test_object_is_downloaded_once_however_many_threads_ask(tmp_path: Path, published: Published) -> None:
    pieces = pieces_of(published, DATA)
    site = Site(published.files, delay=0.02)
    with serving(site) as url:
        contents = contents_of(HttpStore(url), cache=tmp_path)
        threads = [threading.Thread(target=contents.ensure, args=(pieces,)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        contents.close()
    assert sorted(site.requests) == sorted(piece.object.path for piece in pieces)


def test_thread_waits_for_its_object_and_not_for_all_that_come_with_it(tmp_path: Path, published: Published) -> None:
    pieces = pieces_of(published, DATA)
    site = Site(published.files)
    slow = threading.Event()

    def answer_late(request: Request) -> None:
        slow.wait(20)
        request.answer(b"")

    site.faults[pieces[-1].object.path] = answer_late
    with serving(site) as url:
        contents = contents_of(HttpStore(url), store_of(published), cache=tmp_path)
        batch = threading.Thread(target=contents.ensure, args=(pieces,))
        batch.start()
        while not site.busy:
            time.sleep(0.001)
        for piece, data in zip(pieces[:-1], DATA, strict=False):
            assert bytes_of(contents, piece) == data
        assert batch.is_alive()
        slow.set()
        batch.join()
        contents.close()


def test_thread_that_waits_for_a_failing_download_tries_itself(tmp_path: Path, published: Published) -> None:
    pieces = pieces_of(published, [b"x"])
    failures: list[BaseException] = []
    site = Site(delay=0.1)

    def ensure() -> None:
        try:
            contents.ensure(pieces)
        except NotFound as error:
            failures.append(error)

    with serving(site) as url:
        contents = contents_of(HttpStore(url), cache=tmp_path)
        threads = [threading.Thread(target=ensure) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        contents.close()
    assert len(failures) == 3


def test_rotten_file_in_the_cache_is_fetched_again(tmp_path: Path, published: Published) -> None:
    told: list[str] = []
    (piece,) = pieces_of(published, [b"precious"])
    path = contents_of(store_of(published), cache=tmp_path).local_file(piece)
    path.write_bytes(b"prec1ous")
    contents = contents_of(store_of(published), cache=tmp_path, told=told)
    assert bytes_of(contents, piece) == b"precious"
    assert "a damaged file in the cache was thrown away" in told[0]


class FullCache(Cache):
    """A cache on a disk without room."""

    def open_temporary(self) -> tuple[int, bytes]:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.root))

    def incoming(self, content: Content) -> Incoming:
        return Incoming(content, self)


def full_contents(published: Published, tmp_path: Path, spare: Cache | None) -> Contents:
    full = FullCache.create(tmp_path / "full", tell=print)
    return Contents([store_of(published)], [full], spare_cache=lambda _error: spare)


@pytest.mark.fault
def test_full_disk_gives_way_to_a_spare_cache(tmp_path: Path, published: Published) -> None:
    pieces = pieces_of(published, DATA)
    contents = full_contents(published, tmp_path, Cache.create(tmp_path / "spare", tell=print))
    contents.ensure(pieces)
    assert [bytes_of(contents, piece) for piece in pieces] == DATA


@pytest.mark.fault
def test_full_disk_without_a_spare_cache_says_so(tmp_path: Path, published: Published) -> None:
    pieces = pieces_of(published, DATA)
    with pytest.raises(StorageError, match="the disk is full"):
        full_contents(published, tmp_path, None).ensure(pieces)


# External files.


def external_piece(data: bytes, path: bytes, offset: int = 0, kind: ObjectKind = ObjectKind.FILE) -> Piece:
    name = ObjectName(Digest.of(data), kind)
    return Piece(offset, len(data), name, Compression.NONE, ExternalPlace(path, offset))


def external_contents(url: str, cache: Path) -> Contents:
    return Contents([MemoryStore()], [Cache.create(cache, tell=print)], external=[HttpStore(url)])


def test_external_files_come_from_their_own_server_by_path(tmp_path: Path) -> None:
    with serving(Site({"data/über file": b"far away"})) as url:
        contents = external_contents(url, tmp_path)
        assert bytes_of(contents, external_piece(b"far away", "/data/über file".encode())) == b"far away"
        contents.close()


def test_chunks_of_an_external_file_come_in_one_transfer(tmp_path: Path) -> None:
    data = bytes(range(256)) * 40
    site = Site({"big": data})
    chunks = [
        external_piece(data[begin : begin + 1000], b"/big", begin, ObjectKind.CHUNK)
        for begin in range(0, len(data), 1000)
    ]
    with serving(site) as url:
        contents = external_contents(url, tmp_path)
        contents.ensure([chunks[3], chunks[5]])
        contents.ensure(chunks)
        assert b"".join(bytes_of(contents, chunk) for chunk in chunks) == data
        contents.close()
    assert site.requests == ["big", "big"]


def test_external_file_that_ends_too_early_is_damaged(tmp_path: Path) -> None:
    chunks = [
        external_piece(b"abc", b"/big", 0, ObjectKind.CHUNK),
        external_piece(b"def", b"/big", 3, ObjectKind.CHUNK),
    ]
    with serving(Site({"big": b"abcde"})) as url:
        contents = external_contents(url, tmp_path)
        with pytest.raises(IntegrityError, match="ends too early"):
            contents.ensure(chunks)
        contents.close()


def test_external_files_need_a_server(tmp_path: Path) -> None:
    with pytest.raises(MissingCapability, match="the external file /big") as caught:
        contents_of(MemoryStore(), cache=tmp_path).ensure([external_piece(b"x", b"/big")])
    assert "--external" in caught.value.hint


@pytest.mark.timeout(20)
def test_a_catalog_that_never_ends_is_refused(tmp_path: Path, published: Published) -> None:
    data = endless_catalog()
    digest = published.add(data, ObjectKind.CATALOG)
    contents = contents_of(store_of(published), cache=tmp_path)
    for _ in range(2):
        with pytest.raises(FormatError, match="the database"):
            contents.catalog(digest, len(data), "a catalog")


def test_a_piece_is_opened_without_a_download_only_if_it_is_cached(tmp_path: Path, published: Published) -> None:
    (piece,) = pieces_of(published, [b"data"])
    contents = contents_of(store_of(published), cache=tmp_path)
    assert contents.open_cached(piece) is None
    contents.ensure([piece])
    descriptor = contents.open_cached(piece)
    assert descriptor is not None
    with open(descriptor, "rb") as file:
        assert file.read() == b"data"
