"""The check finds nothing in what the stock tools published, and names each thing broken in a copy of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from outcrop.stratum0.check.problems import Kind
from outcrop.stratum0.check.repository import FAST, FULL, CheckRequest
from tests.conformance.section16_mutations import MUTATIONS, RMD, TEST, VARIANTS, Mutation
from tests.conformance.section16_republisher import Republisher, copy_repository, private_key
from tests.cvmfs.samples import DIRECTORY
from tests.stratum0.checking import check_sample, told, unpack_samples

OpenSample = Callable[[str], Republisher]

ODDITY = b"/ingested/t/s"
"""A link of size 0, as the stock `ingest` writes it."""


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every sample repository, not to be changed."""
    return unpack_samples(tmp_path_factory.mktemp("samples"))


@pytest.fixture
def open_sample(samples: Path, tmp_path: Path) -> OpenSample:
    """Copies a sample by name, with the keys to sign changes."""

    def copy(fqrn: str) -> Republisher:
        copy_repository(samples / fqrn, tmp_path / fqrn)
        keys = DIRECTORY / "keys"
        return Republisher(tmp_path / fqrn, private_key(keys / f"{fqrn}.key"), private_key(keys / f"{fqrn}.masterkey"))

    return copy


@pytest.mark.parametrize("request_", [FAST, FULL], ids=["fast", "full"])
@pytest.mark.parametrize("directory", [TEST, "s1.test"])
def test_stock_repositories_are_clean(samples: Path, directory: str, request_: CheckRequest) -> None:
    report = check_sample(samples / directory, TEST, request_)

    assert report.problems == ()
    assert (report.revisions, report.catalogs, report.entries) == (4, 18, 464)


@pytest.mark.parametrize("request_", [FAST, FULL], ids=["fast", "full"])
def test_mixed_algorithms_and_bind_mountpoints_are_clean_but_for_an_odd_link(
    samples: Path, request_: CheckRequest
) -> None:
    (oddity,) = check_sample(samples / RMD, RMD, request_).problems

    assert (oddity.kind, oddity.path) == (Kind.ODDITY, ODDITY)


def mutation_name(mutation: Mutation) -> str:
    return " ".join([*sorted(mutation.expected), mutation.name])


@pytest.mark.parametrize("mutation", MUTATIONS, ids=mutation_name)
def test_every_broken_thing_is_found(open_sample: OpenSample, mutation: Mutation) -> None:
    repository = open_sample(mutation.fqrn)

    mutation.apply(repository)

    report = check_sample(repository.directory, mutation.fqrn, FULL)
    assert [problem for problem in report.problems if problem.path != ODDITY]


@pytest.mark.parametrize("mutation", VARIANTS, ids=mutation_name)
def test_unusual_but_legal_repositories_are_clean(open_sample: OpenSample, mutation: Mutation) -> None:
    repository = open_sample(mutation.fqrn)

    mutation.apply(repository)

    report = check_sample(repository.directory, mutation.fqrn, FULL)
    assert told(report) == []
