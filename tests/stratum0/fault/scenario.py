"""What is interrupted: a repository with a past, and the commands that change it.

The reference publish lays 210 files in three nested catalogs over a tree, with hard links, symbolic links and a chunked
file, replaces one directory, takes away another that is a catalog of its own, and tags the revision.
"""

from __future__ import annotations

import random
import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from outcrop.cvmfs.metainfo import Metainfo
from outcrop.cvmfs.names import repository_name
from outcrop.cvmfs.objects import ObjectKind
from outcrop.cvmfs.paths import repository_path
from outcrop.stratum0.create import create_repository, plan_creation
from outcrop.stratum0.publishing.content_index import SETTLED_NANOSECONDS
from outcrop.stratum0.publishing.incoming_directory import DirectoryTree
from outcrop.stratum0.publishing.ingest import IngestRequest, ingest
from outcrop.stratum0.repository import OwnedRepository
from outcrop.stratum0.settings import RepositorySettings
from outcrop.stratum0.signing.key_files import new_private_key, write_private_key
from outcrop.stratum0.signing.keys import KeyFiles, create_missing_keys
from outcrop.stratum0.transactions.lease import Leases
from outcrop.stratum0.transactions.overlay import Way
from outcrop.stratum0.transactions.transaction_record import (
    Stage,
    TransactionPlace,
    TransactionRecord,
    transactions_home,
)

NAME = repository_name("fault.example.org")
TRANSACTION = "20261121-120000"

_CHUNK_BYTES = 32 * 1024
"""Small, so that a file of some hundred kilobytes has several chunks."""
_KEY_BITS = 1024
"""They guard nothing, and are read thousands of times: a real key takes longer to read than all else that is done."""
_CHUNKED_BYTES = 250_000
_NEW_FILES = 70
_PUBLISHED_BEFORE = ("past", "before", "touch")
"""The trees of the revisions 2, 3 and 4. That of revision 2 has no tag of its own: it is what a collection removes."""


@dataclass(frozen=True, slots=True)
class Action:
    """A command that is interrupted, and where it begins: `setting` is one of a `Scenario`. `clears_up` is whether it
    takes away what an interrupted command has left in the storage."""

    name: str
    setting: str
    arguments: tuple[str, ...]
    clears_up: bool = True


class Scenario:
    """Everything that the tests begin from, below the new directory `top`: trees to publish, and settings, that is
    directories with a repository in `data`.

    Everything happens in one `arena`, which becomes a copy of a setting for each attempt: a repository that was moved
    begins its content index anew."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.trees = top / "trees"
        self.arena = top / "arena"
        self.temporary = top / "temporary"
        self._settings = top / "settings"
        self._noise = random.Random(20261121)
        self._build_trees()
        self._build_settings()
        # What changed a moment ago is not trusted by the content index: all runs shall find the trees settled.
        time.sleep(SETTLED_NANOSECONDS / 1e9 + 0.1)

    @property
    def publish(self) -> Action:
        """The reference publish."""
        return Action(
            "publish",
            "repository",
            ("repo", "ingest", NAME, str(self.trees / "after"), "--at", "/software",
             "--replace", "/software/replaced", "--delete", "/software/gone", "--tag", "reference",
             "--message", "The reference publish", "--author", "tests"),
        )  # fmt: skip

    @property
    def next_publish(self) -> Action:
        """What comes after it."""
        return Action(
            "next publish", "repository", ("repo", "ingest", NAME, str(self.trees / "next"), "--at", "/software")
        )

    @property
    def others(self) -> tuple[Action, ...]:
        """Other commands that change the repository."""
        return (
            Action("tag", "repository", ("repo", "tag", NAME, "named", "--message", "A name")),
            Action("rollback", "repository", ("repo", "rollback", NAME, "trunk-previous")),
            Action("gc", "repository", ("repo", "gc", NAME, "--keep-days", "0")),
            Action("resign", "repository", ("repo", "resign", NAME, "--days", "40")),
            Action("transaction-publish", "transaction", ("repo", "publish", NAME, "--transaction", TRANSACTION)),
            Action("transaction-abort", "transaction", ("repo", "abort", NAME, "--transaction", TRANSACTION)),
            Action("create", "keys", ("repo", "create", NAME), clears_up=False),
        )

    def begin(self, setting: str) -> Path:
        """The arena, where nothing but that setting is any more."""
        shutil.rmtree(self.arena, ignore_errors=True)
        shutil.copytree(self._settings / setting, self.arena, symlinks=True)
        return self.arena

    def _build_trees(self) -> None:
        self._files(self.trees / "past", "old", 20)
        before = self.trees / "before"
        self._files(before, "gone", 15)
        (before / "gone" / ".cvmfscatalog").touch()
        self._files(before, "replaced", 10)
        self._files(before, "kept", 10)
        self._files(self.trees / "touch", "kept", 2)
        after = self.trees / "after"
        for directory in ("a", "a/b", "c"):
            self._files(after, directory, _NEW_FILES)
        for directory in ("a", "a/b", "c"):
            (after / directory / ".cvmfscatalog").touch()
        self._files(after, "replaced", 5)
        (after / "chunked").write_bytes(self._noise.randbytes(_CHUNKED_BYTES))
        (after / "a" / "linked").write_bytes(b"three names")
        for number in (1, 2):
            (after / "a" / f"linked again {number}").hardlink_to(after / "a" / "linked")
        (after / "a" / "symbolic").symlink_to("$(SOMEWHERE:-/opt)/file")
        (after / "copy of f0").write_bytes((after / "a" / "f0").read_bytes())
        self._files(self.trees / "next", "next", 3)
        self._files(self.trees / "changed", "kept", 5)

    def _files(self, top: Path, directory: str, number: int) -> None:
        (top / directory).mkdir(parents=True)
        for one in range(number):
            (top / directory / f"f{one}").write_bytes(self._noise.randbytes(self._noise.randrange(50, 3000)))

    def _build_settings(self) -> None:
        data = self.arena / "data"
        data.mkdir(parents=True)
        keys = KeyFiles(data, NAME)
        for secret in (keys.master_key, keys.signing_key):
            write_private_key(secret, new_private_key(_KEY_BITS))
        create_missing_keys(keys, datetime.now(UTC))
        self._keep_as("keys")
        self._build_repository(data)
        self._keep_as("repository")
        self._build_transaction(data)
        self._keep_as("transaction")

    def _keep_as(self, setting: str) -> None:
        shutil.copytree(self.arena, self._settings / setting, symlinks=True)

    def _build_repository(self, data: Path) -> None:
        settings = RepositorySettings(
            name=NAME,
            storage=str(data / "storage" / NAME),
            minimum_chunk_size=_CHUNK_BYTES // 2,
            average_chunk_size=_CHUNK_BYTES,
            maximum_chunk_size=_CHUNK_BYTES * 2,
        )
        create_repository(plan_creation(data, settings, Metainfo(organisation="Tests")), datetime.now(UTC))
        repository = OwnedRepository.open(data, NAME)
        at = repository_path("/software")
        for tree in _PUBLISHED_BEFORE:
            replace = (at,) if tree == "before" else ()
            request = IngestRequest(trees=(DirectoryTree(self.trees / tree),), at=at, replace=replace)
            assert ingest(repository, request, now=datetime.now(UTC)).published
        # What a publish that was given up has left.
        repository.store_database(b"Nothing refers to this.\n", ObjectKind.CERTIFICATE)

    def _build_transaction(self, data: Path) -> None:
        """A transaction whose machine was restarted: nothing is mounted, the upper directory is there.

        fuse-overlayfs marks what is gone with files, which any user can make."""
        repository = OwnedRepository.open(data, NAME)
        manifest = repository.manifest(repository.signing_key())
        place = TransactionPlace(transactions_home(data, NAME), TRANSACTION)
        place.directory.mkdir(parents=True)
        place.prepare(None)
        leases = Leases(data, NAME)
        leases.take(TRANSACTION, [repository_path("/software")], "tests", datetime.now(UTC))
        record = TransactionRecord(
            name=TRANSACTION,
            path=repository_path("/software"),
            holder=leases.holder,
            since=datetime.now(UTC),
            base=manifest.root_catalog,
            base_revision=manifest.revision,
            way=Way.FUSE,
            stage=Stage.OPEN,
        )
        place.save(record)
        upper = place.upper / "software"
        shutil.copytree(self.trees / "changed", upper, symlinks=True)
        (upper / ".wh.gone").touch()
