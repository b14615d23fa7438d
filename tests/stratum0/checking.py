"""Checks of sample repositories and of those that tests publish, and copies of them to break."""

from __future__ import annotations

import hashlib
import tarfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from outcrop.cvmfs.names import RepositoryName
from outcrop.cvmfs.signatures import load_public_key
from outcrop.storage.directory import DirectoryStore
from outcrop.stratum0.check.problems import Severity
from outcrop.stratum0.check.report import CheckReport
from outcrop.stratum0.check.repository import FAST, CheckRequest, check_repository
from outcrop.stratum0.check.signed import Trusted
from tests.cvmfs.samples import DIRECTORY
from tests.stratum0.conftest import NAME, Publisher

SAMPLE_TIME = datetime(2026, 11, 21, 12, tzinfo=UTC)


def require_rmd160() -> None:
    """Skips where the samples' digests cannot be computed."""
    try:
        hashlib.new("ripemd160", usedforsecurity=False)
    except ValueError:
        pytest.skip("this Python's OpenSSL has no RIPEMD-160, which the samples use")


def unpack_samples(directory: Path) -> Path:
    """Every sample repository below `directory`."""
    require_rmd160()
    for archive in DIRECTORY.glob("*.*.tar.gz"):
        with tarfile.open(archive) as tar:
            tar.extractall(directory, filter="data")
    return directory


def trusted_sample(fqrn: str, now: datetime = SAMPLE_TIME) -> Trusted:
    """What proves the sample called `fqrn`."""
    pem = (DIRECTORY / "keys" / f"{fqrn}.pub").read_bytes()
    return Trusted(RepositoryName(fqrn), now, (load_public_key(pem, fqrn),))


def check_sample(directory: Path, fqrn: str, request: CheckRequest = FAST) -> CheckReport:
    """The check of a copy of a sample."""
    return check_repository(DirectoryStore(directory), trusted_sample(fqrn), request)


def check_published(publisher: Publisher, request: CheckRequest = FAST) -> CheckReport:
    """The check of a repository that a test has published."""
    key = load_public_key(publisher.public_key, "the key")
    trusted = Trusted(NAME, publisher.now + timedelta(seconds=1), (key,))
    return check_repository(publisher.repository.store, trusted, request)


def told(report: CheckReport, *, notes: bool = False) -> list[str]:
    """What the report says, with or without notes."""
    return [str(problem) for problem in report.problems if notes or problem.severity is not Severity.NOTE]
