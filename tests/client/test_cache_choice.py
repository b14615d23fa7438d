"""Which caches are used, and which limit holds for them."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import pytest

from outcrop.client import cache_choice
from outcrop.client.cache import Cache
from outcrop.client.cache_choice import CacheChoice, CacheSettings
from outcrop.client.contents import Contents
from outcrop.client.tree import Tree
from outcrop.cvmfs.catalog import CatalogReference
from outcrop.cvmfs.compression import inflate
from outcrop.cvmfs.names import repository_name
from outcrop.cvmfs.objects import ObjectKind, ObjectName
from outcrop.cvmfs.paths import ROOT
from outcrop.errors import FormatError, InvalidValue, StorageError
from outcrop.storage.directory import DirectoryStore
from tests.client.cache.objects import SMALL, content_of, insert
from tests.cvmfs.samples import NAMES, Sample, sample


@pytest.fixture
def told() -> list[str]:
    return []


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


def test_cache_that_is_filled_for_later_has_no_private_stand_in(tmp_path: Path, told: list[str]) -> None:
    (tmp_path / "home").touch()
    with pytest.raises(StorageError, match=str(tmp_path)):
        CacheChoice(tmp_path / "home", None, told.append).open_as_it_is()
    (cache,) = CacheChoice(tmp_path, None, told.append).open_as_it_is()
    assert cache.root == tmp_path / "objects"
    assert told == []


def test_private_caches_of_one_process_can_be_removed(tmp_path: Path, told: list[str]) -> None:
    (tmp_path / "home").touch()
    choice = CacheChoice(tmp_path / "home", None, told.append)
    (cache,) = choice.open()
    cache_choice.remove_private_caches(os.getpid() + 1)
    assert cache.root.exists()
    cache_choice.remove_private_caches(os.getpid())
    assert not cache.root.exists()


# Which limit holds.


def quota_of(place: Path, explicit: Path | None = None, **environment: str) -> int | None:
    quota = CacheChoice(place, explicit, pytest.fail, CacheSettings.from_environment(environment)).quota
    return quota.limit if quota is not None else None


def test_limit_is_the_references_unless_it_is_stated(tmp_path: Path) -> None:
    assert quota_of(tmp_path) == 4000 * 1024 * 1024
    assert quota_of(tmp_path, OUTCROP_CACHE_LIMIT="20G") == 20 * 1024**3
    assert quota_of(tmp_path, OUTCROP_CACHE_LIMIT="none") is None
    with pytest.raises(InvalidValue, match="OUTCROP_CACHE_LIMIT"):
        quota_of(tmp_path, OUTCROP_CACHE_LIMIT="4X")


def test_cache_of_another_program_has_no_limit_that_nobody_stated(tmp_path: Path) -> None:
    foreign = tmp_path / "alien"
    (foreign / "txn").mkdir(parents=True)
    assert quota_of(tmp_path, foreign) is None
    assert quota_of(tmp_path, foreign, OUTCROP_CACHE_LIMIT="20G") == 20 * 1024**3
    # Using it makes it none of ours.
    Cache.create(foreign, tell=pytest.fail)
    assert quota_of(tmp_path, foreign) is None


def test_cache_that_we_begin_has_the_usual_limit(tmp_path: Path) -> None:
    for _ in range(2):
        assert quota_of(tmp_path, tmp_path / "mine") == 4000 * 1024 * 1024
        Cache.create(tmp_path / "mine", tell=pytest.fail)


# Caches below.


def test_caches_below_are_read_in_their_order_and_never_written(tmp_path: Path, told: list[str]) -> None:
    for name in ("first", "second"):
        Cache.create(tmp_path / name, tell=pytest.fail)
    below = f"{tmp_path}/first:{tmp_path}/second:{tmp_path}/not there"
    settings = CacheSettings.from_environment({"OUTCROP_CACHE_LOWER": below})
    own, *lower = CacheChoice(tmp_path, None, told.append, settings).open()
    assert [cache.root.name for cache in lower] == ["first", "second"]
    assert not own.read_only
    assert all(cache.read_only for cache in lower)
    assert f"the cache {tmp_path}/not there cannot be read" in told[0]


@pytest.mark.parametrize("name", NAMES)
def test_sample_is_read_from_a_cache_that_the_reference_filled(tmp_path: Path, name: str) -> None:
    """Only signed files and what a client reads before it has a cache are on the server."""
    found = sample(name)
    server, preloaded = tmp_path / "server" / name, tmp_path / "preloaded"
    _serve_signed_files(found, server)
    kinds = (ObjectKind.FILE, ObjectKind.CHUNK, ObjectKind.CATALOG)
    for object_name, stored in found.objects:
        if object_name.kind in kinds and stored != EMPTY:
            _put_as_the_reference_does(preloaded, object_name, stored)
    environment = {"OUTCROP_CACHE_LOWER": str(preloaded)}
    caches = CacheChoice(tmp_path, None, pytest.fail, CacheSettings.from_environment(environment)).open()
    contents = Contents([DirectoryStore(server)], caches)
    tree = Tree(contents, CatalogReference(ROOT, found.manifest.root_catalog, 0), repository_name(name))
    read_files = 0
    for located in tree.walk(hidden=True):
        if located.entry.is_file and not located.entry.is_external:
            for piece in tree.pieces(located.path, located.entry):
                os.close(contents.open(piece))
                read_files += 1
    tree.close()
    assert read_files > 0
    assert all(path.stat().st_size == 0 for path in caches[0].root.glob("??/*")), "the reference leaves these out"


EMPTY = zlib.compress(b"")


def _put_as_the_reference_does(cache: Path, name: ObjectName, stored: bytes) -> None:
    """`xx/rest` with the algorithm's tag and without the kind's letter, plain, without attributes, mode 0660."""
    text = name.digest.text
    try:
        plain = inflate(stored, what=str(name))
    except FormatError:
        plain = stored
    path = cache / text[:2] / text[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(plain)
    path.chmod(0o660)


def _serve_signed_files(found: Sample, server: Path) -> None:
    for name, data in found.files.items():
        if not name.startswith("data/"):
            path = server / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
