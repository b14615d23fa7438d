"""What may not come in is refused by its name and with the reason, and nothing is published."""

from __future__ import annotations

import os
import random
import shutil
import stat
import struct
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from outcrop.cvmfs.metainfo import Metainfo
from outcrop.cvmfs.objects import MANIFEST_NAME
from outcrop.cvmfs.paths import repository_path
from outcrop.errors import AlreadyExists, FormatError, OutcropError
from outcrop.stratum0.create import create_repository, plan_creation
from outcrop.stratum0.publishing.door import DoorRules
from outcrop.stratum0.publishing.incoming import IncomingTree
from outcrop.stratum0.publishing.incoming_directory import DirectoryTree
from outcrop.stratum0.publishing.incoming_tarball import TarballTree
from outcrop.stratum0.publishing.ingest import IngestRequest
from outcrop.stratum0.settings import RepositorySettings
from tests.stratum0.archives import COMPRESSIONS, Member, directory, hard_link, packed, symlink, write_archive
from tests.stratum0.conftest import BEGINNING, NAME, Publisher
from tests.stratum0.reading import content, entries, published_tree

CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)
"""`cap_net_bind_service=ep` as the kernel keeps it in `security.capability`."""
CAPABILITY_HEADER = {"SCHILY.xattr.security.capability": CAPABILITY.decode("utf-8", "surrogateescape")}
GOOD = Member("good", b"fine")

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes device nodes and file capabilities")


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory, test_keys: Path) -> Publisher:
    """A repository that every test here leaves as it is: `/there/file` and the link `/there/link`."""
    top = tmp_path_factory.mktemp("standing")
    data = shutil.copytree(test_keys, top / "data")
    settings = RepositorySettings(name=NAME, storage=str(top / "storage"))
    publisher = Publisher(create_repository(plan_creation(data, settings, Metainfo()), BEGINNING), data)
    archive = write_archive(top / "first.tar", Member("there/file", b"1"), symlink("there/link", "/tmp"))
    publisher.publish(IngestRequest(trees=(TarballTree(archive),)))
    return publisher


Refused = Callable[..., OutcropError]


@pytest.fixture
def refused(standing: Publisher) -> Iterator[Refused]:
    """Publishes a tree, which must be refused; gives the error. Readers see the very manifest that they saw before."""
    manifest = standing.storage / MANIFEST_NAME
    before = manifest.read_bytes()

    def publish(tree: IncomingTree, *, at: str = "/", **rules: object) -> OutcropError:
        request = IngestRequest(trees=(tree,), at=repository_path(at), door=DoorRules(**rules))  # type: ignore[arg-type]
        with pytest.raises(OutcropError) as caught:
            standing.publish(request)
        return caught.value

    yield publish
    assert manifest.read_bytes() == before
    assert set(entries(standing.repository.store)) == {b"/there", b"/there/file", b"/there/link"}


REFUSED_MEMBERS = {
    "a name that leads out": ([Member("../evil")], "../evil", "leads out"),
    "a name that leads out later": ([Member("a/../../evil")], "a/../../evil", "leads out"),
    "a name that leads out and back": ([Member("a/../b")], "a/../b", "leads out"),
    "a directory that leads out": ([directory("a/..")], "a/..", "leads out"),
    "an absolute name": ([Member("/etc/passwd")], "/etc/passwd", "absolute"),
    "an absolute directory": ([directory("//etc")], "//etc", "absolute"),
    "an empty name": ([Member("")], "''", "has no name"),
    "an empty directory name": ([directory("")], "''", "has no name"),
    "a name of dots": ([Member("./.")], "./.", "has no name"),
    "a name with a NUL": ([Member("x", pax={"path": "a\0b"})], "a\\x00b", "leads out"),
    "a name that nobody could open": ([Member("d/" + "n" * 256)], "n" * 256, "more than 255 bytes"),
    "a symlink as parent": ([symlink("s", "/tmp"), Member("s/x")], "s/x", "lies below /s, which is no directory"),
    "a symlink as grandparent": ([symlink("s", "d"), Member("s/d/x")], "/s", "no directory"),
    "a symlink that comes later": ([Member("s/x"), symlink("s", "/tmp")], "s/x", "lies below /s"),
    "a symlink here and a directory": ([directory("s"), symlink("s", "/tmp")], "/s", "as different things"),
    "a symlink in the repository": ([Member("there/link/x")], "/there/link", "no directory"),
    "a directory for a symlink": ([directory("there/link")], "/there/link", "no directory"),
    "a file as parent": ([Member("f"), Member("f/x")], "f/x", "lies below /f"),
    "a hard link as parent": ([Member("f"), hard_link("h", "f"), Member("h/x")], "h/x", "lies below /h"),
    "a symlink to nothing": ([symlink("s", "")], "'s'", "to nothing"),
    "a symlink with a NUL": ([Member("s", kind=tarfile.SYMTYPE, pax={"linkpath": "a\0b"})], "'s'", "to nothing"),
    "a hard link to outside": ([hard_link("h", "../../etc/shadow")], "'h'", "leads out"),
    "a hard link to an absolute name": ([hard_link("h", "/etc/shadow")], "'h'", "absolute"),
    "a hard link to nothing": ([hard_link("h", "")], "'h'", "to nothing"),
    "a hard link to itself": ([hard_link("h", "h")], "/h", "no file before it"),
    "a hard link to a later member": ([hard_link("h", "f"), Member("f")], "/h", "no file before it"),
    "a hard link to no member": ([hard_link("h", "none")], "/h", "/none"),
    "a hard link to what is there": ([hard_link("h", "there/file")], "/h", "no file before it"),
    "a hard link to a directory": ([directory("d"), hard_link("h", "d")], "/h", "no file before it"),
    "a character device": ([Member("null", kind=tarfile.CHRTYPE, device=(1, 3))], "/null", "device node"),
    "a block device": ([Member("sda", kind=tarfile.BLKTYPE, device=(8, 0))], "/sda", "device node"),
    "a set-user-ID file": ([Member("su", mode=0o4755)], "/su", "set-user-ID"),
    "a set-group-ID file": ([Member("wall", mode=0o2755)], "/wall", "set-group-ID"),
    "a set-user-ID hard link": ([Member("f"), hard_link("su", "f", mode=0o4755)], "/su", "set-user-ID"),
    "file capabilities": ([Member("ping", pax=CAPABILITY_HEADER)], "/ping", "file capabilities"),
    "another content": ([Member("f", b"1"), Member("./f", b"2")], "/f", "as different things"),
    "another mode": ([Member("f"), Member("f", mode=0o755)], "/f", "as different things"),
    "another type": ([Member("f"), directory("f")], "/f", "as different things"),
    "another target": ([symlink("f", "a"), symlink("f", "b")], "/f", "as different things"),
    "another owner": ([Member("f"), Member("f", uid=5)], "/f", "as different things"),
    "a directory as marker": ([directory("d/.cvmfscatalog")], "/d/.cvmfscatalog", "is a directory, and only a regular"),
    "a directory on the way as marker": ([Member("d/.cvmfscatalog/x")], "/d/.cvmfscatalog", "is a directory"),
    "a symlink as marker": ([symlink("d/.cvmfscatalog", "x")], "/d/.cvmfscatalog", "is a symbolic link"),
    "a FIFO as marker": ([Member("d/.cvmfsautocatalog", kind=tarfile.FIFOTYPE)], "/d/.cvmfsautocatalog", "is a FIFO"),
    "a hard link to a symlink as marker": (
        [symlink("d/s", "x"), hard_link("d/.cvmfscatalog", "d/s")],
        "/d/.cvmfscatalog",
        "is a symbolic link",
    ),
    "a symlink that nobody could follow": ([symlink("s", "t" * 4096)], "/s", "a symbolic link to 4,096 bytes"),
    "a path that nobody could open": ([Member("d/" * 2047 + "f")], "/d/d/d", "a path of 4,096 bytes"),
    "the publisher's own": ([Member(".cvmfs/snapshots")], "/.cvmfs", "kept for the publisher"),
    "an unknown type": ([Member("f", kind=b"M")], "'f'", "unknown type"),
    "an impossible owner": ([Member("f", pax={"uid": str(2**32)})], "'f'", "belongs to"),
    "an impossible time": ([Member("f", pax={"mtime": str(2**63)})], "'f'", "no time"),
}


@pytest.mark.parametrize("case", REFUSED_MEMBERS)
def test_a_member_is_refused_by_its_name(refused: Refused, tmp_path: Path, case: str) -> None:
    members, name, reason = REFUSED_MEMBERS[case]
    error = refused(TarballTree(write_archive(tmp_path / "t.tar.gz", GOOD, *members)))
    assert name in error.message
    assert reason in error.message
    assert error.exit_code == 1
    if not isinstance(error, AlreadyExists):
        assert "nothing was published" in error.hint


def in_directory(path: Path, kind: str) -> Path:
    path.mkdir()
    (path / "good").write_text("fine")
    place = path / "bad"
    if kind == "device":
        os.mknod(place, stat.S_IFCHR | 0o600, os.makedev(1, 3))
        return path
    place.write_text("bad")
    place.chmod({"set-user-ID": 0o4755, "set-group-ID": 0o2755}.get(kind, 0o644))
    if kind == "capabilities":
        try:
            os.setxattr(place, "security.capability", CAPABILITY)
        except OSError:
            pytest.skip("this file system keeps no file capabilities")
    return path


@pytest.mark.parametrize(
    "kind",
    [
        "set-user-ID",
        "set-group-ID",
        pytest.param("device", marks=needs_root),
        pytest.param("capabilities", marks=needs_root),
    ],
)
def test_a_directory_is_judged_as_an_archive_is(refused: Refused, tmp_path: Path, kind: str) -> None:
    error = refused(DirectoryTree(in_directory(tmp_path / "tree", kind)))
    assert f"/bad (from {tmp_path / 'tree'})" in error.message
    assert kind in error.message


def test_a_directory_keeps_out_of_the_publishers_own(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "tree" / ".cvmfs").mkdir(parents=True)
    assert "kept for the publisher" in refused(DirectoryTree(tmp_path / "tree")).message


def test_a_directory_does_not_take_the_place_of_a_link(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "tree" / "there" / "link").mkdir(parents=True)
    assert "/there/link, which is no directory" in refused(DirectoryTree(tmp_path / "tree")).message


def test_what_leads_through_a_link_in_the_repository_is_refused(refused: Refused, tmp_path: Path) -> None:
    archive = TarballTree(write_archive(tmp_path / "t.tar", GOOD))
    assert "/there/link, which is no directory" in refused(archive, at="/there/link").message
    assert "/there/link, which is no directory" in refused(archive, at="/there/link/deeper").message


@pytest.mark.parametrize("kind", ["directory", "link", "FIFO"])
def test_a_directorys_markers_are_files(refused: Refused, tmp_path: Path, kind: str) -> None:
    marker = tmp_path / "tree" / "d" / ".cvmfscatalog"
    marker.parent.mkdir(parents=True)
    if kind == "directory":
        marker.mkdir()
    elif kind == "link":
        marker.symlink_to("x")
    else:
        os.mkfifo(marker)
    error = refused(DirectoryTree(tmp_path / "tree"))
    assert f"/d/.cvmfscatalog (from {tmp_path / 'tree'})" in error.message
    assert kind in error.message


@pytest.mark.parametrize(
    ("at", "reason"),
    [
        ("/d/.cvmfscatalog", "only a regular file may be called .cvmfscatalog"),
        ("/.cvmfsautocatalog/d", "only a regular file may be called .cvmfsautocatalog"),
        ("/d" * 2048, "a path of 4,096 bytes"),
        ("/d/" + "n" * 256 + "/d", "more than 255 bytes"),
    ],
)
def test_a_place_where_no_directory_can_be_is_refused(refused: Refused, tmp_path: Path, at: str, reason: str) -> None:
    error = refused(TarballTree(write_archive(tmp_path / "t.tar", directory("."))), at=at)
    assert reason in error.message
    assert "--at" in error.message


def test_the_place_counts_for_the_length_of_a_path(refused: Refused, tmp_path: Path) -> None:
    archive = TarballTree(write_archive(tmp_path / "t.tar", Member("file")))
    assert "a path of 4,097 bytes" in refused(archive, at="/d" * 2046).message


# --- what the change declares


@pytest.mark.parametrize("name", ["elsewhere", "a/c", "a/bc", "a"])
def test_what_lies_outside_of_the_declared_paths_is_refused(refused: Refused, tmp_path: Path, name: str) -> None:
    archive = TarballTree(write_archive(tmp_path / "t.tar", Member("a/b/f"), Member(name)))
    error = refused(archive, within=(repository_path("/a/b"), repository_path("/x")))
    assert f"/{name}" in error.message
    assert "/a/b, /x" in error.message
    assert "--within" in error.hint


def test_declared_paths_are_those_of_the_repository(refused: Refused, tmp_path: Path) -> None:
    archive = TarballTree(write_archive(tmp_path / "t.tar", Member("a/f")))
    assert "/b/a" in refused(archive, at="/b", within=(repository_path("/a"),)).message


def test_what_leads_to_a_declared_path_comes_along(publisher: Publisher, tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "t.tar", directory("."), directory("a"), directory("a/b"), Member("a/b/f"))
    rules = DoorRules(within=(repository_path("/top/a/b"),))
    publisher.publish(IngestRequest(trees=(TarballTree(archive),), at=repository_path("/top"), door=rules))
    assert b"/top/a/b/f" in entries(publisher.repository.store)


# --- what is let in


def test_what_is_allowed_comes_in_as_it_is(publisher: Publisher, tmp_path: Path) -> None:
    archive = write_archive(
        tmp_path / "t.tar",
        Member("su", mode=0o4755),
        Member("ping", pax=CAPABILITY_HEADER),
        Member("null", kind=tarfile.CHRTYPE, device=(1, 3), mode=0o666),
        directory("shared", mode=0o2775),
        Member("open", mode=0o666),
    )
    rules = DoorRules(allow_privileged=True, allow_devices=True, allow_world_writable=True)
    outcome = publisher.publish(IngestRequest(trees=(TarballTree(archive),), door=rules))
    found = entries(publisher.repository.store)
    modes = {path: entry.permissions for path, entry in found.items()}
    assert modes == {b"/su": 0o4755, b"/ping": 0o644, b"/null": 0o666, b"/shared": 0o2775, b"/open": 0o666}
    assert found[b"/null"].size == os.makedev(1, 3)
    assert found[b"/ping"].xattrs.get(b"security.capability") == CAPABILITY
    assert outcome.notes == ()


def test_world_writable_files_are_normalised_and_that_is_said(publisher: Publisher, tmp_path: Path) -> None:
    members = [Member(f"f{number}", mode=0o666) for number in range(5)]
    archive = write_archive(tmp_path / "t.tar", *members, directory("d", mode=0o1777), symlink("l", "f0"))
    outcome = publisher.publish(IngestRequest(trees=(TarballTree(archive),)))
    found = entries(publisher.repository.store)
    assert {found[f"/f{number}".encode()].permissions for number in range(5)} == {0o664}
    assert (found[b"/d"].permissions, found[b"/l"].permissions) == (0o1775, 0o777)
    assert outcome.notes == ("6 entries were writable by everybody, and are not any more: /f0, /f1, /f2, …",)


def test_a_normalised_tree_is_no_change_the_second_time(publisher: Publisher, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "f").touch()
    (tmp_path / "tree" / "f").chmod(0o666)
    request = IngestRequest(trees=(DirectoryTree(tmp_path / "tree"),))
    assert publisher.publish(request).published
    assert not publisher.publish(request).published


def test_directories_lose_their_set_group_id_bit(publisher: Publisher, tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "t.tar", directory("d", mode=0o2755), Member("d/f"))
    outcome = publisher.publish(IngestRequest(trees=(TarballTree(archive),)))
    assert entries(publisher.repository.store)[b"/d"].permissions == 0o755
    assert outcome.notes == ("1 directory lost its set-group-ID bit, which means nothing to readers",)


def test_duplicates_that_agree_come_in_once(publisher: Publisher, tmp_path: Path) -> None:
    twice = [directory("d"), Member("d/f", b"x"), symlink("d/s", "f"), hard_link("d/h", "d/f")]
    archive = write_archive(tmp_path / "t.tar", *twice, *twice, Member("./d//f", b"x"))
    publisher.publish(IngestRequest(trees=(TarballTree(archive),)))
    found = entries(publisher.repository.store)
    assert set(found) == {b"/d", b"/d/f", b"/d/s", b"/d/h"}
    assert found[b"/d/f"].linkcount == 2


def test_the_longest_that_linux_opens_comes_in(publisher: Publisher, tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "t.tar", symlink("s", "t" * 4095), Member("n" * 255))
    place = "/d" * 1919 + "d"
    publisher.publish(IngestRequest(trees=(TarballTree(archive),), at=repository_path(place)))
    found = entries(publisher.repository.store)
    assert max(map(len, found)) == 4095
    assert len(found[f"{place}/s".encode()].symlink) == 4095


# --- archives that are not whole


def random_members(choice: random.Random) -> list[Member]:
    names = [f"d{number % 3}/f{number}" for number in range(12)]
    return [
        directory("d0"),
        *(Member(name, choice.randbytes(choice.randrange(4000)), mtime=1.25) for name in names),
        symlink("s", "d0"),
        Member("long/" + "n" * 200, b"a PAX header"),
    ]


END_OF_ARCHIVE = 512
"""The first block of zeros says that nothing follows: what a plain archive lacks after it is no loss."""


@pytest.mark.parametrize("ending", COMPRESSIONS)
@pytest.mark.parametrize("seed", range(8))
def test_a_truncated_archive_is_refused(refused: Refused, tmp_path: Path, ending: str, seed: int) -> None:
    choice = random.Random(f"{ending} {seed}")
    members = random_members(choice)
    whole = packed(members, ending)
    end = len(whole)
    if ending == "tar":
        content_end = len(packed(members, "tar").rstrip(b"\0")) // 512 * 512
        end = content_end + END_OF_ARCHIVE
    cut = end - 1 - seed if seed < 3 else choice.randrange(end - 1)
    archive = tmp_path / f"t.{ending}"
    archive.write_bytes(whole[:cut])
    error = refused(TarballTree(archive))
    assert isinstance(error, FormatError), error
    assert str(archive) in error.message
    assert ".tar.zst" in error.hint


@pytest.mark.parametrize("ending", [ending for ending in COMPRESSIONS if ending != "tar"])
@pytest.mark.parametrize("seed", range(8))
def test_an_archive_with_a_flipped_bit_is_refused(refused: Refused, tmp_path: Path, ending: str, seed: int) -> None:
    choice = random.Random(f"{ending} {seed}")
    damaged = bytearray(packed(random_members(choice), ending))
    # The header of gzip has fields that mean nothing to a reader.
    damaged[choice.randrange(12, len(damaged))] ^= 1 << choice.randrange(8)
    archive = tmp_path / f"t.{ending}"
    archive.write_bytes(damaged)
    error = refused(TarballTree(archive))
    assert isinstance(error, FormatError), error
    assert "cannot be read" in error.message


CHECKSUM_FIELD = range(148, 156)
"""Where a header has its checksum: digits, and what ends them may be many things."""


@pytest.mark.parametrize("seed", range(8))
def test_a_flipped_bit_in_a_header_is_refused(refused: Refused, tmp_path: Path, seed: int) -> None:
    choice = random.Random(seed)
    damaged = bytearray(packed([Member(f"f{number}") for number in range(20)]))
    places = [place for place in range(345) if place not in CHECKSUM_FIELD]
    damaged[choice.randrange(20) * 512 + choice.choice(places)] ^= 1 << choice.randrange(8)
    archive = tmp_path / "t.tar"
    archive.write_bytes(damaged)
    assert isinstance(refused(TarballTree(archive)), FormatError)


NO_ARCHIVES = {
    "nothing": b"",
    "zeros": bytes(100),
    "a text": b"no archive",
    "a long text": b"x" * 10_000,
    "the beginning of gzip": b"\x1f\x8b",
    "the beginning of zstd": b"\x28\xb5\x2f\xfd",
}


@pytest.mark.parametrize("data", NO_ARCHIVES.values(), ids=NO_ARCHIVES)
def test_what_is_no_archive_is_refused(refused: Refused, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "t.tar").write_bytes(data)
    error = refused(TarballTree(tmp_path / "t.tar"))
    assert isinstance(error, FormatError)
    assert ".tar, .tar.gz, .tar.bz2, .tar.xz and .tar.zst" in error.hint


def test_headers_of_headers_without_end_are_refused(refused: Refused, tmp_path: Path) -> None:
    header = packed([Member("f", pax={"comment": "x"})])[:1024]
    (tmp_path / "t.tar").write_bytes(header * 5000 + packed([GOOD]))
    assert isinstance(refused(TarballTree(tmp_path / "t.tar")), FormatError)


@pytest.mark.parametrize(
    ("tool", "ending"), [("gzip", "gz"), ("bzip2", "bz2"), ("xz", "xz"), ("zstd", "zst")], ids=lambda each: each
)
@pytest.mark.integration
def test_what_real_programs_pack_is_read(publisher: Publisher, tmp_path: Path, tool: str, ending: str) -> None:
    """In two parts, as parallel compressors write them, with a sparse file in it."""
    if not shutil.which(tool) or not shutil.which("tar"):
        pytest.skip(f"needs tar and {tool}")
    tree = tmp_path / "tree"
    tree.mkdir()
    with (tree / "sparse").open("wb") as file:
        file.truncate(3_000_000)
        file.seek(1_000_000)
        file.write(b"island")
    (tree / "plain").write_bytes(random.Random(1).randbytes(300_000))
    plain = subprocess.run(["tar", "-S", "-C", str(tree), "-cf", "-", "."], check=True, capture_output=True).stdout
    parts = [
        subprocess.run([tool, "-c"], input=part, check=True, capture_output=True).stdout
        for part in (plain[:100_000], plain[100_000:])
    ]
    archive = tmp_path / f"t.tar.{ending}"
    archive.write_bytes(b"".join(parts))
    publisher.publish(IngestRequest(trees=(TarballTree(archive),)))
    store = publisher.repository.store
    published = published_tree(store)
    for name in ("sparse", "plain"):
        path = f"/{name}".encode()
        assert content(store, published, path, entries(store)[path]) == (tree / name).read_bytes()


def test_an_archive_may_lack_every_directory(publisher: Publisher, tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "t.tar", Member("a/b/f", mtime=5), directory("a", mode=0o700, mtime=6))
    publisher.publish(IngestRequest(trees=(TarballTree(archive),)))
    found = entries(publisher.repository.store)
    assert (found[b"/a"].permissions, found[b"/a"].mtime) == (0o700, 6)
    assert found[b"/a/b"].permissions == 0o755
    later = replace(IngestRequest(), trees=(TarballTree(write_archive(tmp_path / "u.tar", Member("a/b/g"))),))
    publisher.publish(later)
    assert entries(publisher.repository.store)[b"/a"].permissions == 0o700
