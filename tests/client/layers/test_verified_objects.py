"""Objects of a cache are verified before the kernel may show them, and proofs spare that the next time."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from outcrop.client.cache import Cache
from outcrop.client.cache.checksum import CHECK_ATTRIBUTE
from outcrop.client.cache.layout import BOOKKEEPING
from outcrop.client.contents import Contents, Piece
from outcrop.client.layers.objects import PlainObject
from outcrop.client.layers.proofs import BOOK_NAME, ProofBook
from outcrop.client.layers.verified_objects import USE_SECONDS, Checked, verify_objects
from outcrop.cvmfs.compression import Compression
from tests.client.published import Published
from tests.client.reading import contents_of, store_of

DATA = [b"first", b"second" * 5000, b"third"]


class CountingContents:
    """Contents that remember what they were asked for."""

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self.asked: list[Piece] = []

    def open_cached(self, piece: Piece) -> int | None:
        self.asked.append(piece)
        return self._contents.open_cached(piece)


class Layer:
    """A cache with objects in it, and what says whether they are sound."""

    def __init__(self, root: Path) -> None:
        published = Published()
        self.root = root
        self.objects: Sequence[PlainObject] = [
            PlainObject(digest.raw, digest.algorithm, Compression.ZLIB, len(data), 0)
            for data, digest in ((data, published.add(data)) for data in DATA)
        ]
        self.told: list[str] = []
        self._store = store_of(published)
        self.contents = contents_of(self._store, cache=root, told=self.told)
        self.contents.ensure([one.piece for one in self.objects])

    def path(self, number: int) -> Path:
        return self.root / os.fsdecode(self.objects[number].name)

    def verify(self) -> tuple[Checked, int]:
        """What a new process finds, and how many objects it read."""
        contents = contents_of(self._store, cache=self.root, told=self.told)
        counting = CountingContents(contents)
        checked = verify_objects(self.root, self.objects, counting, ProofBook(self.root), threads=1)
        contents.close()
        return checked, len(counting.asked)


@pytest.fixture
def layer(tmp_path: Path) -> Iterator[Layer]:
    made = Layer(tmp_path / "cache")
    yield made
    made.contents.close()


def has_attributes(path: Path) -> bool:
    try:
        os.setxattr(path, "user.outcrop.test", b"x")
    except OSError:
        return False
    return True


def test_what_was_verified_is_not_read_again(layer: Layer) -> None:
    assert layer.verify() == (Checked(proved=0, checked=3), 3)
    assert layer.verify() == (Checked(proved=3), 0)


def test_a_file_that_was_written_to_is_noticed_whatever_its_times_say(layer: Layer) -> None:
    if not has_attributes(layer.path(0)):
        pytest.skip("this file system keeps no user attributes")
    layer.verify()
    path = layer.path(1)
    before = path.stat()
    path.chmod(0o600)
    path.write_bytes(b"SECOND" * 5000)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    checked, _ = layer.verify()
    assert checked == Checked(proved=2, checked=1, thrown_away=1)
    assert not path.exists()
    assert "damaged file" in layer.told[0]
    assert layer.verify()[0] == Checked(proved=2)


def test_a_file_that_was_cut_short_or_replaced_is_noticed(layer: Layer) -> None:
    layer.verify()
    os.truncate(layer.path(0), 2)
    path = layer.path(2)
    path.unlink()
    path.symlink_to("/etc/hostname")
    checked, _ = layer.verify()
    assert checked == Checked(proved=1, checked=1, thrown_away=1)
    assert not os.path.lexists(path)


def test_a_proved_object_counts_as_used_once_a_day(layer: Layer) -> None:
    layer.verify()
    path = layer.path(0)
    before = path.stat()
    os.utime(path, ns=(10**18, before.st_mtime_ns))
    layer.verify()  # the time of access was set, so it is checked once more
    later = before.st_mtime + 3 * USE_SECONDS
    verify_objects(layer.root, layer.objects, layer.contents, ProofBook(layer.root), clock=lambda: later)
    assert path.stat().st_atime == pytest.approx(later)
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert layer.verify() == (Checked(proved=3), 0)


def test_objects_of_other_revisions_are_left_alone(layer: Layer) -> None:
    assert verify_objects(layer.root, [], layer.contents, ProofBook(layer.root)) == Checked()
    assert layer.path(0).exists()


def test_a_torn_book_holds_what_is_whole(layer: Layer) -> None:
    layer.verify()
    book = layer.root / BOOKKEEPING / os.fsdecode(BOOK_NAME)
    book.write_bytes(book.read_bytes()[:-5])
    assert layer.verify() == (Checked(proved=2, checked=1), 1)
    assert layer.verify() == (Checked(proved=3), 0)


def test_where_no_book_can_be_kept_everything_is_checked_every_time(layer: Layer) -> None:
    (layer.root / BOOKKEEPING / os.fsdecode(BOOK_NAME)).mkdir()
    assert layer.verify() == (Checked(checked=3), 3)
    assert layer.verify() == (Checked(checked=3), 3)


def test_what_nothing_proves_is_not_shown(layer: Layer) -> None:
    layer.verify()
    os.removexattr(layer.path(1), CHECK_ATTRIBUTE)
    layer.path(1).write_bytes(DATA[1].replace(b"e", b"a", 1))
    assert layer.verify() == (Checked(2, 1, 1), 1)
    assert not layer.path(1).exists()


def test_what_a_cache_below_has_does_not_vouch_for_the_one_above(layer: Layer, tmp_path: Path) -> None:
    below = tmp_path / "below"
    shutil.copytree(layer.root, below)
    os.removexattr(layer.path(1), CHECK_ATTRIBUTE)
    layer.path(1).write_bytes(DATA[1].replace(b"e", b"a", 1))
    caches = [Cache.create(layer.root, tell=layer.told.append), Cache(below, tell=pytest.fail, read_only=True)]
    contents = Contents([], caches)
    assert verify_objects(layer.root, layer.objects, contents, ProofBook(layer.root)).thrown_away == 1
    assert not layer.path(1).exists()
