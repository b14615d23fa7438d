"""The check of repositories that this publishes: clean as they are, and telling when anything at all is broken."""

from __future__ import annotations

import os
import random
import sys
import zlib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.objects import MANIFEST_NAME, REFLOG_NAME, WHITELIST_NAME, ObjectKind, ObjectName
from outcrop.cvmfs.paths import repository_path
from outcrop.errors import FormatError, IntegrityError, NetworkError, StorageError, TrustError
from outcrop.storage.faulty import FaultyStore
from outcrop.storage.http import HttpStore
from outcrop.storage.memory import MemoryStore
from outcrop.stratum0.check.contents import GATHERED_BYTES, Proof
from outcrop.stratum0.check.memory import DirectoryOutcome, FileMemory
from outcrop.stratum0.check.problems import Kind, Problem, Severity
from outcrop.stratum0.check.references import Claim
from outcrop.stratum0.check.report import CheckReport, Depth
from outcrop.stratum0.check.repository import FAST, FULL, CheckRequest, check_repository
from outcrop.stratum0.check.signed import Trusted
from outcrop.stratum0.publishing.door import DoorRules
from outcrop.stratum0.publishing.incoming_directory import DirectoryTree
from outcrop.stratum0.publishing.ingest import IngestRequest
from tests.faulty_server import Site, serving
from tests.stratum0.checking import check_published, told
from tests.stratum0.conftest import NAME, Publisher
from tests.trees import build_every_kind

SMALL_CHUNKS = {"minimum_chunk_size": 4096, "average_chunk_size": 8192, "maximum_chunk_size": 16384}


@pytest.fixture
def published(publisher: Publisher, tmp_path: Path) -> Publisher:
    """A small repository of two revisions with a nested catalog and a chunked file."""
    publish_small(publisher, tmp_path)
    return publisher


def publish_small(publisher: Publisher, place: Path) -> None:
    noise = random.Random(1)
    tree = place / "small"
    (tree / "nested").mkdir(parents=True)
    (tree / "nested" / ".cvmfscatalog").touch()
    for number in range(20):
        (tree / "nested" / f"f{number}").write_bytes(noise.randbytes(100 * number))
    (tree / "README").write_text("small")
    (tree / "large").write_bytes(noise.randbytes(5 * 1024 * 1024))
    publisher.publish(IngestRequest(trees=(DirectoryTree(tree),)))
    (tree / "README").write_text("small, changed")
    publisher.publish(IngestRequest(trees=(DirectoryTree(tree),)))


def objects_of(publisher: Publisher) -> list[Path]:
    return sorted(path for path in (publisher.storage / "data").glob("??/*") if path.is_file())


def name_of(publisher: Publisher, path: Path) -> str:
    return str(path.relative_to(publisher.storage))


@pytest.mark.parametrize("request_", [FAST, FULL], ids=["fast", "full"])
def test_every_kind_of_entry_is_clean(publisher: Publisher, tmp_path: Path, request_: CheckRequest) -> None:
    build_every_kind(tmp_path / "tree")
    everything = DoorRules(allow_privileged=True, allow_devices=True, allow_world_writable=True)
    at = repository_path("/all")
    publisher.publish(IngestRequest(trees=(DirectoryTree(tmp_path / "tree"),), at=at, door=everything))
    publisher.publish(IngestRequest(delete=(repository_path("/all/nested/inner"),)))

    report = check_published(publisher, request_)

    assert report.problems == ()
    assert report.error() is None
    assert report.unreferenced == 0


@pytest.mark.parametrize("hash_", ["sha1", "shake128"])
@pytest.mark.parametrize("compressor", ["libdeflate", "zlib", "none"])
def test_every_algorithm_and_compressor_is_clean(
    new_publisher: Callable[..., Publisher], tmp_path: Path, hash_: str, compressor: str
) -> None:
    publisher = new_publisher(hash=hash_, compressor=compressor, **SMALL_CHUNKS)
    publish_small(publisher, tmp_path)

    assert check_published(publisher, FULL).problems == ()


def test_an_empty_repository_is_clean(publisher: Publisher) -> None:
    report = check_published(publisher)

    assert (report.problems, report.catalogs, report.objects) == ((), 1, 0)


@pytest.mark.parametrize("seed", range(12))
def test_a_flipped_byte_is_found_by_a_full_check(published: Publisher, seed: int) -> None:
    seed = int(os.environ.get("OUTCROP_TEST_SEED", seed))
    sys.stderr.write(f"OUTCROP_TEST_SEED={seed} replays this\n")
    chance = random.Random(seed)
    victim = chance.choice(objects_of(published))
    content = bytearray(victim.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    victim.write_bytes(content)

    report = check_published(published, FULL)

    assert [problem.name for problem in report.of(Severity.DAMAGE)] == [name_of(published, victim)]
    assert isinstance(report.error(), IntegrityError)


def test_each_missing_object_is_found_by_a_fast_check(published: Publisher) -> None:
    only_recorded = 0
    for victim in objects_of(published):
        content = victim.read_bytes()
        victim.unlink()

        report = check_published(published)

        named = [(problem.kind, problem.name) for problem in report.problems]
        if named == [(Kind.REFLOG_DIFFERS, REFLOG_NAME)]:
            only_recorded += 1
        else:
            assert named[0] == (Kind.MISSING, name_of(published, victim)), report.problems
        victim.write_bytes(content)
    assert only_recorded < 5, "the first revision, which no tag names, and histories of before"
    assert check_published(published).problems == ()


def test_a_missing_object_is_told_with_the_file_that_needs_it(published: Publisher) -> None:
    digest = Digest.of(published.repository.store.read(name := _object_of(published, "/README").path))
    (published.storage / name).unlink()

    (problem,) = check_published(published).problems

    assert (problem.path, problem.object) == (b"/README", ObjectName(digest, ObjectKind.FILE))
    assert "outcrop repo repair" in problem.remedy(NAME)


def _object_of(publisher: Publisher, path: str) -> ObjectName:
    from tests.stratum0.reading import published_tree

    entry = published_tree(publisher.repository.store).lookup(repository_path(path))
    assert entry is not None
    assert entry.digest is not None
    return ObjectName(entry.digest, ObjectKind.FILE)


def test_a_truncated_object_and_one_with_the_bytes_of_another_are_found(published: Publisher) -> None:
    first, second = (path for path in objects_of(published) if path.name[-1] in "0123456789abcdef"), []
    second = list(first)
    second[0].write_bytes(second[0].read_bytes()[:-1])
    second[1].write_bytes(second[2].read_bytes())

    report = check_published(published, FULL)

    expected = {name_of(published, path) for path in second[:2]}
    assert {problem.name for problem in report.of(Severity.DAMAGE)} == expected


def test_a_damaged_catalog_does_not_end_the_check(published: Publisher) -> None:
    nested = next(path for path in objects_of(published) if path.name.endswith("C") and _is_nested(path))
    nested.write_bytes(b"nothing")
    lost = published.storage / _object_of_head(published, b"/README")
    lost.unlink()

    report = check_published(published, FULL)

    assert {problem.name for problem in report.of(Severity.DAMAGE)} == {
        name_of(published, nested),
        name_of(published, lost),
    }


def _is_nested(path: Path) -> bool:
    from outcrop.cvmfs.catalog import Catalog

    with Catalog.parse(zlib.decompress(path.read_bytes())) as catalog:
        return bool(catalog.properties.root_prefix)


def _object_of_head(publisher: Publisher, path: bytes) -> str:
    return _object_of(publisher, path.decode()).path


def test_objects_that_nothing_refers_to_are_counted_and_read(published: Publisher) -> None:
    store = published.repository.store
    good, bad = zlib.compress(b"good"), zlib.compress(b"bad")
    store.write(ObjectName(Digest.of(good), ObjectKind.FILE).path, good)
    trap = ObjectName(Digest.of(bad), ObjectKind.FILE).path
    store.write(trap, b"")

    fast, full = check_published(published), check_published(published, FULL)

    assert (fast.problems, fast.unreferenced) == ((), 2)
    assert [(problem.kind, problem.name) for problem in full.problems] == [(Kind.ALTERED_LEFTOVER, trap)]


def test_what_is_no_object_is_a_note(published: Publisher) -> None:
    (published.storage / "data" / "ab" / "note").write_text("x")
    (published.storage / "data" / "stray").write_text("x")
    (published.storage / "data" / "txn" / "left").write_text("x")
    (published.storage / ".outcroptxn" / "ab" / "left").write_text("x")

    report = check_published(published)

    assert report.is_clean
    assert [(problem.kind, problem.name) for problem in report.problems] == [
        (Kind.LEFTOVER, ".outcroptxn"),
        (Kind.STRAY, "data/ab/note"),
        (Kind.STRAY, "data/stray"),
        (Kind.LEFTOVER, "data/txn"),
    ]


@pytest.mark.parametrize("name", [MANIFEST_NAME, WHITELIST_NAME, REFLOG_NAME])
def test_missing_signed_files_are_damage(published: Publisher, name: str) -> None:
    (published.storage / name).unlink()

    assert name in {problem.name for problem in check_published(published).of(Severity.DAMAGE)}


def test_a_whitelist_is_warned_of_before_it_expires_and_refused_after(published: Publisher) -> None:
    published.now += timedelta(days=20)
    soon = check_published(published)
    published.now += timedelta(days=20)
    late = check_published(published)

    assert [problem.kind for problem in soon.problems] == [Kind.EXPIRING]
    assert soon.is_clean
    assert [problem.kind for problem in late.problems] == [Kind.WHITELIST]
    assert isinstance(late.error(), TrustError)


def test_what_a_killed_publish_leaves_is_clean(published: Publisher, tmp_path: Path) -> None:
    manifest = (published.storage / MANIFEST_NAME).read_bytes()
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "file").write_text("more")
    published.publish(IngestRequest(trees=(DirectoryTree(tmp_path / "more"),)))
    (published.storage / MANIFEST_NAME).write_bytes(manifest)

    report = check_published(published, FULL)

    assert report.is_clean
    assert {problem.kind for problem in report.problems} == {Kind.REFLOG_DIFFERS}


def test_without_tags_only_the_current_tree_is_looked_at(published: Publisher) -> None:
    every, head = check_published(published), check_published(published, CheckRequest(tags=False))

    assert (every.revisions, head.revisions) == (2, 1)
    assert head.catalogs < every.catalogs
    assert told(head) == []


def copied(publisher: Publisher) -> MemoryStore:
    store = MemoryStore()
    for path in publisher.storage.rglob("*"):
        if path.is_file():
            store.objects[str(path.relative_to(publisher.storage))] = path.read_bytes()
    return store


def trusted(publisher: Publisher) -> Trusted:
    return Trusted(NAME, publisher.now)


@pytest.mark.parametrize("request_", [FAST, FULL], ids=["fast", "full"])
def test_stores_of_every_kind_are_checked_alike(published: Publisher, request_: CheckRequest) -> None:
    memory = copied(published)
    lost = _object_of_head(published, b"/README")
    del memory.objects[lost]
    with serving(Site(dict(memory.objects))) as url:
        reports = [check_repository(store, trusted(published), request_) for store in (memory, HttpStore(url))]

    assert [[problem.name for problem in report.problems] for report in reports] == [[lost], [lost]]


def test_a_server_that_does_not_answer_is_no_damage(published: Publisher) -> None:
    with serving(Site()) as url:
        pass
    with pytest.raises(NetworkError):
        check_repository(HttpStore(url), trusted(published))


def test_an_object_that_the_disk_does_not_give_is_damage(published: Publisher) -> None:
    victim = _object_of_head(published, b"/README")
    refusal = StorageError(what=victim, problem="cannot be read: the disk reports an error")
    store = FaultyStore(
        copied(published), lambda operation, name: refusal if (operation, name) == ("read", victim) else None
    )

    report = check_repository(store, trusted(published), FULL)

    assert [(problem.kind, problem.name) for problem in report.problems] == [(Kind.UNREADABLE, victim)]


class Killed(Exception):
    """What ends a check in the middle."""


class StoppingMemory(FileMemory):
    """Ends the process, as it were, after some directories."""

    left = 10**6

    def done(self, prefix: str, outcome: DirectoryOutcome) -> None:
        if self.left == 0:
            raise Killed
        self.left -= 1
        super().done(prefix, outcome)


def test_an_interrupted_check_goes_on_where_it_was(published: Publisher, tmp_path: Path) -> None:
    for victim in objects_of(published)[::7]:
        if victim.name[-1] != "C":
            victim.write_bytes(b"altered")
    whole = check_published(published, FULL)
    state = tmp_path / "state" / "check.jsonl"
    reads: list[str] = []
    store = FaultyStore(copied(published), lambda operation, name: reads.append(name) if operation == "read" else None)

    def run(stop_after: int) -> CheckReport:
        memory = StoppingMemory(state)
        memory.left = stop_after
        try:
            return check_repository(store, trusted(published), FULL, memory=memory)
        finally:
            memory.close()

    for _ in range(2):
        with pytest.raises(Killed):
            run(100)
    with state.open("ab") as file:
        file.write(b'{"done": "torn')
    reads.clear()
    report = run(10**6)

    assert report.resumed
    assert report.problems == whole.problems
    assert not state.exists()
    assert not [name for name in reads if name.startswith("data/0") and name[-1] in "0123456789abcdefP"]


def test_a_check_of_something_else_begins_anew(published: Publisher, tmp_path: Path) -> None:
    state = tmp_path / "check.jsonl"
    memory = StoppingMemory(state)
    memory.left = 50
    with pytest.raises(Killed):
        check_published_with(published, memory, FULL)
    memory.close()
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "file").write_text("more")
    published.publish(IngestRequest(trees=(DirectoryTree(tmp_path / "more"),)))

    again = FileMemory(state)
    report = check_published_with(published, again, FULL)
    again.close()

    assert not report.resumed
    assert report.problems == ()


def check_published_with(publisher: Publisher, memory: FileMemory, request: CheckRequest) -> CheckReport:
    return check_repository(publisher.repository.store, trusted(publisher), request, memory=memory)


def proof_of(stored: bytes, size: int | None) -> Problem | None:
    digest = Digest.of(stored)
    proof = Proof(Claim("data/xx/yy", digest.raw, digest.algorithm, size=size))
    for begin in range(0, len(stored), 1 << 20):
        proof.write(stored[begin : begin + (1 << 20)])
    return proof.problem()


@pytest.mark.parametrize("size", [0, 1, 1000, GATHERED_BYTES, GATHERED_BYTES + 1])
def test_contents_of_any_size_are_proved(size: int) -> None:
    stored = zlib.compress(bytes(size), 1)

    assert proof_of(stored, size) is None
    assert proof_of(stored, size + 1) is not None
    assert size == 0 or proof_of(stored, size - 1) is not None
    assert proof_of(stored + b"more", size) is not None
    assert proof_of(stored[:-1], size) is not None
    assert proof_of(b"not a stream", size) is not None
    assert proof_of(b"not a stream", None) is None


def test_an_object_that_is_far_longer_than_was_said_is_not_kept_in_memory() -> None:
    stored = zlib.compress(random.Random(1).randbytes(3 << 20), 0)

    assert proof_of(stored, 10) is not None


def test_reports_put_the_worst_first() -> None:
    def report(*kinds: Kind) -> CheckReport:
        from outcrop.stratum0.check.problems import in_order

        return CheckReport(NAME, Depth.EXISTENCE, in_order([Problem(kind, "x") for kind in kinds]))

    assert report().error() is None
    assert report(Kind.STRAY).error() is None
    assert isinstance(report(Kind.STRAY, Kind.COUNTERS).error(), FormatError)
    assert isinstance(report(Kind.COUNTERS, Kind.SIGNATURE).error(), TrustError)
    assert isinstance(report(Kind.COUNTERS, Kind.SIGNATURE, Kind.MISSING).error(), IntegrityError)
