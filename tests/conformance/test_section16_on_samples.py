"""The checker finds nothing in what the stock tools published, and names each thing broken in a copy of it."""

from __future__ import annotations

import hashlib
import random
import tarfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from .section16 import Severity, Violation, check_repository
from .section16_mutations import MUTATIONS, RMD, TEST, VARIANTS, Mutation
from .section16_republisher import (
    MANIFEST,
    REFLOG,
    WHITELIST,
    Republisher,
    copy_repository,
    private_key,
    sql,
    write_anew,
)

SAMPLES = Path(__file__).parents[1] / "data" / "cvmfs"
SAMPLE_TIME = datetime(2026, 11, 21, 12, tzinfo=UTC)
EXPIRY_HOUR = datetime(2046, 11, 16, 2, tzinfo=UTC)
"""The hour in which the whitelists of the samples expire."""
ODDITY = " /ingested/t/s"
"""A link of size 0 in the sample with mixed algorithms, as the stock `ingest` writes it."""


OpenSample = Callable[[str], Republisher]


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with every sample repository, not to be changed."""
    try:
        hashlib.new("ripemd160", usedforsecurity=False)
    except ValueError:
        pytest.skip("this Python's OpenSSL has no RIPEMD-160, which the samples use")
    directory = tmp_path_factory.mktemp("samples")
    for archive in SAMPLES.glob("*.*.tar.gz"):
        with tarfile.open(archive) as tar:
            tar.extractall(directory, filter="data")
    return directory


@pytest.fixture
def open_sample(samples: Path, tmp_path: Path) -> OpenSample:
    """Copies a sample repository by name, with the keys to sign changes."""

    def copy(fqrn: str) -> Republisher:
        copy_repository(samples / fqrn, tmp_path / fqrn)
        keys = SAMPLES / "keys"
        return Republisher(tmp_path / fqrn, private_key(keys / f"{fqrn}.key"), private_key(keys / f"{fqrn}.masterkey"))

    return copy


def check(
    directory: Path, fqrn: str, *, key: str | None = None, now: datetime = SAMPLE_TIME, all_revisions: bool = False
) -> list[Violation]:
    keys = [(SAMPLES / "keys" / f"{key or fqrn}.pub").read_bytes()]
    return check_repository(directory, keys, fqrn, now=now, all_revisions=all_revisions)


def errors(found: list[Violation]) -> set[str]:
    return {violation.rule for violation in found if violation.severity is Severity.ERROR}


@pytest.mark.parametrize("all_revisions", [False, True], ids=["head", "all revisions"])
@pytest.mark.parametrize("directory", [TEST, "s1.test"])
def test_sample_is_clean(samples: Path, directory: str, all_revisions: bool) -> None:
    assert check(samples / directory, TEST, all_revisions=all_revisions) == []


@pytest.mark.parametrize("all_revisions", [False, True], ids=["head", "all revisions"])
def test_only_oddity_of_the_mixed_sample_is_a_link_that_stock_ingest_wrote(samples: Path, all_revisions: bool) -> None:
    (oddity,) = check(samples / RMD, RMD, all_revisions=all_revisions)

    assert (oddity.rule, oddity.severity) == ("16.14", Severity.WARNING)
    assert oddity.where.endswith(ODDITY)


def test_republished_sample_is_still_clean(open_sample: OpenSample) -> None:
    repository = open_sample(TEST)

    repository.change_catalog("/nested/inner", sql("UPDATE properties SET value = '2' WHERE key = 'revision'"))
    repository.change_history(sql("UPDATE tags SET description = 'same' WHERE name = 'v1.0'"))
    repository.change_whitelist(bytes)

    assert check(repository.directory, TEST) == []


def mutation_name(mutation: Mutation) -> str:
    return " ".join([*sorted(mutation.expected), mutation.name])


@pytest.mark.parametrize("mutation", [*MUTATIONS, *VARIANTS], ids=mutation_name)
def test_changed_repository_is_named_by_its_rules(open_sample: OpenSample, mutation: Mutation) -> None:
    repository = open_sample(mutation.fqrn)

    mutation.apply(repository)

    found = [each for each in check(repository.directory, mutation.fqrn) if not each.where.endswith(ODDITY)]
    assert {violation.rule for violation in found} == mutation.expected, "\n".join(map(str, found))


def test_only_all_revisions_look_into_older_ones(open_sample: OpenSample) -> None:
    repository = open_sample(TEST)
    old_nested_catalog = repository.directory / "data/df/b8c7810197fe3c8dd57d18c894ca414620274eC"
    old_nested_catalog.unlink()

    assert check(repository.directory, TEST) == []
    assert "16.11" in errors(check(repository.directory, TEST, all_revisions=True))


def test_whitelist_must_outlast_the_next_hour(samples: Path) -> None:
    assert check(samples / TEST, TEST, now=EXPIRY_HOUR - timedelta(minutes=61)) == []
    assert errors(check(samples / TEST, TEST, now=EXPIRY_HOUR - timedelta(minutes=60))) == {"16.7"}


def test_other_master_key_is_refused(samples: Path) -> None:
    assert errors(check(samples / TEST, TEST, key=RMD)) == {"16.8"}
    assert errors(check_repository(samples / TEST, [], TEST, now=SAMPLE_TIME)) == {"16.8"}
    assert errors(check_repository(samples / TEST, [b"no key"], TEST, now=SAMPLE_TIME)) == {"16.8"}


def test_other_name_is_refused_everywhere_it_stands(samples: Path) -> None:
    found = check(samples / TEST, "test.example.com", key=TEST)

    assert errors(found) == {"1.manifest", "16.7", "5.history", "6.reflog"}


def test_empty_or_missing_directory_is_reported(tmp_path: Path) -> None:
    assert {"1.manifest", "16.7"} <= errors(check(tmp_path, TEST))
    assert {"1.manifest", "16.7"} <= errors(check(tmp_path / "nowhere", TEST))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", [MANIFEST, WHITELIST, REFLOG])
def test_rubbish_is_reported_and_never_ends_the_checker(open_sample: OpenSample, name: str, seed: int) -> None:
    repository = open_sample(RMD)
    content = bytearray((repository.directory / name).read_bytes())
    chance = random.Random(seed)
    for _ in range(20):
        content[chance.randrange(len(content))] = chance.randrange(256)
    write_anew(repository.directory / name, bytes(content[: chance.randrange(len(content))]))

    assert errors(check(repository.directory, RMD))


@pytest.mark.parametrize("seed", range(8))
def test_catalog_with_random_bytes_never_ends_the_checker(open_sample: OpenSample, seed: int) -> None:
    repository = open_sample(RMD)
    chance = random.Random(seed)

    def damage(image: bytes) -> bytes:
        content = bytearray(image)
        for _ in range(40):
            content[chance.randrange(len(content))] = chance.randrange(256)
        return bytes(content)

    repository.change_catalog("/.cvmfs", damage)

    assert errors(check(repository.directory, RMD, all_revisions=True))
