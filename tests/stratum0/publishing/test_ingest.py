"""Ingest: what goes in comes out, one revision a call, and what is refused leaves no trace."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from outcrop.cvmfs.entry import Mark
from outcrop.cvmfs.paths import repository_path
from outcrop.errors import AlreadyExists, Busy, FormatError, InvalidValue, NotFound, StorageError, TrustError
from outcrop.storage.faulty import FaultyStore, fail_at
from outcrop.storage.interface import WritableStore
from outcrop.stratum0.promises.policy import policy_path
from outcrop.stratum0.publishing.door import DoorRules
from outcrop.stratum0.publishing.incoming_directory import DirectoryTree
from outcrop.stratum0.publishing.incoming_tarball import TarballTree
from outcrop.stratum0.publishing.ingest import IngestRequest, ingest
from outcrop.stratum0.repository import OwnedRepository
from outcrop.stratum0.transactions.lease import Leases
from tests.conformance.section16 import Violation, check_repository
from tests.stratum0.conftest import NAME, Publisher
from tests.stratum0.reading import content, entries, published_manifest, published_tree
from tests.trees import Shown, build_every_kind, shown_tree

Members = dict[str, bytes | tarfile.TarInfo]


def violations(publisher: Publisher) -> list[Violation]:
    moment = publisher.now + timedelta(seconds=1)
    return check_repository(publisher.storage, [publisher.public_key], NAME, now=moment, all_revisions=True)


def check(publisher: Publisher) -> None:
    assert violations(publisher) == []


EVERYTHING = DoorRules(allow_privileged=True, allow_devices=True, allow_world_writable=True)


def request(*trees: Path, at: str = "/", **more: tuple[str, ...]) -> IngestRequest:
    incoming = tuple(DirectoryTree(tree) if tree.is_dir() else TarballTree(tree) for tree in trees)
    paths = {key: tuple(repository_path(value) for value in values) for key, values in more.items()}
    return IngestRequest(trees=incoming, at=repository_path(at), door=EVERYTHING, **paths)  # type: ignore[arg-type]


def write_tarball(path: Path, members: Members, mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode, format=tarfile.PAX_FORMAT) as archive:  # type: ignore[call-overload]
        for name, value in members.items():
            info = value if isinstance(value, tarfile.TarInfo) else tarfile.TarInfo(name)
            data = value if isinstance(value, bytes) else b""
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def member(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def files(directory: Path, contents: dict[str, str]) -> Path:
    for name, text in contents.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return directory


def read_back(publisher: Publisher, below: bytes) -> dict[bytes, Shown]:
    """What `tests.trees.shown_tree` would show of the published tree at `below`."""
    import hashlib

    store = publisher.repository.store
    tree = published_tree(store)
    found: dict[bytes, Shown] = {}
    first: dict[tuple[bytes, int], bytes] = {}
    for path, entry in tree.walk(below):
        relative = path[len(below) :]
        if not relative:
            continue
        group = (relative.rpartition(b"/")[0], entry.hardlink_group)
        same = first.setdefault(group, relative) if entry.hardlink_group else relative
        device = entry.size if stat.S_ISCHR(entry.mode) or stat.S_ISBLK(entry.mode) else 0
        found[relative] = Shown(
            mode=entry.mode,
            mtime_ns=entry.mtime * 10**9 + (entry.mtime_ns or 0),
            content=hashlib.sha256(content(store, tree, path, entry)).hexdigest() if entry.is_file else "",
            target=entry.symlink,
            links=entry.linkcount,
            same_file_as=b"" if entry.is_directory else same,
            xattrs=tuple((key.decode(), value) for key, value in entry.xattrs),
            device=device,
        )
    return found


@pytest.mark.parametrize(
    ("algorithm", "compressor"), [("sha1", "libdeflate"), ("rmd160", "zlib"), ("shake128", "none")]
)
def test_every_kind_of_entry_reads_back_as_it_went_in(
    new_publisher: Callable[..., Publisher], tmp_path: Path, algorithm: str, compressor: str
) -> None:
    publisher = new_publisher(hash=algorithm, compressor=compressor)
    build_every_kind(tmp_path / "tree")
    publisher.publish(request(tmp_path / "tree", at="/top"))
    assert read_back(publisher, b"/top") == shown_tree(tmp_path / "tree")
    check(publisher)


def test_a_tarball_reads_back_as_the_directory_it_was_made_of(publisher: Publisher, tmp_path: Path) -> None:
    build_every_kind(tmp_path / "tree")
    (tmp_path / "tree" / "special" / "socket").unlink()  # archives hold no sockets
    for path in sorted((tmp_path / "tree").rglob("*"), reverse=True):
        os.utime(path, (0, 1_500_000_000), follow_symlinks=False)  # Python's archives round nanoseconds
    with tarfile.open(tmp_path / "tree.tar.xz", "w:xz", format=tarfile.PAX_FORMAT) as archive:
        archive.add(tmp_path / "tree", arcname=".")
    publisher.publish(request(tmp_path / "tree.tar.xz", at="/top"))
    expected = {path: Shown(**{**vars(one), "xattrs": ()}) for path, one in shown_tree(tmp_path / "tree").items()}
    assert read_back(publisher, b"/top") == expected
    check(publisher)


def test_one_call_is_one_revision(publisher: Publisher, tmp_path: Path) -> None:
    publisher.publish(request(files(tmp_path / "a", {"old/file": "1", "kept": "2"})))
    more = files(tmp_path / "b", {"new/.cvmfscatalog": "", "new/file": "3"})
    outcome = publisher.publish(request(more, at="/x", delete=("/old",)))
    assert outcome.manifest.revision == 3
    assert set(entries(publisher.repository.store)) == {
        b"/kept",
        b"/x",
        b"/x/new",
        b"/x/new/.cvmfscatalog",
        b"/x/new/file",
    }
    check(publisher)


def test_the_same_again_is_no_revision(publisher: Publisher, tmp_path: Path) -> None:
    build_every_kind(tmp_path / "tree")
    first = publisher.publish(request(tmp_path / "tree", at="/top"))
    second = publisher.publish(request(tmp_path / "tree", at="/top"))
    assert not second.published
    assert second.manifest == first.manifest
    assert second.summary.is_empty


def test_a_dry_run_tells_what_the_run_does_and_does_nothing(publisher: Publisher, tmp_path: Path) -> None:
    tree = files(tmp_path / "a", {"x/.cvmfscatalog": "", "x/file": "1"})
    before = {path: path.stat().st_mtime_ns for path in publisher.storage.rglob("*")}
    planned = publisher.publish(request(tree), dry_run=True).summary
    assert {path: path.stat().st_mtime_ns for path in publisher.storage.rglob("*")} == before
    assert publisher.publish(request(tree)).summary == planned


def test_a_dry_run_is_refused_for_a_whitelist_as_the_run_is(publisher: Publisher, tmp_path: Path) -> None:
    tree = files(tmp_path / "a", {"f": "1"})
    publisher.now += timedelta(days=20)
    (warned,) = publisher.publish(request(tree), dry_run=True).notes
    assert "the whitelist of test.example.org expires in" in warned
    publisher.now += timedelta(days=20)
    for dry_run in (True, False):
        with pytest.raises(TrustError, match="the whitelist of"):
            publisher.publish(request(tree), dry_run=dry_run)
    allowed = replace(request(tree), allow_expiring=True)
    planned = publisher.publish(allowed, dry_run=True)
    assert "expired" in planned.notes[0]
    assert publisher.publish(allowed).notes == planned.notes


def test_a_dry_run_is_refused_where_somebody_else_is_at_work(publisher: Publisher, tmp_path: Path) -> None:
    leases = Leases(publisher.directory, NAME, "ann@builder")
    leases.take("t1", [repository_path("/p")], "transaction t1", publisher.now)
    change = request(files(tmp_path / "a", {"f": "1"}), at="/p/q")
    for dry_run in (True, False):
        with pytest.raises(Busy, match=r"/p/q of test\.example\.org .*ann@builder"):
            publisher.publish(change, dry_run=dry_run)
    assert not publisher.publish(replace(change, transaction="t1"), dry_run=True).summary.is_empty
    assert not publisher.publish(replace(change, at=repository_path("/r")), dry_run=True).summary.is_empty
    assert [lease.name for lease in leases.all()] == ["t1"]


def test_only_catalogs_on_a_changed_path_are_written(publisher: Publisher, tmp_path: Path) -> None:
    tree = {f"n{number}/{name}": str(number) for number in range(20) for name in (".cvmfscatalog", "file")}
    publisher.publish(request(files(tmp_path / "a", tree)))
    outcome = publisher.publish(request(files(tmp_path / "b", {"file": "other"}), at="/n7"))
    assert outcome.summary.catalogs == 2
    check(publisher)


def test_a_marker_that_comes_later_splits_and_its_removal_merges(publisher: Publisher, tmp_path: Path) -> None:
    tree = files(tmp_path / "a", {"d/e/file": "1", "d/e/deep/.cvmfscatalog": "", "d/e/deep/x": "2", "d/other": "3"})
    os.link(tree / "d/other", tree / "d/twin")
    publisher.publish(request(tree))
    before = entries(publisher.repository.store)
    publisher.publish(request(files(tmp_path / "b", {".cvmfscatalog": ""}), at="/d"))
    split = entries(publisher.repository.store)
    assert Mark.NESTED_MOUNTPOINT in split[b"/d"].marks
    assert set(published_tree(publisher.repository.store).nested_mountpoints()) == {b"/d", b"/d/e/deep"}
    check(publisher)
    publisher.publish(request(delete=("/d/.cvmfscatalog", "/d/e/deep/.cvmfscatalog")))
    assert published_tree(publisher.repository.store).nested_mountpoints() == ()
    after = entries(publisher.repository.store)
    del before[b"/d/e/deep/.cvmfscatalog"]
    assert {path: entry.mtime for path, entry in after.items()} == {path: entry.mtime for path, entry in before.items()}
    check(publisher)


def test_deleting_takes_nested_catalogs_along(publisher: Publisher, tmp_path: Path) -> None:
    tree = files(tmp_path / "a", {"d/.cvmfscatalog": "", "d/e/.cvmfscatalog": "", "d/e/f": "1", "kept/f": "2"})
    publisher.publish(request(tree))
    outcome = publisher.publish(request(delete=("/d",)))
    assert outcome.summary.removed == 5
    assert set(entries(publisher.repository.store)) == {b"/kept", b"/kept/f"}
    check(publisher)


def test_replace_takes_away_what_does_not_come_in_again(publisher: Publisher, tmp_path: Path) -> None:
    publisher.publish(request(files(tmp_path / "a", {"p/old": "1", "p/kept": "2", "p/d/f": "3", "q": "4"})))
    new = files(tmp_path / "b", {"kept": "2", "d": "now a file"})
    publisher.publish(request(new, at="/p", replace=("/p",)))
    assert set(entries(publisher.repository.store)) == {b"/p", b"/p/kept", b"/p/d", b"/q"}
    check(publisher)


@pytest.mark.parametrize("how", ["delete", "replace"])
@pytest.mark.parametrize("path", ["/software/q/f", "/software/q", "/software"])
def test_a_promised_file_may_go_and_come_again_as_it_was(
    publisher: Publisher, tmp_path: Path, how: str, path: str
) -> None:
    policy_path(publisher.directory, NAME).write_text('keep = ["/software/*"]\n')
    tree = files(tmp_path / "a", {"software/q/f": "1"})
    first = publisher.publish(request(tree))
    again = publisher.publish(request(tree, at="/", **{how: (path,)}))
    assert again.summary.is_empty
    assert again.manifest == first.manifest
    os.utime(tree / "software/q/f", (1, 1))
    assert publisher.publish(request(tree, at="/", **{how: (path,)})).published


@pytest.mark.parametrize("how", ["delete", "replace"])
@pytest.mark.parametrize("path", ["/software/q/f", "/software/q"])
@pytest.mark.parametrize("content", [{"software/q/f": "2"}, {"software/q/f/d": "1"}])
def test_a_promised_file_that_comes_again_as_something_else_is_named_once(
    publisher: Publisher, tmp_path: Path, how: str, path: str, content: dict[str, str]
) -> None:
    policy_path(publisher.directory, NAME).write_text('keep = ["/software/*"]\n')
    publisher.publish(request(files(tmp_path / "a", {"software/q/f": "1"})))
    with pytest.raises(InvalidValue, match=r"promised to users: /software/q/f \(other content\)$"):
        publisher.publish(request(files(tmp_path / "b", content), at="/", **{how: (path,)}))


def test_hard_link_groups_shrink_and_grow(publisher: Publisher, tmp_path: Path) -> None:
    tree = files(tmp_path / "a", {"g/a": "one"})
    for other in "bcd":
        os.link(tree / "g/a", tree / "g" / other)
    publisher.publish(request(tree))
    assert entries(publisher.repository.store)[b"/g/c"].linkcount == 4
    publisher.publish(request(delete=("/g/d",)))
    assert entries(publisher.repository.store)[b"/g/c"].linkcount == 3
    check(publisher)
    publisher.publish(request(files(tmp_path / "b", {"a": "own content now"}), at="/g"))
    found = entries(publisher.repository.store)
    assert found[b"/g/a"].linkcount == 1
    assert found[b"/g/b"].linkcount == 2
    check(publisher)
    publisher.publish(request(delete=("/g/b",)))
    assert entries(publisher.repository.store)[b"/g/c"].hardlink_group == 0
    check(publisher)


def test_a_private_temporary_directory_does_not_lock_the_repository(publisher: Publisher, tmp_path: Path) -> None:
    tree = files(tmp_path / "a", {"f": "1"})
    tree.chmod(0o700)
    publisher.publish(request(tree))
    assert published_tree(publisher.repository.store).entry(b"").permissions == 0o755


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"../evil": b"x"}, "leads out of the tree"),
        ({"a/../../evil": b"x"}, "leads out of the tree"),
        ({"/etc/passwd": b"x"}, "absolute path"),
        ({"": b"x"}, "has no name"),
        ({"link": member("link", tarfile.SYMTYPE, "/tmp"), "link/x": b"x"}, "no directory"),
        ({"hard": member("hard", tarfile.LNKTYPE, "/etc/shadow")}, "absolute path"),
        ({"hard": member("hard", tarfile.LNKTYPE, "not/there")}, "no file before it"),
        ({"f": b"x", "./f": member("./f", tarfile.DIRTYPE)}, "as different things"),
        ({".cvmfs/snapshots": b"x"}, "kept for the publisher"),
    ],
)
def test_a_tarball_that_reaches_out_is_refused(
    publisher: Publisher, tmp_path: Path, members: Members, words: str
) -> None:
    members = {"good": b"fine", **members}
    with pytest.raises(InvalidValue, match=words):
        publisher.publish(request(write_tarball(tmp_path / "t.tar.gz", members)))
    assert published_manifest(publisher.repository.store).revision == 1


def test_an_archive_that_ends_between_two_members_is_refused(publisher: Publisher, tmp_path: Path) -> None:
    path = write_tarball(tmp_path / "t.tar", {"a": bytes(1024), "b": bytes(1024)}, "w:")
    path.write_bytes(path.read_bytes()[: 512 + 1024])
    with pytest.raises(FormatError, match="cannot be read"):
        publisher.publish(request(path))


def test_an_archive_with_rubbish_between_two_members_is_refused(publisher: Publisher, tmp_path: Path) -> None:
    path = write_tarball(tmp_path / "t.tar", {"a": bytes(512), "b": bytes(512)}, "w:")
    data = bytearray(path.read_bytes())
    data[1024:1100] = b"rubbish" * 10 + b"!!!!!!"
    path.write_bytes(data)
    with pytest.raises(FormatError, match="cannot be read"):
        publisher.publish(request(path))


@pytest.mark.parametrize("cut", [10, 300, 5000])
def test_a_truncated_tarball_publishes_nothing(publisher: Publisher, tmp_path: Path, cut: int) -> None:
    path = write_tarball(tmp_path / "t.tar.gz", {f"f{n}": os.urandom(2000) for n in range(20)})
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(FormatError, match="cannot be read"):
        publisher.publish(request(path))
    assert published_manifest(publisher.repository.store).revision == 1


def test_a_zstd_tarball_is_read(publisher: Publisher, tmp_path: Path) -> None:
    import zstandard

    plain = write_tarball(tmp_path / "t.tar", {"d/f": b"content"}, "w:")
    (tmp_path / "t.tar.zst").write_bytes(zstandard.compress(plain.read_bytes()))
    publisher.publish(request(tmp_path / "t.tar.zst"))
    assert b"/d/f" in entries(publisher.repository.store)


def test_a_file_does_not_silently_replace_a_directory(publisher: Publisher, tmp_path: Path) -> None:
    publisher.publish(request(files(tmp_path / "a", {"p/f": "1"})))
    with pytest.raises(AlreadyExists, match="/p, which is a directory"):
        publisher.publish(request(files(tmp_path / "b", {"p": "file"})))


def test_deleting_what_is_not_there_is_refused(publisher: Publisher) -> None:
    with pytest.raises(NotFound, match="/nothing"):
        publisher.publish(request(delete=("/nothing",)))


def test_a_second_publisher_is_told_who_holds_the_repository(publisher: Publisher, tmp_path: Path) -> None:
    impatient = replace(publisher.repository, wait_seconds=0)
    with publisher.repository.exclusively(), pytest.raises(Busy, match=str(os.getpid())):
        ingest(impatient, request(files(tmp_path / "a", {"f": "1"})), now=publisher.now)


def test_a_manifest_of_somebody_else_is_not_replaced(publisher: Publisher, tmp_path: Path) -> None:
    manifest = publisher.storage / ".cvmfspublished"
    manifest.write_bytes(manifest.read_bytes()[:-1] + b"\0")
    with pytest.raises(TrustError, match="was not signed"):
        publisher.publish(request(files(tmp_path / "a", {"f": "1"})))


def test_a_clock_that_goes_back_does_not_take_the_time_of_publishing_back(publisher: Publisher, tmp_path: Path) -> None:
    first = publisher.publish(request(files(tmp_path / "a", {"f": "1"})))
    publisher.now -= timedelta(days=1)
    second = publisher.publish(request(files(tmp_path / "a", {"f": "2"})))
    assert (second.manifest.published_at or 0) >= (first.manifest.published_at or 0)


@pytest.mark.fault
def test_whatever_write_fails_readers_see_the_old_revision_or_the_new_one(publisher: Publisher, tmp_path: Path) -> None:
    tree = {"d/.cvmfscatalog": "", "d/e/.cvmfscatalog": ""} | {f"d/e/f{number}": str(number) for number in range(8)}
    publisher.publish(request(files(tmp_path / "a", {"first": "1", "d/gone": "2"})))
    incoming = request(files(tmp_path / "b", tree), delete=("/d/gone",))
    old, whole = entries(publisher.repository.store), publisher.repository.store
    full = StorageError(what="the disk", problem="is full")
    call = 0
    while True:
        call += 1
        writes = frozenset({"write", "replace", "sync"})
        faulty: WritableStore = FaultyStore(whole, fail_at(call, full, writes))
        broken = OwnedRepository(publisher.repository.settings, publisher.repository.keys, faulty)
        try:
            ingest(broken, incoming, now=publisher.now)
        except StorageError:
            assert entries(whole) == old
            # A crash right before the manifest is swapped leaves a reflog that knows more than the manifest; the next
            # publish, which takes it on, is checked below.
            assert [one for one in violations(publisher) if "reflog" not in f"{one}"] == []
        else:
            break
    assert call > 15, "the fault was not asked at every write"
    assert b"/d/e/f7" in entries(whole)
    assert b"/d/gone" not in entries(whole)
    check(publisher)
