"""What was stored before is recognised as long as that is certain, and a lost or damaged index costs time only."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.digest import Algorithm, Digest
from outcrop.cvmfs.entry import Chunk
from outcrop.cvmfs.objects import ObjectKind
from outcrop.stratum0.publishing.content_index import (
    SETTLED_NANOSECONDS,
    ContentIndex,
    FileIdentity,
    StoredContent,
    raw_digest,
)

SETTINGS = "as they are"
DIGESTS = [Digest.of(text) for text in (b"one", b"two", b"three")]
CONTENT = StoredContent(3, Compression.ZLIB, DIGESTS[0])
CHUNKED = StoredContent(30, Compression.ZLIB, None, (Chunk(0, 10, DIGESTS[1]), Chunk(10, 20, DIGESTS[2])))
RAW = raw_digest(b"plain")


def identity(inode: int = 1, *, device: int = 1, size: int = 3, mtime: int = 5, ctime: int = 6) -> FileIdentity:
    return FileIdentity(device, inode, size, mtime, ctime)


def opened(path: Path | None, settings: str = SETTINGS) -> ContentIndex:
    return ContentIndex(path, settings, Algorithm.SHA1, Compression.ZLIB)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "contents"


@pytest.fixture
def filled(path: Path) -> Path:
    """An index that knows two files, a content and a change."""
    index = opened(path)
    index.note_files([(identity(1), CONTENT), (identity(2, size=30), CHUNKED)])
    index.note_contents([(RAW, DIGESTS[0].raw)], ObjectKind.FILE)
    index.note_made(b"change", DIGESTS[1])
    index.save()
    index.close()
    return path


def knows(path: Path, settings: str = SETTINGS) -> list[bool]:
    """Whether the index at `path` knows the file, the content and the change of `filled`."""
    index = opened(path, settings)
    try:
        return [
            index.files([identity(1)]) == [CONTENT],
            index.contents([RAW], ObjectKind.FILE) == [DIGESTS[0].raw],
            index.is_made(b"change", DIGESTS[1]),
        ]
    finally:
        index.close()


ALL, NOTHING = [True] * 3, [False] * 3


def test_what_was_saved_is_known_to_the_next(filled: Path) -> None:
    assert knows(filled) == ALL


def test_what_was_not_saved_is_not(path: Path) -> None:
    index = opened(path)
    index.note_files([(identity(), CONTENT)])
    index.note_contents([(RAW, DIGESTS[0].raw)], ObjectKind.FILE)
    index.note_made(b"change", DIGESTS[1])
    assert index.contents([RAW], ObjectKind.FILE) == [DIGESTS[0].raw], "within one publication a content is stored once"
    index.close()
    assert knows(path) == NOTHING


@pytest.mark.parametrize(
    "other",
    [
        identity(2),
        identity(device=2),
        identity(size=4),
        identity(mtime=6),
        identity(ctime=7),
    ],
    ids=["inode", "device", "size", "time", "time of change"],
)
def test_a_file_that_differs_in_anything_is_not_recognised(filled: Path, other: FileIdentity) -> None:
    index = opened(filled)
    assert index.files([other, identity(1), identity(9)]) == [None, CONTENT, None]
    index.close()


def test_a_large_file_is_known_with_its_chunks(filled: Path) -> None:
    index = opened(filled)
    assert index.files([identity(2, size=30)]) == [CHUNKED]
    index.close()


def test_a_content_is_known_by_kind(filled: Path) -> None:
    index = opened(filled)
    assert index.contents([RAW], ObjectKind.CHUNK) == [None]
    assert index.contents([raw_digest(b"other"), RAW, RAW], ObjectKind.FILE) == [None, DIGESTS[0].raw, DIGESTS[0].raw]
    index.close()


def test_a_change_is_made_in_one_revision_only(filled: Path) -> None:
    index = opened(filled)
    assert not index.is_made(b"change", DIGESTS[0])
    assert not index.is_made(b"other", DIGESTS[1])
    index.close()


def test_what_is_newer_counts(filled: Path) -> None:
    index = opened(filled)
    index.note_files([(identity(1, ctime=99), CHUNKED)])
    index.note_made(b"change", DIGESTS[2])
    index.save()
    index.close()
    assert knows(filled) == [False, True, False]


def test_other_settings_begin_anew(filled: Path) -> None:
    assert knows(filled, "another compressor") == NOTHING
    assert knows(filled) == NOTHING


def test_what_was_stored_with_settings_of_before_is_not_saved(filled: Path) -> None:
    """The settings change while a long publication is under way."""
    late = opened(filled)
    late.note_contents([(raw_digest(b"late"), DIGESTS[2].raw)], ObjectKind.FILE)
    assert knows(filled, "another compressor") == NOTHING
    late.save()
    late.close()
    index = opened(filled, "another compressor")
    assert index.contents([raw_digest(b"late")], ObjectKind.FILE) == [None]
    index.close()


def test_forgetting_begins_anew(filled: Path) -> None:
    index = opened(filled)
    index.forget()
    assert index.files([identity(1)]) == [None]
    index.save()
    index.close()
    assert knows(filled) == NOTHING


def test_an_index_in_memory_leaves_nothing() -> None:
    index = opened(None)
    index.note_contents([(RAW, DIGESTS[0].raw)], ObjectKind.FILE)
    index.save()
    assert index.contents([RAW], ObjectKind.FILE) == [DIGESTS[0].raw]
    index.close()


@pytest.mark.parametrize("inode", [2**63 - 1, 2**63, 2**64 - 1])
def test_inodes_have_64_bits(path: Path, inode: int) -> None:
    own = FileIdentity.of(os.stat_result((0o100644, inode, 1, 1, 0, 0, 3, 0, 0, 0)))
    index = opened(path)
    index.note_files([(own, CONTENT)])
    index.save()
    assert index.files([own]) == [CONTENT]
    index.close()


def test_what_just_changed_is_not_settled() -> None:
    now = time.time_ns()
    assert identity(ctime=now - SETTLED_NANOSECONDS - 1).is_settled(now)
    assert not identity(ctime=now - SETTLED_NANOSECONDS).is_settled(now)
    assert not identity(ctime=now + 10**9).is_settled(now), "a clock that went back"


# --- damage


@pytest.mark.parametrize("data", [b"", b"x", b"no database" * 1000, b"SQLite format 3\0" + bytes(5000)])
def test_what_is_no_index_is_begun_anew(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    assert knows(path) == NOTHING
    index = opened(path)
    index.note_files([(identity(1), CONTENT)])
    index.save()
    index.close()
    assert knows(path)[0]


def test_tables_of_another_make_are_begun_anew(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE files (something TEXT)")
    database.commit()
    database.close()
    assert knows(path) == NOTHING


@pytest.mark.fault
@pytest.mark.parametrize("seed", range(40))
def test_damage_anywhere_is_survived_and_believed_nowhere(path: Path, seed: int) -> None:
    """Bytes are overwritten; whatever is still said of a file or content has the digests that were noted."""
    choice = random.Random(seed)
    known = {identity(number, size=30): CHUNKED if number % 2 else CONTENT for number in range(300)}
    index = opened(path)
    index.note_files(
        (one, StoredContent(30, content.compression, content.digest, content.chunks)) for one, content in known.items()
    )
    index.note_contents([(raw_digest(b"%d" % number), DIGESTS[0].raw) for number in range(300)], ObjectKind.FILE)
    index.save()
    index.close()
    data = bytearray(path.read_bytes())
    for _ in range(choice.randrange(1, 8)):
        at = choice.randrange(len(data))
        data[at : at + 50] = choice.randbytes(min(50, len(data) - at))
    path.write_bytes(data)
    index = opened(path)
    for begin in range(0, 300, 100):
        some = list(known)[begin : begin + 100]
        for one, content in zip(some, index.files(some), strict=True):
            if content is not None and content.chunks:
                assert sum(chunk.size for chunk in content.chunks) == one.size
    index.contents([raw_digest(b"%d" % number) for number in range(300)], ObjectKind.FILE)
    index.is_made(b"change", DIGESTS[0])
    index.note_made(b"change", DIGESTS[0])
    index.save()
    index.forget()
    index.close()


@contextmanager
def as_somebody_else() -> Iterator[None]:
    """Root may write everywhere, so the block is run as nobody."""
    own = os.geteuid()
    if own == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(own)


def test_an_index_that_cannot_be_written_is_read(filled: Path) -> None:
    with tempfile.TemporaryDirectory() as place:
        path = Path(shutil.copy(filled, place))
        path.chmod(0o444)
        path.parent.chmod(0o555)
        with as_somebody_else():
            assert knows(path) == ALL
            index = opened(path)
            index.note_made(b"another", DIGESTS[0])
            index.save()
            index.close()
            assert knows(path, "other settings") == NOTHING
            assert knows(path.with_name("none")) == NOTHING
            assert knows(path) == ALL
        path.parent.chmod(0o755)


def test_a_place_that_is_none_is_survived(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert knows(tmp_path / "file" / "contents") == NOTHING
    (tmp_path / "directory").mkdir()
    assert knows(tmp_path / "directory") == NOTHING


# --- two at once


def test_two_publishers_keep_what_both_learned(path: Path) -> None:
    first, second = opened(path), opened(path)
    first.note_files([(identity(1), CONTENT)])
    second.note_files([(identity(2, size=30), CHUNKED)])
    first.save()
    second.save()
    assert first.files([identity(1), identity(2, size=30)]) == [CONTENT, CHUNKED]
    first.close()
    second.close()


def test_processes_that_save_at_the_same_time_lose_nothing(path: Path) -> None:
    program = f"""
import sys
from pathlib import Path
from tests.stratum0.publishing.test_content_index import *
own = int(sys.argv[1])
for number in range(10):
    index = opened(Path({str(path)!r}))
    index.note_files([(identity(own * 1000 + number), CONTENT)])
    index.save()
    index.close()
"""
    root = Path(__file__).resolve().parents[3]
    workers = [subprocess.Popen([sys.executable, "-c", program, str(own)], cwd=root) for own in range(3)]
    assert [worker.wait() for worker in workers] == [0, 0, 0]
    index = opened(path)
    expected = [identity(own * 1000 + number) for own in range(3) for number in range(10)]
    assert index.files(expected) == [CONTENT] * 30
    index.close()
