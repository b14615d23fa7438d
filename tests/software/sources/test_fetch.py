from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from outcrop.errors import NetworkError, StorageError
from outcrop.software.plan import WantedFile
from outcrop.software.sources.debian import IndexCache
from outcrop.software.sources.fetch import FetchOutcome, FetchSettings, fetch_missing, fetch_sources
from outcrop.software.sources.mirror import survey
from outcrop.software.sources.origins import Candidate, DebianSources, Origin, PythonPackages, Tried, Upstream
from outcrop.software.sources.pypi import PackageIndex
from tests.software.sources.pretended import PretendedNetwork, digest_of, wanted
from tests.software.sources.test_debian import MIRROR, network

BODY = b"a source"
HERE, GONE = "https://here.example.org/x.tar.gz", "https://gone.example.org/x.tar.gz"


def fetch(mirror: Path, file: WantedFile, pretended: PretendedNetwork, *origins: Origin) -> FetchOutcome:
    return fetch_missing(survey([file], mirror), mirror, origins or (Upstream(),), pretended)


def test_the_first_address_that_has_the_file_gives_it(tmp_path: Path) -> None:
    outcome = fetch(tmp_path, wanted("x.tar.gz", BODY, GONE, HERE), PretendedNetwork({HERE: BODY}))
    assert [(one.origin, one.url) for one in outcome.fetched] == [("upstream", HERE)]
    assert (tmp_path / "x/x/x.tar.gz").read_bytes() == BODY
    outcome.require_complete()


def test_what_is_there_is_not_asked_for(tmp_path: Path) -> None:
    file = wanted("x.tar.gz", BODY, HERE)
    fetch(tmp_path, file, PretendedNetwork({HERE: BODY}))
    nobody = PretendedNetwork()
    outcome = fetch(tmp_path, file, nobody)
    assert [one.wanted for one in outcome.present] == [file]
    assert nobody.asked == []


def test_debian_gives_what_upstream_does_not(tmp_path: Path) -> None:
    mirror = network()
    index = IndexCache(tmp_path / "cache", mirror)
    pool = f"{MIRROR}/pool/main/s/seqtk/seqtk_1.4.orig.tar.gz"
    mirror.pages[pool] = BODY
    text = f"Directory: pool/main/s/seqtk\nChecksums-Sha256:\n {digest_of(BODY)} 8 seqtk_1.4.orig.tar.gz\n"
    mirror.pages |= network(text).pages
    debian = DebianSources(index, [MIRROR], ["trixie"])
    outcome = fetch(tmp_path / "mirror", wanted("v1.4.tar.gz", BODY, GONE), mirror, Upstream(), debian)
    assert [(one.origin, one.url) for one in outcome.fetched] == [("Debian", pool)]
    assert (tmp_path / "mirror/x/x/v1.4.tar.gz").read_bytes() == BODY


def test_the_package_index_gives_what_upstream_does_not(tmp_path: Path) -> None:
    old = "https://pypi.example.org/packages/source/n/numpy/numpy-1.tar.gz"
    index = "https://index.example.org/simple"
    page = f'<a href="/files/numpy-1.tar.gz#sha256={digest_of(BODY)}">x</a>'.encode()
    pretended = PretendedNetwork({f"{index}/numpy/": page, "https://index.example.org/files/numpy-1.tar.gz": BODY})
    packages = PythonPackages(PackageIndex((index,), pretended))
    outcome = fetch(tmp_path, wanted("numpy-1.tar.gz", BODY, old), pretended, Upstream(), packages)
    assert [one.origin for one in outcome.fetched] == ["PyPI"]


def test_a_failure_tells_all_that_was_tried(tmp_path: Path) -> None:
    mirror = network()
    mirror.pages[HERE] = b"something else"
    debian = DebianSources(IndexCache(tmp_path / "cache", mirror), [MIRROR], ["trixie", "bookworm"])
    outcome = fetch(tmp_path / "mirror", wanted("x.tar.gz", BODY, GONE, HERE), mirror, Upstream(), debian)
    with pytest.raises(NetworkError) as caught:
        outcome.require_complete()
    told = caught.value.message
    assert told.startswith("1 source file cannot be had:\n  x/x/x.tar.gz:")
    assert f"upstream: {GONE} cannot be fetched: 404" in told.replace(":  ", ": ")
    assert "has another SHA-256" in told
    assert "Debian: trixie has no file with this SHA-256" in told
    assert "Debian: no index of bookworm" in told
    assert not (tmp_path / "mirror/x").exists()


def test_an_index_that_cannot_be_had_is_asked_for_once(tmp_path: Path) -> None:
    nobody = PretendedNetwork()
    debian = DebianSources(IndexCache(tmp_path / "cache", nobody), [MIRROR], ["trixie"])
    for name in ("a", "b", "c"):
        assert all(isinstance(one, Tried) for one in debian.candidates(wanted(name, name.encode())))
    assert len(nobody.asked) == 1


def test_a_machine_without_a_package_mirror_says_so(tmp_path: Path) -> None:
    debian = DebianSources(IndexCache(tmp_path, PretendedNetwork()), [], ["trixie"])
    (tried,) = debian.candidates(wanted("x", BODY))
    assert "--debian-mirror" in str(tried)


def test_a_mirror_that_cannot_be_written_ends_the_run(tmp_path: Path) -> None:
    (tmp_path / "mirror").write_text("a file where a directory should be")
    file = wanted("x.tar.gz", BODY, (tmp_path / "x").as_uri())
    (tmp_path / "x").write_bytes(BODY)
    settings = FetchSettings(tmp_path / "cache", {}, (MIRROR,))
    with pytest.raises(StorageError):
        fetch_sources([file], tmp_path / "mirror", settings)


def test_an_interruption_cancels_what_is_under_way(tmp_path: Path) -> None:
    cancelled = threading.Event()

    class Interrupting:
        def candidates(self, wanted: WantedFile) -> Iterator[Candidate | Tried]:
            raise KeyboardInterrupt

    shelved = survey([wanted("x", BODY)], tmp_path)
    with pytest.raises(KeyboardInterrupt):
        fetch_missing(shelved, tmp_path, [Interrupting()], PretendedNetwork(), cancelled=cancelled)
    assert cancelled.is_set()
