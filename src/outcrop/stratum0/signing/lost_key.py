"""A signing key that is lost: what still proves that the published manifest is ours.

Its certificate does, which is `FQRN.crt`. Where that is gone too, the store has a copy, and the whitelist, which the
master key signed, says whether it is ours. A new key then takes over as in any rotation
(`outcrop.stratum0.signing.rotation`): the lost one is needed for none of its steps.
"""

from __future__ import annotations

from outcrop.cvmfs.certificate import Certificate
from outcrop.cvmfs.manifest import Manifest
from outcrop.cvmfs.objects import MANIFEST_NAME, ObjectKind
from outcrop.cvmfs.signed_text import SignedText
from outcrop.errors import InvalidValue, TrustError
from outcrop.stratum0.repository import OwnedRepository
from outcrop.stratum0.signing.key_files import PUBLIC_MODE, read_certificate, write_key_file
from outcrop.stratum0.signing.keys import KeyFiles
from outcrop.stratum0.signing.whitelist_care import published_whitelist


def known_certificate(repository: OwnedRepository) -> Certificate:
    """The certificate of the lost key: the file, or what the published manifest names and our whitelist lists.

    InvalidValue if the key is not lost, TrustError if the whitelist does not list the certificate."""
    _require_lost(repository.keys)
    if repository.keys.certificate.exists():
        return read_certificate(repository.keys.certificate)
    what = f"{repository.store.address}/{MANIFEST_NAME}"
    manifest = Manifest.parse(SignedText.parse(repository.store.read(MANIFEST_NAME), what).text)
    certificate = Certificate.parse(repository.load_database(manifest.certificate, ObjectKind.CERTIFICATE), what)
    listed = published_whitelist(repository).whitelist.fingerprints
    if not any(certificate.fingerprint(one.algorithm) == one for one in listed):
        raise TrustError(
            what=what,
            problem="the whitelist does not list the certificate that it names",
            hint=f"bring {repository.keys.certificate.name} back from a backup; nothing was changed",
        )
    return certificate


def keep_certificate(files: KeyFiles, certificate: Certificate) -> None:
    """Writes the `certificate` of the lost key beside the other keys, unless it is there."""
    if not files.certificate.exists():
        write_key_file(files.certificate, certificate.pem, PUBLIC_MODE)


def _require_lost(files: KeyFiles) -> None:
    if files.signing_key.exists():
        raise InvalidValue(
            what=f"the signing key {files.signing_key}",
            problem="is there",
            hint=f"`outcrop repo rotate {files.repository}` replaces it; if it is of no use, move it away first",
        )
