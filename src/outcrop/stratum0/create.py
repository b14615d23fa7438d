"""A new repository: keys, an empty signed revision, and the owner's record of it.

Every step can be done again, and the record is written last: a creation that was interrupted is finished by the same
command. What belongs to somebody else is never overwritten.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from outcrop.cvmfs.entry import Entry
from outcrop.cvmfs.freshness_announcement import DAY_SECONDS
from outcrop.cvmfs.manifest import Manifest
from outcrop.cvmfs.metainfo import Metainfo
from outcrop.cvmfs.names import Revision
from outcrop.cvmfs.objects import (
    MANIFEST_NAME,
    MASTER_REPLICA_NAME,
    WHITELIST_NAME,
    ObjectKind,
)
from outcrop.errors import AlreadyExists, FormatError, TrustError, storage_error
from outcrop.storage.places import create_store
from outcrop.stratum0.catalogs.catalog_tree import CatalogTree
from outcrop.stratum0.lock import exclusive
from outcrop.stratum0.publishing.account import account_of
from outcrop.stratum0.publishing.change import ChangeSummary
from outcrop.stratum0.publishing.publication import NextRevision, publish_revision
from outcrop.stratum0.repository import OwnedRepository
from outcrop.stratum0.settings import RepositorySettings, record_path, save_settings
from outcrop.stratum0.signing.keys import (
    WHITELIST_DAYS,
    KeyFiles,
    SigningKey,
    create_missing_keys,
    load_signing_key,
)
from outcrop.stratum0.signing.whitelist_care import signed_whitelist
from outcrop.stratum0.signing.whitelist_rules import counted

ROOT_MODE = stat.S_IFDIR | 0o755
FIRST_REVISION = Revision(1)
FIRST_MESSAGE = "Created"
DIRECTORY_BYTES = 4096
"""The size that directories show, as on most disks; nothing depends on it."""


@dataclass(frozen=True, slots=True)
class CreationPlan:
    """What creating a repository makes. `author` is who the log says has made it."""

    settings: RepositorySettings
    keys: KeyFiles
    record: Path
    metainfo: Metainfo
    whitelist_days: int = WHITELIST_DAYS
    author: str = ""

    def steps(self) -> list[str]:
        """The plan, a line for each thing that is made."""
        lines = [f"key {path}" + (" (is there, kept)" if path.exists() else "") for path in self.keys.all()]
        lines.append(f"storage {self.settings.storage}")
        lines.append(f"revision {FIRST_REVISION}, empty, signed, whitelisted for {self.whitelist_days} days")
        if self.metainfo.freshness is not None:
            lines.append(
                f"freshness record, good for {counted(self.metainfo.freshness.maximum_age // DAY_SECONDS, 'day')}"
            )
        lines.append(f"record {self.record}")
        return lines


def plan_creation(
    data_directory: Path,
    settings: RepositorySettings,
    metainfo: Metainfo,
    whitelist_days: int = WHITELIST_DAYS,
    author: str = "",
) -> CreationPlan:
    """What `create_repository` would do; AlreadyExists if the user has a repository of that name."""
    record = record_path(data_directory, settings.repository)
    if record.exists():
        raise AlreadyExists(
            what=f"the repository {settings.name}",
            hint=f"`outcrop repo log {settings.name}` shows it; its record is {record}",
        )
    return CreationPlan(
        settings, KeyFiles(data_directory, settings.repository), record, metainfo, whitelist_days, author
    )


def create_repository(plan: CreationPlan, now: datetime) -> OwnedRepository:
    """Makes the repository that `plan` describes."""
    lock = plan.keys.directory / f"{plan.settings.name}.lock"
    try:
        with exclusive(lock, f"the repository {plan.settings.name}"):
            try:
                return _create(plan, now)
            except BaseException:
                # Without a record there is no repository that the lock could guard.
                lock.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise storage_error(error, "" if error.filename else f"the data directory {plan.keys.directory}") from error


def _create(plan: CreationPlan, now: datetime) -> OwnedRepository:
    settings, keys = plan.settings, plan.keys
    create_missing_keys(keys, now)
    key = load_signing_key(keys)
    store = create_store(settings.storage)
    repository = OwnedRepository(settings, keys, store)
    _refuse_what_others_publish(repository, key)
    store.replace(WHITELIST_NAME, signed_whitelist(keys, settings.algorithm, now, plan.whitelist_days))
    _publish_first_revision(repository, key, plan, int(now.timestamp()))
    store.replace(MASTER_REPLICA_NAME, b"This file marks the repository as one that may be replicated.\n")
    save_settings(keys.directory, settings)
    return repository


def _refuse_what_others_publish(repository: OwnedRepository, key: SigningKey) -> None:
    if not repository.store.exists(MANIFEST_NAME):
        return
    try:
        repository.manifest(key)
    except (FormatError, TrustError) as error:
        raise AlreadyExists(
            what=f"another repository in {repository.store.address}",
            hint="choose another place with `--storage`",
        ) from error


def _publish_first_revision(repository: OwnedRepository, key: SigningKey, plan: CreationPlan, now: int) -> None:
    root = Entry(name=b"", mode=ROOT_MODE, size=DIRECTORY_BYTES, mtime=now, linkcount=2)
    tree = CatalogTree(repository.load_catalog, None, root)
    written = tree.write(
        lambda data: repository.store_database(data, ObjectKind.CATALOG),
        revision=FIRST_REVISION,
        now=now,
        ttl=repository.settings.ttl,
    )
    tree.close()
    certificate = repository.store_database(key.certificate.pem, ObjectKind.CERTIFICATE)
    draft = Manifest(
        repository=repository.name,
        revision=FIRST_REVISION,
        root_catalog=written.root.digest,
        root_catalog_size=written.root.size,
        certificate=certificate,
        metainfo=repository.store_database(plan.metainfo.encode(), ObjectKind.METAINFO),
    )
    account = account_of(
        ChangeSummary(), revision=FIRST_REVISION, root=written.root, now=now, author=plan.author, message=FIRST_MESSAGE
    )
    publish_revision(repository, key, draft, NextRevision(written.root, FIRST_REVISION, now, account=account))
