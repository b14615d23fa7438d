"""What a repository's owner holds its signatures against: the keys in the data directory, as far as they are there."""

from __future__ import annotations

from datetime import datetime

from outcrop.stratum0.check.signed import Trusted
from outcrop.stratum0.repository import OwnedRepository
from outcrop.stratum0.signing.key_files import read_certificate
from outcrop.stratum0.signing.keys import load_public_keys


def trusted_by(repository: OwnedRepository, now: datetime) -> Trusted:
    """The public master keys and the certificate of `repository`; a check works without either. FormatError for a file
    that holds something else."""
    files = repository.keys
    return Trusted(
        repository.name,
        now,
        load_public_keys(files) if files.public_key.exists() else (),
        read_certificate(files.certificate) if files.certificate.exists() else None,
    )
