"""Replacing the master key: every client has to get the new public key first, by whatever way it got the old one.

A whitelist has one signature, so there is one moment at which the new key takes over. Clients take several public keys
and believe any of them: those that have both by then notice nothing, those that have only the old one are cut off.

1. **Prepare**: `FQRN.masterkey.next` and `FQRN.pub.next`. The owner hands out the latter, beside FQRN.pub.
2. **Activate**: a whitelist signed with the new key is published, then the new files take the place of the old ones.

The old files stay as `.previous` until the owner removes them: with the old key the step can be taken back. For a key
that is offline or on a token the owner makes the new one there, and puts its public half here as `FQRN.pub.next`; the
whitelist signed with it (`resign --import-signature`) is what activates it.
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from pathlib import Path

from msgspec import structs

from outcrop.cvmfs.whitelist import Whitelist
from outcrop.errors import AlreadyExists, NotFound
from outcrop.stratum0.repository import OwnedRepository
from outcrop.stratum0.settings import save_settings
from outcrop.stratum0.signing.key_files import (
    move_key_file,
    read_private_key,
    read_public_key,
    write_private_key,
    write_public_key,
)
from outcrop.stratum0.signing.keys import WHITELIST_DAYS, KeyFiles, create_next_master_key
from outcrop.stratum0.signing.master_key import FileMasterKey, sign_whitelist
from outcrop.stratum0.signing.whitelist_care import publish_whitelist, readable_whitelist, upcoming_whitelist


class MasterRotation(Enum):
    """How far the rotation of a master key is; the value is how people are told."""

    NONE = "none"
    PREPARED = "prepared"
    SIGNED = "signed"
    """The published whitelist is signed with the next key, which has not taken the old one's place yet."""


def master_rotation(repository: OwnedRepository) -> MasterRotation:
    """How far the rotation of the master key is."""
    files = repository.keys
    if not files.next_public_key.exists():
        return MasterRotation.PREPARED if files.next_master_key.exists() else MasterRotation.NONE
    published = readable_whitelist(repository)
    upcoming = read_public_key(files.next_public_key).public_numbers()
    signed = published is not None and published.signed_by.public_numbers() == upcoming
    return MasterRotation.SIGNED if signed else MasterRotation.PREPARED


def prepare(repository: OwnedRepository) -> list[Path]:
    """Makes the next master key, unless its public half is there already; returns the files that were written.

    AlreadyExists while the key before the present one is kept: it would be lost."""
    files = repository.keys
    require_no_older_key(files)
    with repository.exclusively():
        if files.next_public_key.exists() and not files.next_master_key.exists():
            return []  # its private half is elsewhere
        return create_next_master_key(files)


def activate(repository: OwnedRepository, now: datetime, days: int = WHITELIST_DAYS) -> Whitelist | None:
    """Signs the whitelist with the next master key and puts its files in the place of the present ones.

    Returns the whitelist, or None if one that is signed with the next key was published before. NotFound if there is no
    next key, or neither its private half nor a whitelist signed with it. An interrupted call can be repeated."""
    files = repository.keys
    state = master_rotation(repository)
    require_usable(files, state)
    with repository.publishing():
        whitelist = None
        if files.next_master_key.exists():
            key = FileMasterKey(str(files.next_master_key), read_private_key(files.next_master_key))
            whitelist = upcoming_whitelist(repository, now, days)
            publish_whitelist(repository, sign_whitelist(whitelist, repository.settings.algorithm, key), now)
        _swap(files)
        if repository.settings.master_key:
            save_settings(files.directory, structs.replace(repository.settings, master_key=""))
    return whitelist


def require_no_older_key(files: KeyFiles) -> None:
    """AlreadyExists while the master key before the present one, or its public half, is still there."""
    for path in (files.previous_master_key, files.previous_public_key):
        if path.exists():
            raise AlreadyExists(
                what=f"the key of the rotation before, {path},",
                hint="when every client has the present FQRN.pub, move it to a safe place or delete it; then try again",
            )


def require_usable(files: KeyFiles, state: MasterRotation) -> None:
    """NotFound, with the way on, unless there is a next master key that can take over."""
    command = f"outcrop repo rotate {files.repository} --master"
    if state is MasterRotation.NONE:
        raise NotFound(what=f"a next master key of {files.repository}", hint=f"`{command}` makes it")
    if state is MasterRotation.PREPARED and not files.next_master_key.exists():
        raise NotFound(
            what=f"the private half of {files.next_public_key.name}",
            hint=f"if it is kept elsewhere, let it sign what `outcrop repo resign {files.repository} --export-request "
            "FILE` makes, import the signature, then try again",
        )


def _swap(files: KeyFiles) -> None:
    """The next key in the place of the present one, which stays as the previous one. What is done is not done again."""
    upcoming = read_public_key(files.next_public_key)
    present = read_public_key(files.public_key)
    if present.public_numbers() != upcoming.public_numbers() and not files.previous_public_key.exists():
        write_public_key(files.previous_public_key, present)
    if files.master_key.exists():
        secret = read_private_key(files.master_key)
        if secret.public_key().public_numbers() != upcoming.public_numbers():
            write_private_key(files.previous_master_key, secret)
            if not files.next_master_key.exists():
                files.master_key.unlink()  # the next one is kept elsewhere
    move_key_file(files.next_master_key, files.master_key)
    move_key_file(files.next_public_key, files.public_key)
