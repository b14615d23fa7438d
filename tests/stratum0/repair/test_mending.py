"""Repair: what a healthy copy has comes back, whatever else mirrors may send."""

from __future__ import annotations

import os
import random
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.objects import MANIFEST_NAME, REFLOG_NAME, WHITELIST_NAME, ObjectKind, ObjectName
from outcrop.errors import StorageError
from outcrop.storage.directory import DirectoryStore
from outcrop.storage.faulty import FaultyStore, fail_at
from outcrop.storage.http import HttpStore, TransferLimits
from outcrop.storage.interface import ReadableStore
from outcrop.storage.memory import MemoryStore
from outcrop.stratum0.check.memory import FileMemory
from outcrop.stratum0.check.owned import trusted_by
from outcrop.stratum0.check.problems import Kind, Severity
from outcrop.stratum0.check.report import CheckReport, Depth
from outcrop.stratum0.check.repository import FULL, CheckRequest, check_repository
from outcrop.stratum0.publishing.content_index import SETTLED_NANOSECONDS
from outcrop.stratum0.publishing.incoming_directory import DirectoryTree
from outcrop.stratum0.publishing.ingest import IngestRequest
from outcrop.stratum0.repair.mending import Action, RepairOutcome, RepairRequest, planned_repair, repair
from outcrop.stratum0.repair.repair_signed import REBUILT
from outcrop.stratum0.repository import OwnedRepository
from tests.faulty_server import Request, Site, html_page, serving
from tests.stratum0.check.test_check import name_of, objects_of, publish_small
from tests.stratum0.checking import check_published
from tests.stratum0.conftest import Publisher
from tests.stratum0.reading import entries, published_manifest, published_tree

SIGNED = (MANIFEST_NAME, WHITELIST_NAME, REFLOG_NAME)


@pytest.fixture
def published(publisher: Publisher, tmp_path: Path) -> Publisher:
    publish_small(publisher, tmp_path)
    return publisher


@pytest.fixture
def mirror(published: Publisher, tmp_path: Path) -> DirectoryStore:
    """A healthy copy."""
    shutil.copytree(published.storage, tmp_path / "mirror")
    return DirectoryStore(tmp_path / "mirror")


def mended(publisher: Publisher, *mirrors: ReadableStore, depth: Depth = Depth.CONTENT) -> RepairOutcome:
    return repair(publisher.repository, RepairRequest(mirrors, depth), publisher.now)


@pytest.mark.parametrize("seed", range(6))
def test_whatever_is_damaged_comes_back(published: Publisher, mirror: DirectoryStore, seed: int) -> None:
    seed = int(os.environ.get("OUTCROP_TEST_SEED", seed))
    sys.stderr.write(f"OUTCROP_TEST_SEED={seed} replays this\n")
    chance = random.Random(seed)
    victims = [*objects_of(published), *(published.storage / name for name in SIGNED)]
    for victim in chance.sample(victims, chance.randrange(1, len(victims))):
        content = bytearray(victim.read_bytes())
        match chance.randrange(4):
            case 0:
                victim.unlink()
            case 1:
                victim.write_bytes(content[: chance.randrange(len(content))])
            case 2:
                content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
                victim.write_bytes(content)
            case _:
                victim.write_bytes(chance.choice(objects_of(published)).read_bytes())

    outcome = mended(published, mirror)

    assert outcome.failed == ()
    assert is_whole(outcome.report)
    assert is_whole(check_published(published, FULL))
    for path in mirror.root.rglob("*"):
        if path.is_file() and path.name[-1] not in "CH":
            assert (published.storage / path.relative_to(mirror.root)).read_bytes() == path.read_bytes()


def is_whole(report: CheckReport) -> bool:
    """Whether all that readers can ask for is there. What the reflog alone names may be gone, as after a collection."""
    return {problem.kind for problem in report.problems} <= {Kind.REFLOG_DIFFERS}


def test_nothing_to_mend_changes_nothing(published: Publisher, mirror: DirectoryStore) -> None:
    before = {path: path.stat().st_mtime_ns for path in published.storage.rglob("*") if path.is_file()}

    outcome = mended(published, mirror)

    assert (outcome.planned, outcome.mended, outcome.failed) == ((), (), ())
    assert {path: path.stat().st_mtime_ns for path in published.storage.rglob("*") if path.is_file()} == before


def test_the_plan_is_what_the_run_does(published: Publisher, mirror: DirectoryStore) -> None:
    victims = [path for path in objects_of(published) if path.name[-1] not in "CHXM"][:3]
    for victim in victims:
        victim.unlink()
    request = RepairRequest([mirror])

    plan = planned_repair(published.repository, request, published.now)

    assert not any(victim.exists() for victim in victims)
    outcome = repair(published.repository, request, published.now)
    assert outcome.planned == plan.planned
    assert [step.name for step in plan.planned] == [name_of(published, victim) for victim in victims]


def test_what_was_hidden_below_a_damaged_catalog_is_mended_too(published: Publisher, mirror: DirectoryStore) -> None:
    for victim in objects_of(published):
        if victim.name[-1] not in "HXM":
            victim.unlink()

    outcome = mended(published, mirror, depth=Depth.EXISTENCE)

    assert is_whole(outcome.report)
    kinds = [step.problem.object.kind for step in outcome.planned if step.problem.object is not None]
    assert kinds.count(ObjectKind.CATALOG) == 3
    assert ObjectKind.CHUNK in kinds


def test_suspects_are_read_by_a_repair_that_looks_no_closer_elsewhere(
    published: Publisher, mirror: DirectoryStore
) -> None:
    victim = next(path for path in objects_of(published) if path.name[-1] not in "CHXM")
    victim.write_bytes(b"altered")
    request = RepairRequest([mirror], suspects=frozenset({name_of(published, victim)}))

    outcome = repair(published.repository, request, published.now)

    assert [one.step.name for one in outcome.mended] == [name_of(published, victim)]
    assert check_published(published, FULL).problems == ()


NESTED = ("a", "a/b", "a/b/c", "z")


@pytest.fixture
def nested(publisher: Publisher, tmp_path: Path) -> Publisher:
    """A repository with the catalogs `NESTED`, each with files of its own."""
    tree = tmp_path / "nested catalogs"
    for directory in NESTED:
        (tree / directory).mkdir(parents=True, exist_ok=True)
        (tree / directory / ".cvmfscatalog").touch()
        for number in range(4):
            (tree / directory / f"f{number}").write_text(f"{directory} {number} " * 50)
    publisher.publish(IngestRequest(trees=(DirectoryTree(tree),)))
    return publisher


def file_of(publisher: Publisher, path: str) -> Path:
    """Where the contents of the file at `path` are stored."""
    entry = entries(publisher.repository.store)[path.encode()]
    assert entry.digest is not None
    return publisher.storage / ObjectName(entry.digest, ObjectKind.FILE).path


def catalog_of(publisher: Publisher, path: str) -> Path:
    """Where the catalog with the mountpoint `path` is stored."""
    mountpoint = published_tree(publisher.repository.store).mountpoint(path.encode())
    assert mountpoint.path == path.encode()
    return publisher.storage / ObjectName(mountpoint.reference.digest, ObjectKind.CATALOG).path


def alter(path: Path) -> None:
    """Flips one bit, which nothing tells but the digest."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("catalog", ["", "/a", "/a/b"])
@pytest.mark.parametrize("how", ["altered", "gone"])
@pytest.mark.parametrize("checked", [FULL, None], ids=["after a full check", "without a check"])
def test_contents_that_a_damaged_catalog_hid_are_read_and_mended(
    nested: Publisher, tmp_path: Path, catalog: str, how: str, checked: CheckRequest | None
) -> None:
    mirror = DirectoryStore(shutil.copytree(nested.storage, tmp_path / "mirror"))
    victims = [file_of(nested, path) for path in ("/a/b/f1", "/a/b/c/f2")]
    place = catalog_of(nested, catalog)
    for victim in victims:
        alter(victim)
    if how == "altered":
        alter(place)
    else:
        place.unlink()
    damaged = check_published(nested, checked).damaged_objects if checked is not None else ()
    request = RepairRequest((mirror,), suspects=frozenset(map(str, damaged)))

    outcome = repair(nested.repository, request, nested.now)

    assert outcome.failed == ()
    assert {name_of(nested, path) for path in (place, *victims)} == {one.step.name for one in outcome.mended}
    assert check_published(nested, FULL).problems == ()


def test_what_was_hidden_and_no_mirror_has_is_told(nested: Publisher, tmp_path: Path) -> None:
    mirror = DirectoryStore(shutil.copytree(nested.storage, tmp_path / "mirror"))
    victim = file_of(nested, "/a/b/c/f2")
    alter(victim)
    alter(catalog_of(nested, "/a/b"))
    (mirror.root / name_of(nested, victim)).unlink()

    outcome = repair(nested.repository, RepairRequest((mirror,)), nested.now)

    assert [failed.step.name for failed in outcome.failed] == [name_of(nested, victim)]
    assert [problem.name for problem in outcome.report.of(Severity.DAMAGE)] == [name_of(nested, victim)]


def test_a_full_repair_takes_up_no_check_that_was_blind_below_a_catalog(nested: Publisher, tmp_path: Path) -> None:
    mirror = DirectoryStore(shutil.copytree(nested.storage, tmp_path / "mirror"))
    victim = file_of(nested, "/a/b/f1")
    alter(victim)
    alter(catalog_of(nested, "/a/b"))
    trusted = trusted_by(nested.repository, nested.now)
    with closing(NeverAtItsEnd(tmp_path / "memory")) as memory:
        check_repository(nested.repository.store, trusted, FULL, memory=memory)

    with closing(FileMemory(tmp_path / "memory")) as memory:
        outcome = repair(nested.repository, RepairRequest((mirror,), Depth.CONTENT), nested.now, memory=memory)

    assert name_of(nested, victim) in {one.step.name for one in outcome.mended}
    assert check_published(nested, FULL).problems == ()


class NeverAtItsEnd(FileMemory):
    """What a check leaves that is interrupted just before its end."""

    def end(self) -> None: ...


def test_a_newer_revision_is_no_reason_to_read_everything(nested: Publisher, tmp_path: Path) -> None:
    backup = shutil.copytree(nested.storage, tmp_path / "backup")
    (tmp_path / "nested catalogs" / "a" / "f1").write_text("newer")
    nested.publish(IngestRequest(trees=(DirectoryTree(tmp_path / "nested catalogs"),)))
    nested.storage.rename(tmp_path / "replica")
    backup.rename(nested.storage)
    replica = DirectoryStore(tmp_path / "replica")
    read: list[str] = []

    def noted(name: str, data: bytes) -> bytes:
        read.append(name)
        return data

    store = FaultyStore(nested.repository.store, tamper=noted)
    repository = replace(nested.repository, store=store)

    outcome = repair(repository, RepairRequest((replica,), newer=True), nested.now)

    assert outcome.failed == ()
    assert name_of(nested, file_of(nested, "/a/f1")) in {one.step.name for one in outcome.mended}
    assert name_of(nested, file_of(nested, "/z/f1")) not in read


def damaged_file(publisher: Publisher) -> str:
    victim = next(path for path in objects_of(publisher) if path.name[-1] not in "CHXM" and path.stat().st_size > 100)
    victim.write_bytes(b"altered")
    return name_of(publisher, victim)


def endless(request: Request) -> None:
    request.send_response(200)
    request.end_headers()
    while True:
        request.wfile.write(bytes(65536))


def missing(request: Request) -> None:
    request.answer(b"", 404)


def cut(request: Request) -> None:
    request.answer(b"short", length=1000)


@pytest.mark.parametrize("behaviour", [endless, html_page, missing, cut], ids=["endless", "lie", "missing", "cut"])
def test_a_mirror_that_does_not_have_it_changes_nothing_and_the_next_is_tried(
    published: Publisher, mirror: DirectoryStore, behaviour: Callable[[Request], None]
) -> None:
    name = damaged_file(published)
    limits = TransferLimits(retries=0)
    with serving(Site(every=behaviour)) as url:
        alone = mended(published, HttpStore(url, limits))
        assert (published.storage / name).read_bytes() == b"altered"
        both = mended(published, HttpStore(url, limits), mirror)

    assert [failed.step.name for failed in alone.failed] == [name]
    assert url in alone.failed[0].reason
    assert alone.report.of(Severity.DAMAGE)
    assert [(one.step.name, one.source) for one in both.mended] == [(name, mirror.address)]
    assert both.report.problems == ()


def test_a_mirror_over_http_mends_all(published: Publisher, mirror: DirectoryStore) -> None:
    files = {str(path.relative_to(mirror.root)): path.read_bytes() for path in mirror.root.rglob("*") if path.is_file()}
    for victim in objects_of(published):
        victim.unlink()
    with serving(Site(files)) as url:
        outcome = mended(published, HttpStore(url))

    assert outcome.failed == ()
    assert is_whole(outcome.report)


def test_without_a_mirror_it_says_so(published: Publisher) -> None:
    name = damaged_file(published)

    (failed,) = mended(published).failed

    assert (failed.step.name, failed.reason) == (name, "there is no mirror to fetch it from")


def test_a_damaged_object_that_nothing_refers_to_is_removed(published: Publisher, mirror: DirectoryStore) -> None:
    trap = published.storage / ObjectName(Digest.of(b"trap"), ObjectKind.FILE).path
    trap.write_bytes(b"")

    outcome = mended(published, mirror)

    assert [(step.action, step.name) for step in outcome.planned] == [(Action.REMOVE, name_of(published, trap))]
    assert not trap.exists()
    assert check_published(published, FULL).unreferenced == 0


def test_an_older_manifest_is_not_taken(published: Publisher, mirror: DirectoryStore, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "file").write_text("more")
    published.publish(IngestRequest(trees=(DirectoryTree(tmp_path / "more"),)))
    (published.storage / MANIFEST_NAME).unlink()

    (failed,) = mended(published, mirror).failed

    assert "revision 3" in failed.reason
    assert "revision 4" in failed.reason
    assert not (published.storage / MANIFEST_NAME).exists()


def test_a_manifest_that_we_did_not_sign_is_not_taken(published: Publisher, mirror: DirectoryStore) -> None:
    content = (mirror.root / MANIFEST_NAME).read_bytes()
    (mirror.root / MANIFEST_NAME).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    (published.storage / MANIFEST_NAME).unlink()

    (failed,) = mended(published, mirror).failed

    assert "not signed with our key" in failed.reason


def test_an_expired_whitelist_is_not_taken_and_the_way_out_is_told(
    published: Publisher, mirror: DirectoryStore
) -> None:
    from datetime import timedelta

    published.now += timedelta(days=40)

    (failed,) = mended(published, mirror).failed

    assert failed.step.name == WHITELIST_NAME
    assert "outcrop repo resign" in failed.reason


def test_a_reflog_that_no_mirror_has_is_written_anew_and_named_by_the_manifest(published: Publisher) -> None:
    from outcrop.cvmfs.reflog import Reflog

    with Reflog.parse((published.storage / REFLOG_NAME).read_bytes()) as reflog:
        before = {(one.digest, one.type) for one in reflog.references()}
    (published.storage / REFLOG_NAME).unlink()

    outcome = mended(published)

    assert [one.source for one in outcome.mended] == [REBUILT]
    assert outcome.report.problems == ()
    with Reflog.parse((published.storage / REFLOG_NAME).read_bytes()) as reflog:
        assert {(one.digest, one.type) for one in reflog.references()} == before


@pytest.mark.fault
@pytest.mark.parametrize("call", range(1, 9))
def test_a_disk_that_fails_leaves_every_file_old_or_mended(
    published: Publisher, mirror: DirectoryStore, call: int
) -> None:
    for victim in objects_of(published)[::3]:
        victim.write_bytes(b"altered")
    healthy = {str(path.relative_to(mirror.root)): path for path in mirror.root.rglob("*") if path.is_file()}
    full = StorageError(what="the store", problem="cannot be written: the disk is full")
    faulty = FaultyStore(
        published.repository.store, fail_at(call, full, frozenset({"write", "replace", "sync", "remove"}))
    )
    broken = OwnedRepository(published.repository.settings, published.repository.keys, faulty)

    try:
        repair(broken, RepairRequest([mirror], Depth.CONTENT), published.now)
    except StorageError:
        for name, path in healthy.items():
            assert (published.storage / name).read_bytes() in (b"altered", path.read_bytes())
    assert is_whole(mended(published, mirror).report)


def test_a_mirror_that_lies_about_everything_leaves_all_as_it_is(published: Publisher) -> None:
    victims = objects_of(published)[::2]
    for victim in victims:
        victim.unlink()
    names = [name_of(published, victim) for victim in victims] + list(SIGNED)
    liar = MemoryStore("liar")
    liar.objects = dict.fromkeys(names, b"lies")

    outcome = mended(published, liar)

    assert outcome.mended == ()
    assert not any(victim.exists() for victim in victims)


def small_tree(tmp_path: Path) -> IngestRequest:
    """What was published last."""
    return IngestRequest(trees=(DirectoryTree(tmp_path / "small"),))


def aged(tree: Path) -> None:
    """Makes the files of `tree` old enough for a publisher to know them again without reading them."""
    time.sleep(SETTLED_NANOSECONDS / 1e9 - (time.time() - max(path.stat().st_ctime for path in tree.rglob("*"))) + 0.1)


def test_what_no_mirror_has_comes_back_by_publishing_the_unchanged_tree_again(
    published: Publisher, tmp_path: Path
) -> None:
    aged(tmp_path / "small")
    for _ in range(2):
        assert not published.publish(small_tree(tmp_path)).published
    victims = [path for path in objects_of(published) if path.name[-1] not in "CHXM"]
    altered, gone = victims[:6], victims[6:12]
    for victim in altered:
        victim.write_bytes(b"altered")
    for victim in gone:
        victim.unlink()

    request = RepairRequest((), Depth.CONTENT, discard_altered=True)
    outcome = repair(published.repository, request, published.now)

    assert {problem.kind for problem in outcome.report.of(Severity.DAMAGE)} == {Kind.MISSING}
    assert not any(victim.exists() for victim in altered)
    again = published.publish(small_tree(tmp_path))
    assert not again.published
    assert is_whole(check_published(published, CheckRequest(Depth.CONTENT, tags=False)))


def test_altered_objects_stay_unless_it_is_asked_to_discard_them(published: Publisher, tmp_path: Path) -> None:
    catalog = next(path for path in objects_of(published) if path.name.endswith("C"))
    victim = published.storage / damaged_file(published)
    assert mended(published).discarded == ()
    assert victim.exists()

    discarding = RepairRequest((), Depth.CONTENT, discard_altered=True)
    (step,) = repair(published.repository, discarding, published.now).discarded
    assert (published.storage / step.name, victim.exists()) == (victim, False)

    catalog.write_bytes(b"altered")
    assert repair(published.repository, discarding, published.now).discarded == ()
    assert catalog.exists(), "publishing does not bring a catalog back"


def older_copy(published: Publisher, tmp_path: Path) -> DirectoryStore:
    """A healthy copy that is one revision further than what is in place, as after a backup was restored."""
    backup = shutil.copytree(published.storage, tmp_path / "backup")
    (tmp_path / "small" / "README").write_text("newest")
    published.publish(small_tree(tmp_path))
    published.storage.rename(tmp_path / "replica")
    backup.rename(published.storage)
    return DirectoryStore(tmp_path / "replica")


def test_a_newer_revision_of_a_mirror_is_told_and_taken_if_it_is_asked_for(
    published: Publisher, tmp_path: Path
) -> None:
    replica = older_copy(published, tmp_path)

    outcome = mended(published, replica)
    assert outcome.behind is not None
    assert "revision 4" in outcome.behind.detail
    assert published_manifest(published.repository.store).revision == 3

    newer = RepairRequest((replica,), newer=True)
    plan = planned_repair(published.repository, newer, published.now)
    assert [step.action for step in plan.planned] == [Action.TAKE_NEWER]
    outcome = repair(published.repository, newer, published.now)
    assert (outcome.failed, outcome.behind) == ((), None)
    assert published_manifest(published.repository.store).revision == 4
    assert is_whole(check_published(published, FULL))
    assert published.publish(small_tree(tmp_path)).manifest.revision == 4


def test_a_newer_revision_that_somebody_else_signed_is_not_told(published: Publisher, tmp_path: Path) -> None:
    replica = older_copy(published, tmp_path)
    path = replica.root / MANIFEST_NAME
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    outcome = repair(published.repository, RepairRequest((replica,), newer=True), published.now)
    assert (outcome.behind, outcome.mended) == (None, ())
    assert published_manifest(published.repository.store).revision == 3
