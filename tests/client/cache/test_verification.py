"""What is damaged is found, whatever there is to prove it by."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import deflate
import pytest

from outcrop.client.cache import Cache
from outcrop.client.cache.checksum import CHECK_ATTRIBUTE
from outcrop.client.cache.checksum_book import ChecksumBook
from outcrop.client.cache.proof import Verdict, examine
from outcrop.client.cache.verification import Verification, Verifier
from outcrop.client.content import Content
from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.digest import Algorithm, Digest
from outcrop.cvmfs.objects import ObjectKind, ObjectName
from tests.client.cache.objects import content_of, insert, read
from tests.client.published import Published

DATA = b"a book about lichens, " * 500


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache.create(tmp_path, tell=pytest.fail)


def path_of(cache: Cache, content: Content) -> Path:
    return Path(os.fsdecode(cache.path(content)))


def put_plainly(cache: Cache, content: Content, data: bytes) -> Path:
    """As another program does: without an attribute."""
    path = path_of(cache, content)
    path.write_bytes(data)
    return path


def verified(cache: Cache, *, repair: bool = False) -> Verification:
    return Verifier(cache.root, repair=repair).run()


def counts(result: Verification) -> tuple[int, int, int, int]:
    return result.sound, result.proven, result.unproven, len(result.damaged)


@pytest.mark.parametrize("algorithm", list(Algorithm))
@pytest.mark.parametrize("compression", list(Compression))
def test_what_came_through_us_is_sound(cache: Cache, algorithm: Algorithm, compression: Compression) -> None:
    insert(cache, *content_of(DATA, compression, algorithm))
    assert counts(verified(cache)) == (1, 0, 0, 0)


@pytest.mark.parametrize("algorithm", list(Algorithm))
@pytest.mark.parametrize("compression", list(Compression))
def test_what_the_reference_stored_is_proven_by_its_digest(
    cache: Cache, algorithm: Algorithm, compression: Compression
) -> None:
    stored = zlib.compress(DATA, 6) if compression is Compression.ZLIB else DATA
    content = Content(ObjectName(Digest.of(stored, algorithm), ObjectKind.FILE), compression, len(DATA))
    path = put_plainly(cache, content, DATA)
    assert counts(verified(cache)) == (0, 1, 0, 0)
    with pytest.raises(OSError, match="No data"):
        os.getxattr(path, CHECK_ATTRIBUTE)
    # Repairing marks it, so that every use is checked from now on.
    verified(cache, repair=True)
    assert counts(verified(cache)) == (1, 0, 0, 0)
    assert read(cache, content) == DATA


def test_what_another_encoder_made_cannot_be_proven(cache: Cache) -> None:
    stored = deflate.zlib_compress(DATA, 12)
    content = Content(ObjectName(Digest.of(stored), ObjectKind.FILE), Compression.ZLIB, len(DATA))
    put_plainly(cache, content, DATA)
    assert counts(verified(cache)) == (0, 0, 1, 0)


def test_catalogs_in_the_cache_tell_the_size_of_what_cannot_be_proven(cache: Cache) -> None:
    published = Published()
    entry = published.file(b"book", DATA)
    assert entry.digest is not None
    root = published.catalog({b"/book": entry})
    catalog = ObjectName(root.digest, ObjectKind.CATALOG)
    insert(cache, Content(catalog, Compression.ZLIB, root.size), published.files[catalog.path])
    book = Content(ObjectName(entry.digest, ObjectKind.FILE), Compression.ZLIB, len(DATA))
    path = put_plainly(cache, book, DATA[:-1])
    result = verified(cache)
    assert counts(result) == (1, 0, 0, 1)
    assert result.damaged[0].problem == f"it has {len(DATA) - 1} bytes instead of {len(DATA)}"
    assert result.damaged[0].path == str(path)


def test_catalog_that_nothing_proves_condemns_nobody(cache: Cache) -> None:
    published = Published()
    entry = published.file(b"book", DATA)
    assert entry.digest is not None
    root = published.catalog({b"/book": entry})
    plain = zlib.decompress(published.files[ObjectName(root.digest, ObjectKind.CATALOG).path])
    put_plainly(cache, content_of(b"another name")[0], plain)
    book = Content(ObjectName(entry.digest, ObjectKind.FILE), Compression.ZLIB, len(DATA))
    put_plainly(cache, book, DATA[:-1])
    assert counts(verified(cache)) == (0, 0, 2, 0)


def test_damage_is_removed_only_on_request(cache: Cache) -> None:
    content, stored = content_of(DATA)
    insert(cache, content, stored)
    path = path_of(cache, content)
    path.write_bytes(DATA[::-1])
    assert counts(verified(cache)) == (0, 0, 0, 1)
    assert path.exists()
    assert counts(verified(cache, repair=True)) == (0, 0, 0, 1)
    assert not path.exists()


def test_files_that_are_no_objects_are_left_alone(cache: Cache) -> None:
    stranger = cache.root / "00" / "README"
    stranger.write_text("not an object")
    assert counts(verified(cache, repair=True)) == (0, 0, 0, 0)
    assert stranger.exists()


def test_interrupted_verification_goes_on_where_it_was(cache: Cache) -> None:
    for number in range(40):
        insert(cache, *content_of(b"%d" % number))

    class Enough(Exception):
        pass

    class Impatient:
        def __init__(self) -> None:
            self.steps = 0

        def start(self, task: str, total: int | None = None, unit: str = "files") -> None: ...

        def advance(self, amount: int = 1, detail: str = "") -> None:
            self.steps += amount
            if self.steps == 100:
                raise Enough

        def finish(self) -> None: ...

    verifier = Verifier(cache.root, repair=False)
    with pytest.raises(Enough):
        verifier.run(progress=Impatient())
    earlier = verifier.earlier()
    assert earlier is not None
    assert earlier.done == 100
    assert 0 < earlier.objects < 40
    result = verifier.run(earlier)
    assert result.is_complete
    assert result.objects == 40
    assert verifier.earlier() is None


def test_record_that_makes_no_sense_is_begun_anew(cache: Cache) -> None:
    (cache.root / ".outcrop" / "verification").write_text('{"done": "many"}')
    assert Verifier(cache.root, repair=False).earlier() is None


def test_file_that_vanishes_is_no_damage(cache: Cache) -> None:
    content, stored = content_of(DATA)
    insert(cache, content, stored)
    with pytest.raises(FileNotFoundError):
        examine(cache.path(content) + b"0", content.object.digest, {}, ChecksumBook(bytes(cache.root)))
    assert (
        examine(cache.path(content), content.object.digest, {}, ChecksumBook(bytes(cache.root))).verdict
        is Verdict.SOUND
    )
