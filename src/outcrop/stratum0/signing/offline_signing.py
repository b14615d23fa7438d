"""Renewing a whitelist whose master key is elsewhere: a request goes to the key, a signature comes back.

What comes back is believed only as far as it proves itself: the signature must fit the request and the public key that
clients hold, and the request must still be what the repository needs now.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from pathlib import Path

from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.names import RepositoryName
from outcrop.cvmfs.signatures import is_whitelist_signature
from outcrop.cvmfs.signed_text import SignedText
from outcrop.cvmfs.whitelist import Whitelist
from outcrop.errors import InvalidValue, NotFound, TrustError, storage_error
from outcrop.stratum0.repository import OwnedRepository
from outcrop.stratum0.signing.key_files import PUBLIC_MODE, read_public_key, remove_key_file, write_key_file
from outcrop.stratum0.signing.keys import KeyFiles
from outcrop.stratum0.signing.master_key import MasterKey, sign_whitelist
from outcrop.stratum0.signing.rotation_record import load_rotation
from outcrop.stratum0.signing.signing_request import SigningRequest
from outcrop.stratum0.signing.whitelist_care import (
    own_fingerprint,
    publish_whitelist,
    readable_whitelist,
    upcoming_whitelist,
)
from outcrop.stratum0.signing.whitelist_rules import required_fingerprints


def make_request(
    repository: OwnedRepository, now: datetime, days: int, drop: Collection[Digest] = ()
) -> SigningRequest:
    """The whitelist that the repository needs now, to be signed elsewhere."""
    return SigningRequest(upcoming_whitelist(repository, now, days, drop), repository.settings.algorithm)


def export_request(repository: OwnedRepository, request: SigningRequest, target: Path) -> None:
    """Writes `request` to `target`, and keeps a copy beside the keys, so that the signature alone may come back."""
    data = request.encode()
    write_key_file(repository.keys.signing_request, data, PUBLIC_MODE)
    try:
        target.write_bytes(data)
    except OSError as error:
        raise storage_error(error, str(target)) from error


def pending_request(files: KeyFiles) -> SigningRequest:
    """The request that was exported last; NotFound if none waits for its signature."""
    try:
        data = files.signing_request.read_bytes()
    except FileNotFoundError as error:
        raise NotFound(
            what=f"a request of {files.repository} that waits for its signature",
            hint="name the file of the request behind that of the signature",
        ) from error
    except OSError as error:
        raise storage_error(error) from error
    return SigningRequest.parse(data, str(files.signing_request))


def require_worth_signing(request: SigningRequest, repository: RepositoryName, now: datetime) -> None:
    """InvalidValue if `request` is for another repository, TrustError if it has expired."""
    whitelist = request.whitelist
    if whitelist.repository != repository:
        raise InvalidValue(
            what="the request",
            problem=f"is for {whitelist.repository}, not for {repository}",
            hint=f"to go on with it, say `outcrop repo resign {whitelist.repository}`",
        )
    if now >= whitelist.expires:
        raise TrustError(
            what="the request",
            problem=f"the whitelist in it expired on {whitelist.expires:%Y-%m-%d at %H:%M} UTC",
            hint=f"export another: `outcrop repo resign {repository} --export-request FILE`",
        )


def sign_request(request: SigningRequest, master_key: MasterKey) -> bytes:
    """The signature that `request` asks for. It needs no repository."""
    signed = sign_whitelist(request.whitelist, request.algorithm, master_key)
    return SignedText.parse(signed, "the signed whitelist").signature


def check_signature(repository: OwnedRepository, request: SigningRequest, signature: bytes, now: datetime) -> None:
    """Lets a signature pass that proves what the repository needs now; otherwise an error says what is wrong.

    InvalidValue for a request of another repository. TrustError for an expired request, one that is older than the
    published whitelist or lists too few certificates, and for a signature that the public key does not confirm."""
    require_worth_signing(request, repository.name, now)
    again = f"export another: `outcrop repo resign {repository.name} --export-request FILE`"
    digest_text = request.digest.text.encode("ascii")
    files = (repository.keys.public_key, repository.keys.next_public_key)
    keys = [read_public_key(path) for path in files if path == files[0] or path.exists()]
    if not any(is_whitelist_signature(key, signature, digest_text) for key in keys):
        raise TrustError(
            what="the signature",
            problem=f"{repository.keys.public_key} does not confirm it for this request",
            hint="sign with `outcrop repo resign --sign-request` or `openssl pkeyutl -sign`, with the master key and "
            "nothing else; nothing was changed",
        )
    if request.algorithm is not repository.settings.algorithm:
        problem = f"its digest is of {request.algorithm.label}, the repository's of {repository.settings.hash}"
        raise TrustError(what="the request", problem=problem, hint=again)
    published = readable_whitelist(repository)
    if published is not None and request.whitelist.issued < published.whitelist.issued:
        raise TrustError(
            what="the request",
            problem=f"it was made on {request.whitelist.issued:%Y-%m-%d at %H:%M:%S} UTC, before the whitelist that is "
            "published",
            hint=again,
        )
    required = required_fingerprints(own_fingerprint(repository), load_rotation(repository.keys), now)
    missing = [one.text for one in required if one not in request.whitelist.fingerprints]
    if missing:
        problem = f"its whitelist does not list {missing[0]}, which readers need now"
        raise TrustError(what="the request", problem=problem, hint=again)


def import_signature(
    repository: OwnedRepository, request: SigningRequest, signature: bytes, now: datetime
) -> Whitelist:
    """Publishes the whitelist of `request` with its signature; errors as `check_signature`, before anything changes."""
    with repository.publishing():
        check_signature(repository, request, signature, now)
        publish_whitelist(repository, SignedText(request.text, request.digest, signature).encode(), now)
        remove_key_file(repository.keys.signing_request)
    return request.whitelist
