"""A configuration repository, read through our own client or where it is mounted."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from outcrop.client.address import RepositoryAddress, find_address
from outcrop.client.configuration import StockAccess, load_known_repositories
from outcrop.client.keys import load_keys
from outcrop.client.repository import OpenRepository, open_repository
from outcrop.client.stock_configuration import StockConfiguration
from outcrop.client.stock_configuration_repository import CHECK_SECONDS, RETRY_SECONDS, ConfigurationCopies
from outcrop.client.stock_configuration_values import ClientConfiguration
from outcrop.cvmfs.names import RepositoryName
from outcrop.cvmfs.paths import ROOT
from outcrop.errors import NetworkError
from tests.client.published import keys, library
from tests.client.reading import Reader
from tests.client.stock_site import (
    COMMON_CONF,
    DOMAIN_CONF,
    LOCAL_DOMAIN_CONF,
    Site,
    configuration_repository,
    site_with_configuration_repository,
)
from tests.faulty_server import Site as WebSite
from tests.faulty_server import hang_up, serving

NAME = RepositoryName("books.example.org")
CONFIG = RepositoryName("config.example.org")


@dataclass
class Machine:
    """A machine of the site, with a server of the configuration repository on loopback."""

    site: Site
    web: WebSite
    reader: Reader
    moment: float = 1_000_000.0
    opened: int = 0
    budget: float = 30.0
    told: list[str] = field(default_factory=list)

    def open(self, address: RepositoryAddress) -> OpenRepository:
        self.opened += 1
        return open_repository(address, self.reader.settings)

    def asked(self, name: str = NAME) -> ClientConfiguration:
        """What a new process finds out."""
        copies = ConfigurationCopies(
            self.reader.directory / "configuration", self.open, lambda: self.moment, self.budget
        )
        stock = StockConfiguration(self.site.etc, copies, self.told.append)
        return stock.configuration(RepositoryName(name))


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    web = WebSite(dict(configuration_repository().files))
    with serving(web) as url:
        yield Machine(site_with_configuration_repository(tmp_path, url), web, Reader(tmp_path / "reader"))


def test_its_files_slot_in_and_its_keys_can_be_used(machine: Machine) -> None:
    found = machine.asked()
    assert found.warnings == ()
    assert found.servers == ("http://s1.example.org:8000/cvmfs/books.example.org", "http://s2.example.org/opt/books")
    assert found.network.fallback_proxies == (
        ("http://backup1.example.org:3126",),
        ("http://backup2.example.org:3126",),
    )
    assert load_keys(found.keys)[0] == keys().public
    assert found.evaluated.value("CVMFS_SEND_INFO_HEADER") == "yes"
    origin = found.evaluated.settings["CVMFS_SERVER_URL"].origin
    assert str(origin) == f"{machine.site.mount}/config.example.org/etc/cvmfs/domain.d/example.org.conf:11"
    assert [path.read_bytes() for path in found.blacklists] == [b"<bad.example.org 7\n"]


def test_repository_is_read_with_servers_and_keys_from_it(machine: Machine) -> None:
    with serving(WebSite(dict(library().files))) as url:
        machine.web.files.update(
            configuration_repository(
                2, DOMAIN_CONF.replace("http://s1.example.org:8000/cvmfs/@fqrn@;http://s2.example.org/opt/@org@", url)
            ).files
        )
        machine.site.write({"default.local": "CVMFS_CLIENT_PROFILE=custom"})
        copies = ConfigurationCopies(machine.reader.directory / "configuration", machine.open)
        home = machine.reader.directory
        known = load_known_repositories(home, home, StockAccess((machine.site.etc,), copies, machine.told.append))
        with machine.open(find_address("books", known)) as repository:
            assert next(entry.name for entry in repository.tree.children(ROOT)) == b"README"
    assert machine.told == []


def test_site_comes_after_it_and_before_it_where_the_reference_says(machine: Machine) -> None:
    machine.site.write(
        {
            "default.local": "CVMFS_HTTP_PROXY=DIRECT\nCVMFS_SEND_INFO_HEADER=no",
            "domain.d/example.org.local": 'CVMFS_SERVER_URL="http://near.example.org/@fqrn@;$CVMFS_SERVER_URL"',
        }
    )
    found = machine.asked()
    assert found.servers[:2] == (
        "http://near.example.org/books.example.org",
        "http://cdn1.example.org/cvmfs/books.example.org",
    )
    assert found.network.proxies == (("DIRECT",),)
    assert found.evaluated.value("CVMFS_SEND_INFO_HEADER") == "no"


def test_links_within_it_are_followed_and_links_out_of_it_are_not_there(machine: Machine) -> None:
    assert machine.asked("books.linked.org").servers[0] == "http://s1.example.org:8000/cvmfs/books.linked.org"
    copies = list((machine.reader.directory / "configuration").glob("*/*/etc/cvmfs/domain.d/*"))
    assert sorted(path.name for path in copies) == ["example.org.conf", "linked.org.conf"]
    assert not any(path.is_symlink() for path in copies)
    assert not list((machine.reader.directory / "configuration").glob("*/*/other"))


def test_copy_is_used_for_an_hour_and_then_asked_for_news(machine: Machine) -> None:
    machine.asked()
    machine.moment += CHECK_SECONDS - 1
    machine.asked()
    assert machine.opened == 1
    machine.web.files.update(configuration_repository(2, DOMAIN_CONF.replace("s1.", "new.")).files)
    assert "http://s1.example.org:8000/cvmfs/books.example.org" in machine.asked().servers
    machine.moment += 2
    assert "http://new.example.org:8000/cvmfs/books.example.org" in machine.asked().servers
    assert machine.opened == 2


def test_without_a_network_the_copy_from_before_serves_and_is_not_asked_for_again_at_once(machine: Machine) -> None:
    machine.asked()
    machine.moment += CHECK_SECONDS + 1
    machine.web.every = hang_up
    found = machine.asked()
    assert "http://s1.example.org:8000/cvmfs/books.example.org" in found.servers
    (warning,) = found.warnings
    assert "the copy from before is used" in warning
    requests = len(machine.web.requests)
    assert "http://s1.example.org:8000/cvmfs/books.example.org" in machine.asked().servers
    assert len(machine.web.requests) == requests
    machine.moment += RETRY_SECONDS + 1
    machine.asked()
    assert len(machine.web.requests) > requests


def test_without_a_network_and_a_copy_the_files_of_the_site_have_to_do(machine: Machine) -> None:
    machine.web.every = hang_up
    machine.site.write({"domain.d/example.org.conf": LOCAL_DOMAIN_CONF})
    found = machine.asked()
    assert found.servers == ("http://local.example.org/cvmfs/books.example.org",)
    (warning,) = found.warnings
    assert "only the files of this machine are used" in warning


def test_question_is_bounded_in_time(machine: Machine) -> None:
    release = threading.Event()

    def stuck(_address: RepositoryAddress) -> OpenRepository:
        release.wait(30)
        raise NetworkError(what="the server", problem="is stuck")

    copies = ConfigurationCopies(machine.reader.directory / "configuration", stuck, lambda: machine.moment, 0.05)
    found = StockConfiguration(machine.site.etc, copies).configuration(NAME)
    release.set()
    assert "within 0 s" in found.warnings[0]


def test_copy_of_other_keys_is_not_believed(machine: Machine) -> None:
    machine.asked()
    (machine.site.etc / "keys/config.pub").write_bytes(keys("somebody else").public_pem)
    found = machine.asked()
    assert "http://s1.example.org:8000/cvmfs/books.example.org" not in found.servers
    assert "cannot be trusted" in found.warnings[0]


def test_mounted_configuration_repository_is_read_where_it_is_mounted(machine: Machine) -> None:
    mounted = machine.site.mount / CONFIG / "etc/cvmfs"
    (mounted / "domain.d").mkdir(parents=True)
    (mounted / "common.conf").write_text(COMMON_CONF)
    (mounted / "domain.d/example.org.conf").write_text(DOMAIN_CONF.replace("s1.", "mounted."))
    found = machine.asked()
    assert "http://mounted.example.org:8000/cvmfs/books.example.org" in found.servers
    assert found.keys == (mounted / "keys/example.org",)
    assert machine.opened == 0


def test_where_nothing_can_be_kept_this_run_has_it_all_the_same(machine: Machine) -> None:
    machine.reader.directory.mkdir()
    (machine.reader.directory / "configuration").write_text("in the way")
    copies = ConfigurationCopies(machine.reader.directory / "configuration", machine.open, lambda: machine.moment)
    stock = StockConfiguration(machine.site.etc, copies)
    found = stock.configuration(NAME)
    assert "http://s1.example.org:8000/cvmfs/books.example.org" in found.servers
    assert load_keys(found.keys)


def test_note_that_cannot_be_read_lets_the_repository_be_asked_again(machine: Machine) -> None:
    machine.asked()
    (machine.reader.directory / "configuration" / CONFIG / "current.json").write_text("nonsense")
    assert machine.asked().warnings == ()
    assert machine.opened == 2


def test_configuration_repository_itself_is_found_without_itself(machine: Machine) -> None:
    found = machine.asked(CONFIG)
    assert len(found.servers) == 1
    assert machine.opened == 0
    assert found.warnings == ()


def test_configuration_repository_without_servers_or_with_a_wrong_name_is_told_of(machine: Machine) -> None:
    machine.site.write({"config.d/config.example.org.conf": ""})
    assert "no server of it is known" in machine.asked().warnings[0]
    machine.site.write({"default.d/60-x.conf": "CVMFS_CONFIG_REPOSITORY=../../etc"})
    assert "is not of the form name.domain" in machine.asked().warnings[0]
