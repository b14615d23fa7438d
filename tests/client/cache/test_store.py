"""What is in the cache is what was asked for, or it is not in the cache."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from outcrop.client.cache import STALE_SECONDS, Cache
from outcrop.client.cache.checksum import CHECK_ATTRIBUTE
from outcrop.client.cache.placing import place
from outcrop.client.content import Content
from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.digest import Algorithm, Digest
from outcrop.cvmfs.encoders import ENCODERS
from outcrop.cvmfs.objects import ObjectKind, ObjectName
from outcrop.errors import FormatError, IntegrityError, OutcropError
from tests.client.cache import objects
from tests.client.cache.objects import LARGE, SMALL, content_of, insert, leftovers


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def cache(tmp_path: Path, told: list[str]) -> Cache:
    return Cache.create(tmp_path / "objects", tell=told.append)


Reading = Callable[[Cache, Content], bytes | None]


@pytest.fixture(params=[objects.read, objects.read_at_once], ids=["as a file", "at once"])
def read(request: pytest.FixtureRequest) -> Reading:
    """Both ways to what is in a cache."""
    way: Reading = request.param
    return way


def again(cache: Cache, told: list[str]) -> Cache:
    """The same directory, as another process sees it."""
    return Cache.create(cache.root, tell=told.append)


@pytest.mark.parametrize("data", [b"", SMALL, LARGE], ids=["empty", "small", "large"])
@pytest.mark.parametrize("compression", list(Compression))
@pytest.mark.parametrize("algorithm", list(Algorithm))
@pytest.mark.parametrize("known", [True, False], ids=["size known", "size unknown"])
def test_what_goes_in_comes_out(
    cache: Cache, data: bytes, compression: Compression, algorithm: Algorithm, known: bool, read: Reading
) -> None:
    content, stored = content_of(data, compression, algorithm, -1 if known else None)
    assert read(cache, content) == (None if data or not known else b"")
    insert(cache, content, stored)
    assert read(cache, content) == data
    assert leftovers(cache) == []


def test_layout_is_that_of_the_references_alien_cache(cache: Cache) -> None:
    content, stored = content_of(SMALL, algorithm=Algorithm.RMD160)
    insert(cache, content, stored)
    text = content.object.digest.text
    assert (cache.root / text[:2] / text[2:]).read_bytes() == SMALL
    assert text.endswith("-rmd160")


def test_objects_of_the_reference_are_used_although_nothing_vouches_for_them(cache: Cache, read: Reading) -> None:
    content, _ = content_of(SMALL)
    path = Path(os.fsdecode(cache.path(content)))
    path.write_bytes(SMALL)
    assert read(cache, content) == SMALL


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("compression", list(Compression))
def test_swapped_object_is_refused(cache: Cache, data: bytes, compression: Compression, read: Reading) -> None:
    content, _ = content_of(data, compression)
    _, other = content_of(bytes(reversed(data)), compression)
    with pytest.raises(IntegrityError, match="another digest"):
        insert(cache, content, other)
    assert read(cache, content) is None
    assert leftovers(cache) == []


@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
def test_truncated_object_is_refused(cache: Cache, data: bytes, read: Reading) -> None:
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


def test_object_of_another_size_than_the_catalog_says_is_refused(cache: Cache, read: Reading) -> None:
    for data in (SMALL, LARGE):
        content, stored = content_of(data, size=len(data) + 1)
        with pytest.raises(OutcropError):
            insert(cache, content, stored)
        assert read(cache, content) is None


def test_rotten_file_is_thrown_away_on_its_first_use(cache: Cache, told: list[str], read: Reading) -> None:
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


def test_file_that_changes_while_we_run_and_keeps_its_time_is_noticed(cache: Cache, read: Reading) -> None:
    content, stored = content_of(SMALL)
    insert(cache, content, stored)
    path = Path(os.fsdecode(cache.path(content)))
    before = path.stat()
    assert read(cache, content) == SMALL
    path.write_bytes(b"X" * len(SMALL))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert read(cache, content) is None


@pytest.mark.parametrize("size", [0, 5, 1000])
def test_file_of_another_size_is_thrown_away(cache: Cache, told: list[str], size: int, read: Reading) -> None:
    content, stored = content_of(SMALL)
    insert(cache, content, stored)
    Path(os.fsdecode(cache.path(content))).write_bytes(b"x" * size)
    assert read(again(cache, told), content) is None
    assert f"it has {size} bytes instead of {len(SMALL)}" in told[0]


def test_one_digest_read_in_two_ways_is_two_contents(cache: Cache, told: list[str], read: Reading) -> None:
    """An object of another repository, which says that the very same stored bytes are not compressed."""
    content, stored = content_of(b"x" * 100)
    raw = Content(content.object, Compression.NONE, len(stored))
    insert(cache, raw, stored)
    assert read(again(cache, told), Content(content.object, Compression.ZLIB, len(stored))) is None


def test_directory_in_the_place_of_a_file_is_no_object(cache: Cache, read: Reading) -> None:
    content, stored = content_of(SMALL)
    path = Path(os.fsdecode(cache.path(content)))
    path.mkdir(parents=True)
    (path / "something").touch()
    assert read(cache, content) is None
    insert(cache, content, stored)
    assert read(cache, content) == SMALL
    (aside,) = (cache.root / "quarantaine").iterdir()
    assert (aside / "something").exists()


def test_pipe_in_the_place_of_a_file_holds_nobody_up(cache: Cache, told: list[str], read: Reading) -> None:
    content, stored = content_of(SMALL)
    os.mkfifo(cache.path(content))
    assert read(cache, content) is None
    assert "not a regular file" in told[0]
    insert(cache, content, stored)
    assert read(cache, content) == SMALL


def test_proof_that_cannot_be_noted_is_a_proof(
    cache: Cache, told: list[str], read: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, _ = foreign(TEXT, lambda data: zlib.compress(data, 6))
    path_of(cache, content).write_bytes(TEXT)

    def full(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "setxattr", full)
    assert read(cache, content) == TEXT
    assert told == []


def test_link_in_the_place_of_a_file_is_not_followed(cache: Cache, tmp_path: Path, read: Reading) -> None:
    content, stored = content_of(SMALL)
    path = Path(os.fsdecode(cache.path(content)))
    (tmp_path / "elsewhere").write_bytes(SMALL)
    path.symlink_to(tmp_path / "elsewhere")
    assert read(cache, content) is None
    insert(cache, content, stored)
    assert read(cache, content) == SMALL
    assert not path.is_symlink()


def test_cache_that_is_emptied_under_us_fills_again(cache: Cache, read: Reading) -> None:
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
from tests.client.cache.objects import LARGE, content_of
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


def test_object_without_bytes_needs_no_server(cache: Cache, read: Reading) -> None:
    content, _ = content_of(b"")
    assert cache.holds(content)
    assert read(cache, content) == b""
    assert leftovers(cache) == []


def test_all_directories_are_there_for_a_reference_client_that_looks_for_the_last(cache: Cache) -> None:
    names = {name for name in os.listdir(cache.root) if not name.startswith(".")}
    assert names == {f"{number:02x}" for number in range(256)} | {"txn", "quarantaine"}


def test_modes_follow_the_directory_that_a_site_prepared(tmp_path: Path) -> None:
    tmp_path.chmod(0o2770)
    before = os.umask(0o077)
    try:
        cache = Cache.create(tmp_path, tell=pytest.fail)
        content, stored = content_of(SMALL)
        insert(cache, content, stored)
    finally:
        os.umask(before)
    path = Path(os.fsdecode(cache.path(content)))
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o2770


def test_nobody_outside_the_group_may_write(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    cache = Cache.create(tmp_path, tell=pytest.fail)
    content, stored = content_of(SMALL)
    insert(cache, content, stored)
    path = Path(os.fsdecode(cache.path(content)))
    assert not (path.stat().st_mode | path.parent.stat().st_mode) & stat.S_IWOTH


# Caches that are only read.


def lower_of(cache: Cache, told: list[str]) -> Cache:
    return Cache(cache.root, tell=told.append, read_only=True)


def test_read_only_cache_is_read_and_never_written(cache: Cache, told: list[str], read: Reading) -> None:
    content, stored = content_of(SMALL)
    insert(cache, content, stored)
    path = cache.path(content)
    os.utime(path, (1, 1))
    # What this mount does by itself on a read is not ours to prevent; ours would set the time to this moment.
    before = sorted((entry.path, entry.stat().st_mtime_ns) for entry in os.scandir(cache.root))
    assert read(lower_of(cache, told), content) == SMALL
    assert sorted((entry.path, entry.stat().st_mtime_ns) for entry in os.scandir(cache.root)) == before
    assert not (cache.root / ".outcrop" / "pins").exists()


def test_damage_in_a_read_only_cache_is_passed_over_and_told_once(cache: Cache, told: list[str], read: Reading) -> None:
    content, stored = content_of(SMALL)
    insert(cache, content, stored)
    path = Path(os.fsdecode(cache.path(content)))
    path.write_bytes(b"x" * len(SMALL))
    lower = lower_of(cache, told)
    assert read(lower, content) is None
    assert not lower.holds(content)
    assert path.exists()
    assert len(told) == 1
    assert "passed over" in told[0]


# File systems that lack something.


@pytest.mark.parametrize("number", [errno.EPERM, errno.EXDEV, errno.ENOTSUP, errno.EMLINK])
def test_file_system_without_links_is_renamed_on(tmp_path: Path, number: int) -> None:
    def refuse(_old: bytes, _new: bytes) -> None:
        raise OSError(number, os.strerror(number))

    (tmp_path / "xx").mkdir()
    for expected in (True, False):
        (tmp_path / "new").write_bytes(SMALL)
        final = os.fsencode(tmp_path / "xx" / "object")
        assert place(os.fsencode(tmp_path / "new"), final, len(SMALL), refuse) is expected
        assert os.listdir(tmp_path) == ["xx"]
        assert os.listdir(tmp_path / "xx") == ["object"]


def test_object_that_came_first_stays(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).write_bytes(SMALL)
    final = os.fsencode(tmp_path / "object")
    assert place(os.fsencode(tmp_path / "first"), final, len(SMALL))
    inode = (tmp_path / "object").stat().st_ino
    assert not place(os.fsencode(tmp_path / "second"), final, len(SMALL))
    assert (tmp_path / "object").stat().st_ino == inode
    assert os.listdir(tmp_path) == ["object"]


@pytest.fixture
def no_attributes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What tmpfs did before Linux 6.6, and NFS before 4.2."""

    def refuse(*_arguments: object, **_more: object) -> bytes:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(os, "setxattr", refuse)
    monkeypatch.setattr(os, "getxattr", refuse)


def path_of(cache: Cache, content: Content) -> Path:
    return Path(os.fsdecode(cache.path(content)))


def foreign(data: bytes, encode: Callable[[bytes], bytes | bytearray]) -> tuple[Content, bytes]:
    """What asks for an object that holds `data`, stored as `encode` does it, and the stored bytes."""
    stored = bytes(encode(data))
    return Content(ObjectName(Digest.of(stored), ObjectKind.FILE), Compression.ZLIB, len(data)), stored


ENCODERS_WITH_NAMES = [pytest.param(encode, id=name) for name, encode in ENCODERS.items()]
TEXT = b"lichens on limestone, " * 3000
FLIPPED = TEXT.replace(b"stone", b"stane", 1)


@pytest.mark.usefixtures("no_attributes")
@pytest.mark.parametrize("level", [6, 9], ids=["provable", "not provable"])
def test_file_system_without_attributes_keeps_checksums_in_the_book(
    cache: Cache, told: list[str], read: Reading, level: int
) -> None:
    content, stored = foreign(TEXT, lambda data: zlib.compress(data, level))
    insert(cache, content, stored)
    assert read(again(cache, told), content) == TEXT
    path_of(cache, content).write_bytes(FLIPPED)
    assert read(again(cache, told), content) is None
    assert "its bytes have changed" in told[0]
    assert not path_of(cache, content).exists()


@pytest.mark.parametrize("encode", ENCODERS_WITH_NAMES)
def test_what_another_program_put_there_is_proven_by_its_digest(
    cache: Cache, told: list[str], read: Reading, encode: Callable[[bytes], bytes]
) -> None:
    content, _ = foreign(TEXT, encode)
    path_of(cache, content).write_bytes(TEXT)
    assert read(cache, content) == TEXT
    # From then on it has a checksum, so nothing is compressed again.
    assert os.getxattr(path_of(cache, content), CHECK_ATTRIBUTE)
    assert told == []


@pytest.mark.parametrize("encode", ENCODERS_WITH_NAMES)
def test_what_another_program_put_there_and_rotted_is_fetched_anew(
    cache: Cache, told: list[str], read: Reading, encode: Callable[[bytes], bytes]
) -> None:
    content, stored = foreign(TEXT, encode)
    path_of(cache, content).write_bytes(FLIPPED)
    reader = again(cache, told)
    assert read(reader, content) is None
    assert not reader.holds(content)
    assert len(told) == 1
    assert "nothing proves some files" in told[0]
    insert(reader, content, stored)
    assert read(reader, content) == TEXT
    assert read(again(cache, told), content) == TEXT


def test_what_cannot_be_proven_stays_until_it_is_fetched(cache: Cache, told: list[str], read: Reading) -> None:
    content, stored = foreign(TEXT, lambda data: zlib.compress(data, 9))
    path_of(cache, content).write_bytes(TEXT)
    assert read(cache, content) is None
    assert path_of(cache, content).read_bytes() == TEXT
    insert(cache, content, stored)
    assert read(again(cache, told), content) == TEXT
    assert len(told) == 1


def test_unproven_files_are_told_of_once(cache: Cache, told: list[str], read: Reading) -> None:
    for number in range(3):
        content, _ = foreign(TEXT + bytes([number]), lambda data: zlib.compress(data, 9))
        path_of(cache, content).write_bytes(TEXT + bytes([number]))
        assert read(cache, content) is None
    assert len(told) == 1


def test_what_is_proven_in_a_cache_below_is_noted_above(cache: Cache, tmp_path: Path, read: Reading) -> None:
    content, _ = foreign(TEXT, lambda data: zlib.compress(data, 6))
    path_of(cache, content).write_bytes(TEXT)
    above = Cache.create(tmp_path / "above", tell=pytest.fail)
    told: list[str] = []
    for data, expected in ((TEXT, TEXT), (FLIPPED, None)):
        path_of(cache, content).write_bytes(data)
        below = Cache(cache.root, tell=told.append, read_only=True, noted_in=above.root)
        assert read(below, content) == expected
    assert "its bytes have changed" in told[0]
    with pytest.raises(OSError, match="No data"):
        os.getxattr(path_of(cache, content), CHECK_ATTRIBUTE)


def test_large_foreign_file_is_proven_in_pieces(cache: Cache, read: Reading) -> None:
    data = bytes(40 * 1024 * 1024)
    for content, _ in (content_of(data), content_of(data, Compression.NONE)):
        path_of(cache, content).write_bytes(data)
        assert read(cache, content) == data


@pytest.mark.fault
def test_thousands_of_objects_need_few_descriptors(tmp_path: Path, read: Reading) -> None:
    program = """
import os, resource, sys
from pathlib import Path
from outcrop.client.cache import Cache
from outcrop.client.cache.quota import Quota
from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.objects import ObjectKind
from tests.client.cache.objects import content_of, insert, read
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
before = len(os.listdir("/proc/self/fd"))
cache = Cache.create(Path(sys.argv[1]), tell=sys.exit, quota=Quota(500 * 4096))
for number in range(3000):
    kind = ObjectKind.CATALOG if number % 3 == 0 else ObjectKind.FILE
    content, stored = content_of(b"%d" % number, Compression.NONE, kind=kind)
    insert(cache, content, stored)
    assert read(cache, content) == b"%d" % number
assert len(os.listdir("/proc/self/fd")) == before
"""
    subprocess.run([sys.executable, "-c", program, tmp_path], check=True)
