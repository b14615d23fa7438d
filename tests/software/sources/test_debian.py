from __future__ import annotations

import lzma
from pathlib import Path

import pytest

from outcrop.errors import FormatError, NetworkError
from outcrop.software.sources.debian import FRESH_SECONDS, IndexCache, parse_index
from tests.software.sources.pretended import PretendedNetwork

ORIG, DSC, SIGNATURE, OTHER = "a" * 64, "b" * 64, "c" * 64, "d" * 64

INDEX = f"""Package: seqtk
Files:
 {"0" * 32} 2000 seqtk_1.4-2.dsc
Checksums-Sha256:
 {DSC} 2000 seqtk_1.4-2.dsc
 {ORIG} 23748 seqtk_1.4.orig.tar.gz
 {SIGNATURE} 500 seqtk_1.4.orig.tar.gz.asc
Directory: pool/main/s/seqtk

Package: evil
Directory: pool/../../etc
Checksums-Sha256:
 {OTHER} 1 evil_1.orig.tar.gz
"""

MIRROR = "http://mirror.example.org/debian"
URL = f"{MIRROR}/dists/trixie/main/source/Sources.xz"


def network(text: str = INDEX) -> PretendedNetwork:
    return PretendedNetwork({URL: lzma.compress(text.encode())})


def test_only_original_tarballs_inside_the_archive_are_kept() -> None:
    assert list(parse_index(INDEX.splitlines())) == [f"{ORIG} pool/main/s/seqtk/seqtk_1.4.orig.tar.gz"]


def test_a_file_is_found_by_its_digest(tmp_path: Path) -> None:
    index = IndexCache(tmp_path, network()).index(MIRROR, "trixie", now=0.0)
    assert index.find(ORIG) == f"{MIRROR}/pool/main/s/seqtk/seqtk_1.4.orig.tar.gz"
    assert index.find(DSC) is None


def test_a_fresh_copy_is_not_asked_for_again_and_an_old_one_only_if_it_changed(tmp_path: Path) -> None:
    mirror = network()
    cache = IndexCache(tmp_path, mirror)
    cache.index(MIRROR, "trixie", now=0.0)
    cache.index(MIRROR, "trixie", now=FRESH_SECONDS - 1.0)
    assert len(mirror.asked) == 1
    assert cache.index(MIRROR, "trixie", now=FRESH_SECONDS + 1.0).find(ORIG)
    assert len(mirror.asked) == 2
    cache.index(MIRROR, "trixie", now=FRESH_SECONDS + 2.0)
    assert len(mirror.asked) == 2
    mirror.pages[URL] = lzma.compress(INDEX.replace(ORIG, DSC).encode())
    changed = cache.index(MIRROR, "trixie", now=3.0 * FRESH_SECONDS)
    assert changed.find(ORIG) is None
    assert changed.find(DSC) is not None


def test_an_old_copy_serves_while_the_mirror_is_away(tmp_path: Path) -> None:
    IndexCache(tmp_path, network()).index(MIRROR, "trixie", now=0.0)
    away = IndexCache(tmp_path, PretendedNetwork())
    assert away.index(MIRROR, "trixie", now=2.0 * FRESH_SECONDS).find(ORIG)
    with pytest.raises(NetworkError):
        away.index(MIRROR, "bookworm", now=0.0)


def test_a_damaged_copy_is_fetched_again(tmp_path: Path) -> None:
    cache = IndexCache(tmp_path, network())
    cache.index(MIRROR, "trixie", now=0.0)
    for path in tmp_path.glob("*.json"):
        path.write_text("{")
    assert cache.index(MIRROR, "trixie", now=1.0).find(ORIG)


def test_an_index_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="cannot be unpacked"):
        IndexCache(tmp_path, PretendedNetwork({URL: b"<html>hello</html>"})).index(MIRROR, "trixie", now=0.0)
