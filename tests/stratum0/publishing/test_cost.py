"""What a publication costs follows what it changes, not what is there; memory does not grow with what comes in."""

from __future__ import annotations

import stat
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from outcrop.cvmfs.catalog import Catalog
from outcrop.cvmfs.catalog_edit import NewEntry
from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.entry import Entry, encode_entry
from outcrop.cvmfs.names import Revision
from outcrop.cvmfs.objects import ObjectKind, ObjectName
from outcrop.cvmfs.paths import ROOT, RepositoryPath, name, repository_path
from outcrop.storage.faulty import FaultyStore
from outcrop.stratum0.catalogs.catalog_tree import MARKER
from outcrop.stratum0.publishing.compressors import compressor
from outcrop.stratum0.publishing.incoming_directory import DirectoryTree
from outcrop.stratum0.publishing.incoming_tarball import TarballTree
from outcrop.stratum0.publishing.ingest import IngestOutcome, IngestRequest, ingest
from outcrop.stratum0.publishing.publication import NextRevision, publish_revision
from tests.stratum0.archives import Member, directory, write_archive
from tests.stratum0.conftest import NAME, Publisher

CATALOGS = 50
FILES = 2000
"""In each catalog: 100,000 in all."""
HANDFUL = 12


@dataclass
class Operations:
    """What a publication did to its store, by the kind of operation."""

    all: list[tuple[str, str]] = field(default_factory=list)

    def note(self, operation: str, name: str) -> None:
        self.all.append((operation, name))

    def of(self, *kinds: str) -> list[str]:
        return [name for operation, name in self.all if operation in kinds]


@dataclass
class Counted:
    """A large repository behind a store that counts."""

    publisher: Publisher

    def publish(self, request: IngestRequest) -> tuple[IngestOutcome, Operations]:
        operations = Operations()
        store = FaultyStore(self.publisher.repository.store, operations.note)
        repository = replace(self.publisher.repository, store=store)
        return ingest(repository, request, now=self.publisher.now), operations

    def catalogs(self, *paths: str) -> set[str]:
        """The names of the objects of the catalogs that are nested at `paths`, and of the root's."""
        repository = self.publisher.repository
        manifest = repository.manifest(repository.signing_key())
        digests = [manifest.root_catalog]
        tree = repository.catalog_tree(manifest)
        for path in paths:
            digests.append(nested_digest(repository.load_catalog(manifest.root_catalog), repository_path(path)))
        tree.close()
        return {ObjectName(digest, ObjectKind.CATALOG).path for digest in digests}


def nested_digest(root: bytes, path: RepositoryPath) -> Digest:
    with Catalog.parse(root) as catalog:
        reference = catalog.nested_catalog(path)
    assert reference is not None
    return reference.digest


def is_catalog(name: str) -> bool:
    return name.endswith(ObjectKind.CATALOG.value)


def directory_at(index: int) -> RepositoryPath:
    return RepositoryPath(b"/d%02d" % index)


def fill(publisher: Publisher, files: int = FILES) -> None:
    """Publishes `CATALOGS` nested catalogs of so many empty `files` each, without a look at the disk."""
    repository, key = publisher.repository, publisher.repository.signing_key()
    packed = compressor(repository.settings.compressor)(b"")
    digest = Digest.of(packed)
    repository.store.write(ObjectName(digest, ObjectKind.FILE).path, packed)
    file = Entry(b"", stat.S_IFREG | 0o644, mtime=1, digest=digest)
    manifest = repository.manifest(key)
    tree = repository.catalog_tree(manifest)
    for index in range(CATALOGS):
        top = directory_at(index)
        tree.put(top, Entry(name(top), stat.S_IFDIR | 0o755, size=4096, mtime=1, linkcount=2))
        tree.make_nested(top)
        names = [MARKER, *(b"f%04d" % number for number in range(files))]
        tree.add(top, [NewEntry(encode_entry(replace(file, name=each))) for each in names])
        tree.rest()
    written = tree.write(
        lambda data: repository.store_database(data, ObjectKind.CATALOG), revision=2, now=1_700_000_000, ttl=240
    )
    tree.close()
    assert written.catalogs == CATALOGS + 1
    now = int(publisher.now.timestamp())
    publish_revision(repository, key, manifest, NextRevision(written.root, Revision(2), now))


@pytest.fixture
def large(publisher: Publisher) -> Counted:
    fill(publisher)
    return Counted(publisher)


def test_one_file_costs_a_handful_of_objects(large: Counted, tmp_path: Path) -> None:
    before = large.catalogs("/d07")
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "new").write_text("a file")
    outcome, operations = large.publish(IngestRequest(trees=(DirectoryTree(tree),), at=repository_path("/d07")))
    assert (outcome.summary.added, outcome.summary.catalogs) == (1, 2)
    assert {name for name in operations.of("read") if is_catalog(name)} == before
    written = operations.of("write", "replace")
    assert {name for name in written if is_catalog(name)} == large.catalogs("/d07")
    assert len(written) <= HANDFUL, written
    assert len(operations.of("read")) <= HANDFUL, operations.of("read")
    assert len(operations.of("exists")) <= HANDFUL, operations.of("exists")
    assert len(operations.of("sync")) == 1
    assert operations.of("names") == []


def test_a_removal_costs_a_handful_of_objects(large: Counted) -> None:
    before = large.catalogs("/d07")
    outcome, operations = large.publish(IngestRequest(delete=(repository_path("/d07"),)))
    assert outcome.summary.removed == FILES + 2
    assert {name for name in operations.of("read") if is_catalog(name)} == before
    assert {name for name in operations.of("write") if is_catalog(name)} == large.catalogs()
    assert len(operations.of("write", "replace")) <= HANDFUL


def test_no_change_costs_no_object(large: Counted, tmp_path: Path) -> None:
    """The same file comes in again, from a tree that nobody has seen before."""
    archive = write_archive(tmp_path / "t.tar", Member("f", b"x"))
    request = IngestRequest(trees=(TarballTree(archive),), at=repository_path("/d07"))
    large.publish(request)
    outcome, operations = large.publish(request)
    assert not outcome.published
    assert operations.of("write", "replace", "sync", "names") == []
    assert {name for name in operations.of("read") if is_catalog(name)} == large.catalogs("/d07")
    assert len(operations.of("read", "exists")) <= HANDFUL


def test_a_whole_tree_without_a_change_opens_few_catalogs_twice(publisher: Publisher, tmp_path: Path) -> None:
    """All of it comes in again to take the place of all that is there."""
    files = 20
    fill(publisher, files)
    members = [
        member
        for index in range(CATALOGS)
        for member in (
            directory(f"d{index:02}", mtime=1),
            Member(f"d{index:02}/.cvmfscatalog", mtime=1),
            *(Member(f"d{index:02}/f{number:04}", mtime=1) for number in range(files)),
        )
    ]
    archive = write_archive(tmp_path / "t.tar", *members)
    outcome, operations = Counted(publisher).publish(IngestRequest(trees=(TarballTree(archive),), replace=(ROOT,)))
    read = [name for name in operations.of("read") if is_catalog(name)]
    assert outcome.summary.changes == []
    assert operations.of("replace", "sync") == []
    assert len(set(operations.of("write"))) == 1, "the empty file, which this publisher has not stored before"
    assert len(set(read)) == CATALOGS + 1
    assert len(read) <= 2 * (CATALOGS + 1)


# --- memory

BYTES_A_PATH = 1000
"""What a new path may cost in memory, all told: its change in the plan, and its row in a catalog that is written (in a
database, as a copy of that, compressed). 630 were measured."""

_MEASURE = """
import sys
from datetime import datetime
from pathlib import Path
from outcrop.cvmfs.names import repository_name
from outcrop.stratum0.publishing.incoming_tarball import TarballTree
from outcrop.stratum0.publishing.ingest import IngestRequest, ingest
from outcrop.stratum0.repository import OwnedRepository

data, name, archive, now = sys.argv[1:]
repository = OwnedRepository.open(Path(data), repository_name(name))
request = IngestRequest(trees=(TarballTree(Path(archive)),))
outcome = ingest(repository, request, now=datetime.fromisoformat(now))
assert outcome.published
# `getrusage` would tell of the process that this one was forked from, too.
(line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
print(int(line.split()[1]) * 1024)
"""


def archive_of(path: Path, files: int) -> Path:
    """Empty files, a hundred in a directory; written as a stream of headers, since a library takes its time."""
    with path.open("wb") as file:
        for number in range(files):
            header = tarfile.TarInfo(f"directory{number // 100:06}/file{number:08}")
            file.write(header.tobuf(tarfile.USTAR_FORMAT))
        file.write(bytes(1024))
    return path


def peak(publisher: Publisher, archive: Path) -> int:
    """The most memory that a process which publishes `archive` ever has (bytes)."""
    arguments = [str(publisher.directory), NAME, str(archive), publisher.now.isoformat()]
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, *arguments], stdout=subprocess.PIPE, text=True, check=True, timeout=500
    )
    return int(done.stdout)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_memory_does_not_hold_an_archive(new_publisher: Callable[..., Publisher], tmp_path: Path) -> None:
    publisher = new_publisher()
    few, many = 10_000, 60_000
    small = peak(publisher, archive_of(tmp_path / "few.tar", few))
    large = peak(publisher, archive_of(tmp_path / "many.tar", many))
    assert (large - small) / (many - few) < BYTES_A_PATH, f"{small:,} and {large:,} bytes"
