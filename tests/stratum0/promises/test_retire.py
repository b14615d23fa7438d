"""Retiring: notices and stubs in a published repository, and a publisher who lets users down is refused."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from outcrop.cvmfs.notices import NOTICES_PATH, Notice, Notices
from outcrop.cvmfs.objects import ObjectKind, ObjectName
from outcrop.cvmfs.paths import RepositoryPath, repository_path
from outcrop.errors import FormatError, IntegrityError, InvalidValue, NotFound
from outcrop.stratum0.promises.policy import policy_path
from outcrop.stratum0.promises.retire import Publication, announce, current_revision, retire_due, withdraw
from outcrop.stratum0.publishing.incoming_directory import DirectoryTree
from outcrop.stratum0.publishing.ingest import IngestOutcome, IngestRequest
from tests.conformance.section16 import check_repository
from tests.stratum0.conftest import NAME, Publisher
from tests.stratum0.reading import content, entries, published_manifest, published_tree

GCC = repository_path("/software/gcc/13")
NEW_GCC = repository_path("/software/gcc/14")
SOON, LATER = date(2026, 11, 24), date(2026, 11, 26)
"""Days on which the whitelist of these repositories is still valid for long."""


@pytest.fixture
def software(publisher: Publisher, tmp_path: Path) -> Publisher:
    """A repository with some software, all of it promised, the old compiler in a catalog of its own."""
    tree = tmp_path / "software"
    for name in ("gcc/13/bin/gcc", "gcc/14/bin/gcc", "gcc/13/.cvmfscatalog", "latest", "python/bin/python"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("" if name.endswith("catalog") else name)
    publisher.publish(IngestRequest((DirectoryTree(tree),), at=repository_path("/software")))
    policy_path(publisher.directory, NAME).write_text('keep = ["/software"]\n')
    return publisher


def how(publisher: Publisher, *, dry_run: bool = False) -> Publication:
    publisher.now += timedelta(minutes=1)
    return Publication(publisher.now, "ada", dry_run)


def until(publisher: Publisher, day: date) -> None:
    publisher.now = datetime(day.year, day.month, day.day, tzinfo=UTC)


def give(publisher: Publisher, path: RepositoryPath, on: date, **more: object) -> IngestOutcome:
    notice = Notice(path, on, since=publisher.now, by="ada", **more)  # type: ignore[arg-type]
    return announce(publisher.repository, notice, how(publisher))


def delete(publisher: Publisher, path: str, **more: object) -> IngestOutcome:
    return publisher.publish(IngestRequest(delete=(repository_path(path),), **more))  # type: ignore[arg-type]


def text(publisher: Publisher, path: bytes) -> str:
    store = publisher.repository.store
    return content(store, published_tree(store), path, entries(store)[path]).decode()


def published(publisher: Publisher) -> Notices:
    return Notices.parse(text(publisher, NOTICES_PATH).encode(), "the published notices")


def paths(publisher: Publisher) -> set[bytes]:
    return set(entries(publisher.repository.store))


def check(publisher: Publisher) -> None:
    moment = publisher.now + timedelta(seconds=1)
    key = publisher.public_key
    assert check_repository(publisher.storage, [key], NAME, now=moment, all_revisions=True) == []


def test_notice_is_published_in_one_revision_that_any_reader_sees(software: Publisher) -> None:
    before = published_manifest(software.repository.store).revision
    outcome = give(software, GCC, SOON, successor=NEW_GCC, message="No more fixes.")
    assert outcome.published
    assert outcome.manifest.revision == before + 1
    (notice,) = published(software)
    assert (notice.path, notice.on, notice.successor, notice.by) == (GCC, SOON, NEW_GCC, "ada")
    assert {str(change.path, "ascii") for change in outcome.summary.changes} == {"/.outcrop", "/.outcrop/notices.json"}
    check(software)


def test_second_notice_is_one_more(software: Publisher) -> None:
    give(software, GCC, SOON)
    give(software, repository_path("/software/latest"), LATER)
    assert [notice.on for notice in published(software)] == [SOON, LATER]


def test_notices_given_at_once_are_all_kept(software: Publisher) -> None:
    notices = [Notice(path, SOON, software.now) for path in (GCC, NEW_GCC, repository_path("/software/latest"))]
    with ThreadPoolExecutor(len(notices)) as pool:
        list(pool.map(lambda one: announce(software.repository, one, Publication(software.now)), notices))
    assert [notice.path for notice in published(software)] == sorted(notice.path for notice in notices)


def test_dry_run_tells_the_plan_and_publishes_nothing(software: Publisher) -> None:
    before = published_manifest(software.repository.store)
    outcome = announce(software.repository, Notice(GCC, SOON, software.now), how(software, dry_run=True))
    assert [change.path for change in outcome.summary.changes] == [b"/.outcrop", NOTICES_PATH]
    assert published_manifest(software.repository.store) == before


def test_refused_notice_publishes_nothing(software: Publisher) -> None:
    before = published_manifest(software.repository.store)
    with pytest.raises(NotFound):
        give(software, repository_path("/software/gcc/12"), SOON)
    assert published_manifest(software.repository.store) == before


def test_until_the_day_removal_is_refused_whatever_the_reason(software: Publisher) -> None:
    give(software, GCC, SOON)
    until(software, date(2026, 11, 23))
    for path in ("/software", "/software/gcc/13", "/software/gcc/13/bin/gcc"):
        with pytest.raises(InvalidValue, match="is there until 2026-11-24"):
            delete(software, path, reason="a licence forbids it")
    assert not retire_due(software.repository, how(software)).published


def test_withdrawn_notice_lets_it_go_for_a_reason(software: Publisher) -> None:
    give(software, GCC, SOON)
    with pytest.raises(InvalidValue, match="without a reason"):
        withdraw(software.repository, GCC, "", how(software))
    withdraw(software.repository, GCC, "a licence forbids it", how(software))
    assert len(published(software)) == 0
    with pytest.raises(InvalidValue, match="breaks what was promised"):
        delete(software, "/software/gcc/13")
    delete(software, "/software/gcc/13", reason="a licence forbids it")
    assert b"/software/gcc/13" not in paths(software)


def test_on_the_day_all_that_is_due_goes_in_one_revision_and_leaves_stubs(software: Publisher) -> None:
    give(software, GCC, SOON, successor=NEW_GCC, message="No more fixes.")
    give(software, repository_path("/software/latest"), SOON)
    give(software, repository_path("/software/python"), LATER)
    until(software, SOON)
    before = published_manifest(software.repository.store).revision
    outcome = retire_due(software.repository, how(software))
    assert outcome.manifest.revision == before + 1
    found = paths(software)
    assert {path for path in found if path.startswith(GCC)} == {GCC, GCC + b"/RETIRED"}
    assert "Use /cvmfs/test.example.org/software/gcc/14 instead." in text(software, GCC + b"/RETIRED")
    assert "was retired on 2026-11-24" in text(software, b"/software/latest")
    assert b"/software/python/bin/python" in found
    assert [notice.done is not None for notice in published(software)] == [True, True, False]
    assert not retire_due(software.repository, how(software)).published
    check(software)


def test_deletion_of_what_is_due_needs_no_reason_and_leaves_the_same(software: Publisher) -> None:
    give(software, GCC, SOON, successor=NEW_GCC)
    until(software, SOON)
    delete(software, "/software/gcc/13")
    assert "Use /cvmfs/test.example.org/software/gcc/14 instead." in text(software, GCC + b"/RETIRED")
    assert [notice.done for notice in published(software)] == [software.now]
    check(software)


def test_deletion_of_what_holds_it_leaves_stubs_too(software: Publisher) -> None:
    give(software, GCC, SOON)
    until(software, SOON)
    with pytest.raises(InvalidValue, match="breaks what was promised"):
        delete(software, "/software/gcc")
    delete(software, "/software/gcc", reason="the other one is broken")
    assert {path for path in paths(software) if path.startswith(b"/software/gcc")} == {
        b"/software/gcc",
        GCC,
        GCC + b"/RETIRED",
    }
    check(software)


def test_what_comes_in_at_the_same_time_gets_no_stub(software: Publisher, tmp_path: Path) -> None:
    give(software, GCC, SOON)
    until(software, SOON)
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "README").write_text("another")
    tree = DirectoryTree(tmp_path / "new")
    software.publish(IngestRequest((tree,), at=GCC, delete=(GCC,)))
    assert {path for path in paths(software) if path.startswith(GCC)} == {GCC, GCC + b"/README"}
    assert [notice.done for notice in published(software)] == [None]


def test_stub_is_as_promised_as_what_it_stands_for(software: Publisher) -> None:
    give(software, GCC, SOON)
    until(software, SOON)
    retire_due(software.repository, how(software))
    with pytest.raises(InvalidValue, match="breaks what was promised"):
        delete(software, "/software/gcc/13")
    delete(software, "/software/gcc/13", reason="nobody reads it any more")


def test_promised_bytes_change_for_a_reason_only(software: Publisher, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "latest").write_text("another")
    request = IngestRequest((DirectoryTree(tmp_path / "new"),), at=repository_path("/software"))
    with pytest.raises(InvalidValue, match=r"/software/latest \(other content\)"):
        software.publish(request)
    assert text(software, b"/software/latest") == "latest"


def test_nobody_else_publishes_into_the_place_of_notices(software: Publisher, tmp_path: Path) -> None:
    give(software, GCC, SOON)
    (tmp_path / "new" / ".outcrop").mkdir(parents=True)
    (tmp_path / "new" / ".outcrop" / "notices.json").write_text("{}")
    with pytest.raises(InvalidValue, match="is kept for the publisher"):
        software.publish(IngestRequest((DirectoryTree(tmp_path / "new"),)))
    with pytest.raises(InvalidValue, match="cannot be removed"):
        delete(software, "/.outcrop", reason="because")


def test_replacing_everything_keeps_the_notices(software: Publisher, tmp_path: Path) -> None:
    give(software, GCC, SOON)
    withdraw(software.repository, GCC, "still needed", how(software))
    (tmp_path / "empty").mkdir()
    root = repository_path("/")
    software.publish(IngestRequest((DirectoryTree(tmp_path / "empty"),), replace=(root,), reason="a new start"))
    assert paths(software) == {b"/.outcrop", NOTICES_PATH}


def test_notices_of_a_repository_with_tiny_chunks_are_read_back(
    new_publisher: Callable[..., Publisher], tmp_path: Path
) -> None:
    publisher = new_publisher(minimum_chunk_size=32, average_chunk_size=64, maximum_chunk_size=128)
    (tmp_path / "data").write_text("x")
    publisher.publish(IngestRequest((DirectoryTree(tmp_path, only=(repository_path("/data"),)),)))
    give(publisher, repository_path("/data"), SOON, message="long " * 40)
    with current_revision(publisher.repository) as current:
        assert [notice.message for notice in current.notices] == ["long " * 40]
    assert entries(publisher.repository.store)[NOTICES_PATH].is_chunked


def test_damaged_notices_are_not_published_over(software: Publisher) -> None:
    give(software, GCC, SOON)
    digest = entries(software.repository.store)[NOTICES_PATH].digest
    assert digest is not None
    place = software.storage / ObjectName(digest, ObjectKind.FILE).path
    place.chmod(0o644)
    place.write_bytes(b"rotten")
    with pytest.raises(IntegrityError):
        delete(software, "/software/gcc/13", reason="because")
    with pytest.raises(IntegrityError), current_revision(software.repository):
        pass


def test_malformed_policy_stops_every_publish(software: Publisher) -> None:
    policy_path(software.directory, NAME).write_text("keep = [")
    with pytest.raises(FormatError, match=r"test\.example\.org\.policy is malformed"):
        delete(software, "/software/latest", reason="because")
