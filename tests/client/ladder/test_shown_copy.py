"""A copy that is there is used without a question to anybody, as long as it is known to be the current one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from outcrop.client.known_repository import RepositoryAddress
from outcrop.client.ladder.copies import contents_of
from outcrop.client.ladder.copy_contents import look_next_time
from outcrop.client.ladder.request import RunRequest
from outcrop.client.ladder.shown_copy import copy_for
from outcrop.client.recent_proof import RecentProof
from outcrop.client.repository import CURRENT, RevisionChoice
from tests.client.published import NAME, NOW, Published, library, signed_manifest
from tests.client.reading import Reader

TTL = 240


class Machine:
    """A machine that runs commands, and how often it had to find out where the repository is."""

    def __init__(self, reader: Reader, server: Path) -> None:
        self.reader = reader
        self.server = server
        self.now = NOW.timestamp()
        self.asked = 0
        self.configuration = reader.directory / "config.toml"
        self.key = reader.key
        self.environment: dict[str, str] = {}
        self.variables: dict[str, str] = {}
        self.told: list[str] = []

    def copy(self, choice: RevisionChoice = CURRENT) -> Path:
        settings = self.reader.settings
        return copy_for(
            RunRequest(
                name=NAME,
                address=self.address,
                settings=settings,
                choice=choice,
                recent=RecentProof(settings.state_directory / "proved.json", lambda: self.now),
                places=lambda: (self.configuration,),
                environment=self.environment,
                tell=self.told.append,
            )
        )

    def address(self) -> RepositoryAddress:
        self.asked += 1
        return RepositoryAddress(NAME, (str(self.server),), (self.key,), variables=self.variables)

    def asks(self) -> bool:
        """Whether the next command asks a server."""
        before = self.asked
        self.copy()
        return self.asked > before


@pytest.fixture
def published() -> Published:
    published = library()
    published.files[".cvmfspublished"] = signed_manifest(published.manifest(ttl=TTL), published.owner.signing)
    return published


@pytest.fixture
def machine(reader: Reader, published: Published, tmp_path: Path) -> Machine:
    machine = Machine(reader, published.write(tmp_path / "server"))
    machine.copy()
    return machine


def test_the_next_command_asks_nobody(machine: Machine) -> None:
    assert not machine.asks()


def test_it_asks_when_the_time_to_live_is_over_and_not_again_after_that(machine: Machine) -> None:
    machine.now += TTL - 1
    assert not machine.asks()
    machine.now += 1
    assert machine.asks()
    assert not machine.asks()


def test_it_asks_when_the_configuration_changes(machine: Machine) -> None:
    machine.configuration.write_text("[network]\n")
    assert machine.asks()


def test_it_asks_when_another_reader_has_seen_a_newer_revision(
    machine: Machine, reader: Reader, published: Published, tmp_path: Path
) -> None:
    newer = library(revision=published.revision + 1)
    with reader.open(newer.write(tmp_path / "newer")):
        pass
    machine.server = tmp_path / "newer"
    assert machine.asks()
    assert not machine.asks()


def test_it_asks_when_somebody_has_published_on_this_machine(machine: Machine, published: Published) -> None:
    library(revision=published.revision + 1).write(machine.server)
    assert machine.asks()


def test_a_root_hash_needs_no_proof_at_all(machine: Machine, published: Published) -> None:
    assert published.root is not None
    machine.environment = {"BOOK": "README"}
    machine.copy()
    machine.now += 10 * TTL
    before = machine.asked
    machine.copy(RevisionChoice(root_catalog=published.root.digest))
    assert machine.asked == before


def test_a_copy_that_is_gone_is_made_anew(machine: Machine) -> None:
    copy = machine.copy()
    copy.rename(copy.with_name("elsewhere"))
    assert machine.asks()


def test_a_damaged_copy_is_given_up_and_another_one_is_made(machine: Machine) -> None:
    first = machine.copy()
    (first / "README").write_text("Read us.\n")
    # For a while it is believed.
    assert machine.copy() == first
    look_next_time(contents_of(first))
    second = machine.copy()
    assert second != first
    assert (second / "README").read_text() == "Read me.\n"
    assert "README is not what it was" in machine.told[0]
    assert first.is_dir()
    assert machine.copy() == second


def test_links_are_filled_in_from_the_configuration_where_the_environment_says_nothing(machine: Machine) -> None:
    machine.variables = {"BOOK": "shelf/one", "OTHER": "nobody asks"}
    machine.configuration.write_text("[variables]\n")
    assert os.readlink(machine.copy() / "variant") == "shelf/one"
    assert not machine.asks()
    machine.environment = {"BOOK": "shelf"}
    assert os.readlink(machine.copy() / "variant") == "shelf"
    machine.environment = {}
    assert os.readlink(machine.copy() / "variant") == "shelf/one"


def test_a_variable_that_nothing_says_any_more_is_the_default_again(machine: Machine) -> None:
    machine.variables = {"BOOK": "shelf/one"}
    machine.configuration.write_text("[variables]\n")
    machine.copy()
    machine.variables = {}
    machine.configuration.unlink()
    assert os.readlink(machine.copy() / "variant") == "README"
    assert not machine.asks()


def test_a_root_hash_has_its_links_filled_in_from_the_configuration_of_now(
    machine: Machine, published: Published
) -> None:
    assert published.root is not None
    choice = RevisionChoice(root_catalog=published.root.digest)
    for value in ("shelf/one", "shelf", "shelf/one"):
        machine.variables = {"BOOK": value}
        machine.configuration.write_text(f"[variables]\nBOOK = {value!r}\n")
        assert os.readlink(machine.copy(choice) / "variant") == value
