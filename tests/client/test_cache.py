"""What is in the cache is what was asked for, or it is not in the cache."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest

from outcrop.client import cache_choice
from outcrop.client.cache import STALE_SECONDS, Cache
from outcrop.client.cache_choice import CacheChoice
from outcrop.client.content import Content
from outcrop.client.incoming import SMALL_BYTES
from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.digest import Algorithm, Digest
from outcrop.cvmfs.objects import ObjectKind, ObjectName
from outcrop.errors import FormatError, IntegrityError, OutcropError, StorageError

SMALL, LARGE = b"small " * 10, os.urandom(4 * SMALL_BYTES) + b"0" * 5_000_000


def content_of(
    data: bytes,
    compression: Compression = Compression.ZLIB,
    algorithm: Algorithm = Algorithm.SHA1,
    size: int | None = -1,
) -> tuple[Content, bytes]:
    """What asks for an object that holds `data`, and the stored bytes."""
    stored = zlib.compress(data) if compression is Compression.ZLIB else data
    name = ObjectName(Digest.of(stored, algorithm), ObjectKind.FILE)
    return Content(name, compression, len(data) if size == -1 else size), stored


def insert(cache: Cache, content: Content, stored: bytes, piece: int = 100_000) -> None:
    incoming = cache.incoming(content)
    try:
        for begin in range(0, len(stored), piece):
            incoming.write(stored[begin : begin + piece])
        incoming.finish()
    finally:
        incoming.abandon()


def read(cache: Cache, content: Content) -> bytes | None:
    descriptor = cache.open(content)
    if descriptor is None:
        return None
    with open(descriptor, "rb") as file:
        return file.read()


def leftovers(cache: Cache) -> list[str]:
    return os.listdir(cache.root / "txn")


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def cache(tmp_path: Path, told: list[str]) -> Cache:
    return Cache.create(tmp_path / "objects", tell=told.append)


def again(cache: Cache, told: list[str]) -> Cache:
    """The same directory, as another process sees it."""
    return Cache.create(cache.root, tell=told.append)


@pytest.mark.parametrize("data", [b"", SMALL, LARGE], ids=["empty", "small", "large"])
@pytest.mark.parametrize("compression", list(Compression))
@pytest.mark.parametrize("algorithm", list(Algorithm))
@pytest.mark.parametrize("known", [True, False], ids=["size known", "size unknown"])
def test_what_goes_in_comes_out(
    cache: Cache, data: bytes, compression: Compression, algorithm: Algorithm, known: bool
) -> None:
    content, stored = content_of(data, compression, algorithm, -1 if known else None)
    assert read(cache, content) is None
    insert(cache, content, stored)
    assert read(cache, content) == data
    assert leftovers(cache) == []


def test_layout_is_that_of_the_references_alien_cache(cache: Cache) -> None:
    content, stored = content_of(SMALL, algorithm=Algorithm.RMD160)
    insert(cache, content, stored)
    text = content.object.digest.text
    assert (cache.root / text[:2] / text[2:]).read_bytes() == SMALL
    assert text.endswith("-rmd160")


def test_objects_of_the_reference_are_used_although_nothing_vouches_for_them(cache: Cache) -> None:
    content, _ = content_of(SMALL)
    path = Path(os.fsdecode(cache.path(content)))
    path.parent.mkdir()
    path.write_bytes(SMALL)
    assert read(cache, content) == SMALL


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("compression", list(Compression))
def test_swapped_object_is_refused(cache: Cache, data: bytes, compression: Compression) -> None:
    content, _ = content_of(data, compression)
    _, other = content_of(bytes(reversed(data)), compression)
    with pytest.raises(IntegrityError, match="another digest"):
        insert(cache, content, other)
    assert read(cache, content) is None
    assert leftovers(cache) == []


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
def test_truncated_object_is_refused(cache: Cache, data: bytes) -> None:
    content, stored = content_of(data)
    with pytest.raises(IntegrityError):
        insert(cache, content, stored[:-3])
    assert read(cache, content) is None


def test_rubbish_instead_of_a_large_object_is_refused(cache: Cache) -> None:
    content, _ = content_of(LARGE)
    with pytest.raises(IntegrityError):
        insert(cache, content, b"<html>" * 100_000)
    assert leftovers(cache) == []


def test_object_that_never_ends_is_cut_off(cache: Cache) -> None:
    content, _ = content_of(SMALL)
    incoming = cache.incoming(content)
    incoming.write(b"\0" * 65536)
    with pytest.raises(IntegrityError, match="more than"):
        incoming.write(b"\0" * 65536)
    incoming.abandon()
    assert leftovers(cache) == []


@pytest.mark.parametrize("size", [1000, 5_000_000])
def test_bomb_is_not_inflated(cache: Cache, size: int) -> None:
    bomb = zlib.compress(b"\0" * 300_000_000)
    content = Content(ObjectName(Digest.of(bomb), ObjectKind.FILE), Compression.ZLIB, size)
    with pytest.raises((FormatError, IntegrityError), match="more than"):
        insert(cache, content, bomb)
    assert leftovers(cache) == []


def test_object_of_another_size_than_the_catalog_says_is_refused(cache: Cache) -> None:
    for data in (SMALL, LARGE):
        content, stored = content_of(data, size=len(data) + 1)
        with pytest.raises(OutcropError):
            insert(cache, content, stored)
        assert read(cache, content) is None


def test_rotten_file_is_thrown_away_on_its_first_use(cache: Cache, told: list[str]) -> None:
    content, stored = content_of(SMALL)
    insert(cache, content, stored)
    path = Path(os.fsdecode(cache.path(content)))
    before = path.stat()
    path.write_bytes(SMALL[:-1] + b"!")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    other = again(cache, told)
    assert read(other, content) is None
    assert other.damaged == 1
    assert not path.exists()
    assert "its bytes have changed" in told[0]


def test_file_that_changes_while_we_run_is_noticed(cache: Cache) -> None:
    content, stored = content_of(SMALL)
    insert(cache, content, stored)
    Path(os.fsdecode(cache.path(content))).write_bytes(b"X" * len(SMALL))
    assert not cache.holds(content)


@pytest.mark.parametrize("size", [0, 5, 1000])
def test_file_of_another_size_is_thrown_away(cache: Cache, told: list[str], size: int) -> None:
    content, stored = content_of(SMALL)
    insert(cache, content, stored)
    Path(os.fsdecode(cache.path(content))).write_bytes(b"x" * size)
    assert read(again(cache, told), content) is None
    assert f"it has {size} bytes instead of {len(SMALL)}" in told[0]


def test_one_digest_read_in_two_ways_is_two_contents(cache: Cache, told: list[str]) -> None:
    """An object of another repository, which says that the very same stored bytes are not compressed."""
    content, stored = content_of(b"x" * 100)
    raw = Content(content.object, Compression.NONE, len(stored))
    insert(cache, raw, stored)
    assert read(again(cache, told), Content(content.object, Compression.ZLIB, len(stored))) is None


def test_directory_in_the_place_of_a_file_is_no_object(cache: Cache) -> None:
    content, _ = content_of(SMALL)
    Path(os.fsdecode(cache.path(content))).mkdir(parents=True)
    with pytest.raises(StorageError):
        read(cache, content)


def test_link_in_the_place_of_a_file_is_not_followed(cache: Cache, tmp_path: Path) -> None:
    content, stored = content_of(SMALL)
    path = Path(os.fsdecode(cache.path(content)))
    path.parent.mkdir()
    (tmp_path / "elsewhere").write_bytes(SMALL)
    path.symlink_to(tmp_path / "elsewhere")
    assert read(cache, content) is None
    insert(cache, content, stored)
    assert read(cache, content) == SMALL
    assert not path.is_symlink()


def test_cache_that_is_emptied_under_us_fills_again(cache: Cache) -> None:
    content, stored = content_of(SMALL)
    insert(cache, content, stored)
    path = Path(os.fsdecode(cache.path(content)))
    path.unlink()
    path.parent.rmdir()
    assert not cache.holds(content)
    insert(cache, content, stored)
    assert read(cache, content) == SMALL


def test_leftovers_of_dead_processes_go_after_a_day(tmp_path: Path) -> None:
    transaction = tmp_path / "txn"
    transaction.mkdir()
    for name, age in (("old", STALE_SECONDS + 60), ("young", STALE_SECONDS - 60)):
        (transaction / name).touch()
        os.utime(transaction / name, (time.time() - age,) * 2)
    Cache.create(tmp_path, tell=print)
    assert os.listdir(transaction) == ["young"]


@pytest.mark.fault
def test_kill_in_the_middle_leaves_nothing_under_a_final_name(tmp_path: Path) -> None:
    program = """
import os, signal, sys
from pathlib import Path
from tests.client.test_cache import LARGE, content_of
from outcrop.client.cache import Cache
content, stored = content_of(LARGE)
incoming = Cache.create(Path(sys.argv[1]), tell=print).incoming(content)
incoming.write(stored[:2_000_000])
os.kill(os.getpid(), signal.SIGKILL)
"""
    ended = subprocess.run([sys.executable, "-c", program, tmp_path], check=False)
    assert ended.returncode == -9
    assert len(list((tmp_path / "txn").iterdir())) == 1
    assert list(tmp_path.glob("??/*")) == []


# Which cache is used.


def test_default_cache_is_below_the_cache_directory(tmp_path: Path, told: list[str]) -> None:
    (cache,) = CacheChoice(tmp_path, None, told.append).open()
    assert cache.root == tmp_path / "objects"
    assert told == []


def test_home_that_cannot_be_written_gives_way_to_a_private_cache(tmp_path: Path, told: list[str]) -> None:
    (tmp_path / "home").write_text("a file, so that nothing can be made below it")
    choice = CacheChoice(tmp_path / "home", None, told.append)
    (cache,) = choice.open()
    content, stored = content_of(SMALL)
    insert(cache, content, stored)
    assert "is kept until this ends only" in told[0]
    root = cache.root
    del choice
    assert not root.exists()


def test_cache_that_was_asked_for_must_work(tmp_path: Path, told: list[str]) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=str(tmp_path)):
        CacheChoice(tmp_path, tmp_path / "file" / "cache", told.append).open()


def test_private_caches_of_dead_processes_are_removed(tmp_path: Path, told: list[str]) -> None:
    import tempfile

    dead = Path(tempfile.mkdtemp(prefix=f"{cache_choice._PRIVATE_PREFIX}{os.getuid()}-999999999-"))
    (tmp_path / "home").touch()
    CacheChoice(tmp_path / "home", None, told.append).open()
    assert not dead.exists()
