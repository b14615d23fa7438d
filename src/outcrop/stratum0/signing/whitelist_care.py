"""The published whitelist: read, renewed, and held against the clock before anything is published.

A whitelist is replaced as a whole, so whoever signs one must list every certificate that clients still need: ours, the
ones of a rotation under way (`rotation_record`), and those of other publishers that the owner has let in.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import rsa

from outcrop.cvmfs.digest import Algorithm, Digest
from outcrop.cvmfs.objects import WHITELIST_NAME
from outcrop.cvmfs.signatures import is_whitelist_signature
from outcrop.cvmfs.signed_text import SignedText
from outcrop.cvmfs.whitelist import Whitelist
from outcrop.errors import FormatError, IntegrityError, NotFound, TrustError
from outcrop.stratum0.repository import OwnedRepository
from outcrop.stratum0.signing.key_files import read_certificate, read_private_key
from outcrop.stratum0.signing.keys import WHITELIST_DAYS, KeyFiles, load_public_keys
from outcrop.stratum0.signing.master_key import (
    FileMasterKey,
    MasterKey,
    MasterKeyKind,
    master_key_place,
    open_own_master_key,
    sign_whitelist,
)
from outcrop.stratum0.signing.pkcs11_key import TokenAccess
from outcrop.stratum0.signing.rotation_record import load_rotation, save_rotation
from outcrop.stratum0.signing.whitelist_rules import (
    SOON,
    WARN_BEFORE,
    fingerprints_to_list,
    required_fingerprints,
    time_left,
)


@dataclass(frozen=True, slots=True)
class PublishedWhitelist:
    """What the published whitelist says, and which of our master keys signed it."""

    whitelist: Whitelist
    signed_by: rsa.RSAPublicKey


def published_whitelist(repository: OwnedRepository) -> PublishedWhitelist:
    """The whitelist that readers see, whether or not it has expired.

    NotFound, FormatError or IntegrityError if there is none that can be read, TrustError if it is not ours."""
    what = f"{repository.store.address}/{WHITELIST_NAME}"
    signed = SignedText.parse(repository.store.read(WHITELIST_NAME), what)
    whitelist = Whitelist.parse(signed.text)
    signer = next(
        (key for key in load_public_keys(repository.keys) if _is_by(key, signed)),
        None,
    )
    if signer is None or whitelist.repository != repository.name:
        raise TrustError(
            what=what,
            problem=f"it was not signed for {repository.name} with the master key of {repository.keys.public_key.name}",
            hint=_renewal_hint(repository),
        )
    return PublishedWhitelist(whitelist, signer)


def readable_whitelist(repository: OwnedRepository) -> PublishedWhitelist | None:
    """The whitelist that readers see; None if it is missing, damaged or not ours, so that another is to be signed."""
    try:
        return published_whitelist(repository)
    except (NotFound, FormatError, IntegrityError, TrustError):
        return None


def own_fingerprint(repository: OwnedRepository) -> Digest:
    """The fingerprint by which a whitelist names our certificate."""
    return read_certificate(repository.keys.certificate).fingerprint(repository.settings.algorithm)


def upcoming_whitelist(
    repository: OwnedRepository, now: datetime, days: int = WHITELIST_DAYS, drop: Collection[Digest] = ()
) -> Whitelist:
    """What the next whitelist says if it is signed `now`: valid for `days` days, without the fingerprints in `drop`."""
    published = readable_whitelist(repository)
    fingerprints = fingerprints_to_list(
        own_fingerprint(repository),
        load_rotation(repository.keys),
        published.whitelist if published else None,
        now,
        drop,
    )
    moment = now.replace(microsecond=0)
    return Whitelist(repository.name, moment, moment + timedelta(days=days), fingerprints)


def renew_whitelist(
    repository: OwnedRepository,
    now: datetime,
    days: int = WHITELIST_DAYS,
    *,
    master_key: MasterKey | None = None,
    drop: Collection[Digest] = (),
) -> Whitelist:
    """Signs and publishes the whitelist anew, for `days` days from `now`; returns what it says.

    The repository's own master key signs unless another place of it is given. TrustError if clients do not know it."""
    with _opened(repository, master_key) as key, repository.publishing():
        _require_known_to_clients(repository, key)
        whitelist = upcoming_whitelist(repository, now, days, drop)
        publish_whitelist(repository, sign_whitelist(whitelist, repository.settings.algorithm, key), now)
    return whitelist


def publish_whitelist(repository: OwnedRepository, data: bytes, now: datetime) -> None:
    """Makes the signed whitelist `data` what readers see, and notes what that means for a rotation under way.

    Within `repository.publishing()` only."""
    rotation = load_rotation(repository.keys)
    previous = readable_whitelist(repository) if rotation is not None else None
    repository.store.replace(WHITELIST_NAME, data)
    if rotation is not None:
        listed = Whitelist.parse(SignedText.parse(data, "the whitelist").text).fingerprints
        before = previous.whitelist.fingerprints if previous is not None else ()
        save_rotation(repository.keys, rotation.after_whitelist(listed, before, now))


def signed_whitelist(files: KeyFiles, algorithm: Algorithm, now: datetime, days: int = WHITELIST_DAYS) -> bytes:
    """The bytes of a new repository's first `.cvmfswhitelist`, which lets its certificate publish for `days` days."""
    key = FileMasterKey(str(files.master_key), read_private_key(files.master_key))
    moment = now.replace(microsecond=0)
    fingerprints = (read_certificate(files.certificate).fingerprint(algorithm),)
    whitelist = Whitelist(files.repository, moment, moment + timedelta(days=days), fingerprints)
    return sign_whitelist(whitelist, algorithm, key)


def require_valid_whitelist(repository: OwnedRepository, now: datetime, *, allow_expiring: bool) -> tuple[str, ...]:
    """Lets a publish go ahead only if readers will believe it; returns sentences to warn with.

    TrustError if the published whitelist is missing, not ours, or does not list our certificate; also if it has
    expired or does so within `SOON`, unless `allow_expiring`. It warns when fewer than 14 days are left."""
    what = f"the whitelist of {repository.name}"
    hint = _renewal_hint(repository)
    try:
        whitelist = published_whitelist(repository).whitelist
    except NotFound as error:
        raise TrustError(what=what, problem="it is not there", hint=hint) from error
    required = required_fingerprints(own_fingerprint(repository), None, now)
    if not set(required) <= set(whitelist.fingerprints):
        raise TrustError(
            what=what, problem="it does not list our certificate, so readers would refuse what is published", hint=hint
        )
    left = whitelist.expires - now
    if left < SOON and not allow_expiring:
        hint = f"{hint}; `--allow-expiring` publishes all the same"
        raise TrustError(what=what, problem=f"it {time_left(whitelist, now)}", hint=hint)
    return (f"{what} {time_left(whitelist, now)}: {hint}",) if left < WARN_BEFORE else ()


def is_known_to_clients(repository: OwnedRepository, key: rsa.RSAPublicKey) -> bool:
    """Whether a whitelist signed with `key` is one that clients believe: the current master key's public half, or the
    next one's as soon as a whitelist is signed with it."""
    current, *others = load_public_keys(repository.keys)
    published = readable_whitelist(repository)
    known = [current, *[one for one in others if published is not None and _same(one, published.signed_by)]]
    return any(_same(key, one) for one in known)


@contextmanager
def _opened(repository: OwnedRepository, master_key: MasterKey | None) -> Iterator[MasterKey]:
    if master_key is not None:
        yield master_key
        return
    with open_own_master_key(repository.settings, repository.keys, TokenAccess()) as key:
        yield key


def _require_known_to_clients(repository: OwnedRepository, key: MasterKey) -> None:
    if not is_known_to_clients(repository, key.public_key):
        raise TrustError(
            what=f"the master key {key.place}",
            problem=f"its public half is not {repository.keys.public_key}, so clients would refuse what it signs",
            hint="name the right one with `--master-key`; nothing was changed",
        )


def _renewal_hint(repository: OwnedRepository) -> str:
    command = f"outcrop repo resign {repository.name}"
    if master_key_place(repository.settings, repository.keys).kind is MasterKeyKind.OFFLINE:
        return f"`{command} --export-request FILE` makes what the master key has to sign"
    return f"`{command}` signs it anew"


def _is_by(key: rsa.RSAPublicKey, signed: SignedText) -> bool:
    return is_whitelist_signature(key, signed.signature, signed.signed_bytes)


def _same(one: rsa.RSAPublicKey, other: rsa.RSAPublicKey) -> bool:
    return one.public_numbers() == other.public_numbers()
