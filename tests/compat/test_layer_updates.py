"""A security update of one library: plan, test repository, promotion by digest, rollback; and what is not let through.

The layer has a library and its user, from an archive made here, so nothing but the archive's server is on the way.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests.compat.debian.archive_made_here import MadeKey
from tests.compat.layer_publisher import (
    BROKEN,
    FAMILY,
    LATER_USER,
    MENDED,
    OLD,
    PLACE,
    PRODUCTION,
    TESTS,
    Publisher,
    archive,
    library,
    user,
    write_stack,
)
from tests.faulty_server import Site, serving

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed"),
    pytest.mark.skipif(shutil.which("gpgv") is None, reason="gpgv is not installed"),
    pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed"),
]


@pytest.fixture
def publisher(tmp_path: Path, archive_key: MadeKey) -> Publisher:
    """A machine with both repositories, empty, and a stack."""
    made = Publisher(tmp_path, archive_key)
    write_stack(tmp_path / "stack")
    for name in (PRODUCTION, TESTS):
        made("repo", "create", name, "--storage", str(tmp_path / "storage" / name))
    return made


def published(publisher: Publisher, url: str, *words: str) -> str:
    """The layer that `url` has now, in both repositories; its digest."""
    layer = publisher.build(url, *words)
    digest = publisher("compat", "publish", "--for-tests", str(layer), TESTS).stdout.strip()
    publisher("compat", "promote", TESTS, PRODUCTION, digest)
    return digest


@pytest.fixture
def archives(publisher: Publisher) -> Iterator[dict[str, str]]:
    """Archives with the library as it was, as it is mended, and as it is broken, by their addresses."""
    place = publisher.place
    old = library(place, OLD)
    program = user(place)
    versions: Mapping[str, Sequence[bytes | str]] = {
        "old": (old, "1.0-1"),
        "mended": (library(place, MENDED), "1.0-1+deb12u1"),
        "broken": (library(place, BROKEN), "1.0-1+deb12u2"),
    }
    urls = {}
    running = []
    try:
        for name, (data, version) in versions.items():
            assert isinstance(data, bytes)
            server = serving(Site(archive(publisher.key, data, program, str(version)).files))
            urls[name] = server.__enter__()
            running.append(server)
        yield urls
    finally:
        for server in running:
            server.__exit__(None, None, None)


def test_a_library_goes_from_its_plan_to_tests_to_users_and_back(
    publisher: Publisher, archives: dict[str, str]
) -> None:
    before = published(publisher, archives["old"])
    layer = publisher.place / "tree" / PLACE
    old_library = publisher.shown(PRODUCTION)

    # A lock that changes the library and nothing else, and the layer that it makes.
    told = publisher.update(archives["mended"], layer).stdout
    assert "libthing1" in told
    assert "thing-user" not in told
    layer = publisher.build(archives["mended"], "--lock", "new.json", "--author", "Ada", "-m", "the library is mended")
    (log,) = layer.glob("reprod/*/changelog.txt")
    assert "\nby Ada\n\n    the library is mended\n\nSince the layer of " in log.read_text()
    assert "  changed  libthing1 1.0-1 -> 1.0-1+deb12u1\n" in log.read_text()
    steps = (log.parent / "build.log").read_text()
    assert "not done, of the scripts of thing-user: adduser --system thing\n" in steps
    assert "ldconfig" not in steps
    answer = publisher.json("compat", "publish", "--for-tests", str(layer), TESTS)
    digest = str(answer["digest"])
    assert answer["before"] == before
    assert answer["packages"] == [{"name": "libthing1", "source": "thing", "before": "1.0-1", "after": "1.0-1+deb12u1"}]
    assert (answer["libraries"], answer["breaks"]) == (["libthing.so.1"], [])
    assert publisher.shown(PRODUCTION) == old_library

    # What was tested is what users get, to the byte; the log says what it is.
    would = publisher("compat", "promote", TESTS, PRODUCTION, digest[:12], "--dry-run").stderr
    assert "would become" in would
    publisher("compat", "promote", TESTS, PRODUCTION, digest[:12], "--author", "ada")
    assert publisher.shown(PRODUCTION) == publisher.shown(TESTS) != old_library
    history = publisher("repo", "log", PRODUCTION).stdout
    assert "thing 1.0-1 -> 1.0-1+deb12u1" in history
    assert "ada" in history

    # And back, while something else that was published in between stays.
    (publisher.place / "more").mkdir()
    (publisher.place / "more" / "news").write_text("news\n")
    publisher("repo", "ingest", PRODUCTION, str(publisher.place / "more"), "--at", "/more")
    assert publisher("compat", "rollback", PRODUCTION, "2026.06").stdout.strip() == before
    assert publisher.shown(PRODUCTION) == old_library
    assert publisher.shown(PRODUCTION, "more/news") == b"news\n"

    # A rollback can be rolled back.
    assert publisher("compat", "rollback", PRODUCTION, "2026.06").stdout.strip() == digest
    assert publisher("compat", "rollback", PRODUCTION, "2026.06", "--to", before[:16]).stdout.strip() == before


def test_a_library_that_loses_what_others_need_stays_out(publisher: Publisher, archives: dict[str, str]) -> None:
    published(publisher, archives["old"])
    old = publisher.place / "old"
    shutil.copytree(publisher.place / "tree" / PLACE, old, symlinks=True)
    publisher.update(archives["broken"], old)
    layer = publisher.build(archives["broken"], "--lock", "new.json")
    refused = publisher("compat", "publish", "--for-tests", str(layer), TESTS, code=1).stderr
    assert "does not give usr/bin/thing-user what it needs: answer is not given any more" in " ".join(refused.split())
    report = publisher("compat", "abi", str(old), str(layer), code=1)
    assert "usr/bin/thing-user" in report.stdout
    publisher("compat", "publish", "--for-tests", "--allow-breaks", str(layer), TESTS)


def test_what_was_built_on_top_counts_too(publisher: Publisher, archives: dict[str, str]) -> None:
    published(publisher, archives["mended"])
    software = publisher.place / "software"
    software.mkdir()
    library(publisher.place, MENDED)
    (software / "later").write_bytes(user(publisher.place, LATER_USER))
    (software / "later").chmod(0o755)
    publisher("repo", "ingest", PRODUCTION, str(software), "--at", f"/versions/2026.06/software/linux/{FAMILY.name}")
    layer = publisher.build(archives["old"])
    refused = " ".join(publisher("compat", "publish", str(layer), PRODUCTION, code=1).stderr.split())
    assert "more is not given any more" in refused
    assert f"/versions/2026.06/software/linux/{FAMILY.name}/later" in refused
    # The repository for tests has nothing on top, but can be told where that is.
    publisher("compat", "publish", "--for-tests", str(layer), TESTS, "--software", PRODUCTION, code=1)
    publisher("compat", "publish", "--for-tests", str(layer), TESTS)


def test_a_layer_that_is_not_as_it_was_built_is_not_published(publisher: Publisher, archives: dict[str, str]) -> None:
    layer = publisher.build(archives["old"])
    (layer / "usr/bin/more").write_text("#!/bin/sh\n")
    told = publisher("compat", "publish", str(layer), PRODUCTION, code=5).stderr
    assert "usr/bin/more" in told
    (layer / "usr/bin/more").unlink()
    (layer / "usr/bin/thing-user").chmod(0o644)
    told = publisher("compat", "publish", str(layer), PRODUCTION, code=5).stderr
    assert "has the digest" in told


def test_what_is_named_wrongly_is_told(publisher: Publisher, archives: dict[str, str]) -> None:
    digest = published(publisher, archives["old"])
    assert "does not work in" in publisher("compat", "publish", f"tree/{PLACE}", TESTS, code=1).stderr
    wrong = publisher("compat", "promote", TESTS, PRODUCTION, "0" * 12, code=1).stderr
    assert digest[:16] in wrong
    assert "too short" in publisher("compat", "promote", TESTS, PRODUCTION, digest[:4], code=1).stderr
    assert "an earlier layer" in publisher("compat", "rollback", PRODUCTION, "2026.06", code=1).stderr
    assert "an earlier layer" in publisher("compat", "rollback", PRODUCTION, "2025.06", code=1).stderr
