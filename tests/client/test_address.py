"""What REPO means, and where it is read from."""

from __future__ import annotations

from pathlib import Path

import pytest

from outcrop.client.address import RepositoryAddress, find_address, open_store
from outcrop.client.configuration import KnownRepositories, KnownRepository, load_known_repositories
from outcrop.client.keys import load_keys
from outcrop.cvmfs.names import RepositoryName
from outcrop.errors import FormatError, InvalidValue, NotFound, OutcropError
from outcrop.storage.directory import DirectoryStore
from outcrop.storage.http import HttpStore
from outcrop.storage.s3 import S3Store
from tests.client.published import keys

NAME = RepositoryName("software.example.org")
KEY = Path("software.example.org.pub")
KNOWN = KnownRepositories(
    {NAME: KnownRepository(NAME, ("http://s1/cvmfs/x", "http://s2/cvmfs/x"), (Path("/k.pub"),), ("http://data",))}
)
NOTHING = KnownRepositories()


@pytest.mark.parametrize(
    "text",
    [
        "http://host/software.example.org",
        "https://host:8000/cvmfs/software.example.org/",
        "file:///srv/with%20space/software.example.org",
        "file://localhost/srv/software.example.org",
    ],
)
def test_last_part_of_a_url_is_the_name_that_is_expected(text: str) -> None:
    assert find_address(text, NOTHING, keys=[KEY]) == RepositoryAddress(NAME, (text,), (KEY,))


def test_name_can_be_said_where_the_url_does_not_end_in_it() -> None:
    assert find_address("http://host/alias", NOTHING, name=NAME, keys=[KEY]).name == NAME
    with pytest.raises(InvalidValue, match="does not end in a repository's name") as caught:
        find_address("http://host/alias", NOTHING, keys=[KEY])
    assert "--fqrn" in caught.value.hint


def test_url_needs_a_key_unless_its_repository_is_known() -> None:
    with pytest.raises(InvalidValue, match="cannot be trusted without its public key") as caught:
        find_address("http://host/software.example.org", NOTHING)
    assert "`--key software.example.org.pub`" in caught.value.hint
    assert find_address("http://host/software.example.org", KNOWN).keys == (Path("/k.pub"),)
    assert find_address("http://host/software.example.org", KNOWN, keys=[KEY]).keys == (KEY,)


def test_known_name_has_servers_and_keys() -> None:
    address = find_address(NAME, KNOWN)
    assert address == RepositoryAddress(NAME, KNOWN.by_name[NAME].servers, (Path("/k.pub"),), ("http://data",))
    assert find_address(NAME, KNOWN, keys=[KEY], external_servers=["http://e"]).external_servers == ("http://e",)


def test_unknown_name_comes_with_the_known_ones() -> None:
    with pytest.raises(NotFound, match=r"a repository called 'other\.example\.org'") as caught:
        find_address("other.example.org", KNOWN)
    assert NAME in caught.value.hint
    with pytest.raises(NotFound) as caught:
        find_address("other.example.org", NOTHING)
    assert "--key" in caught.value.hint


def test_path_comes_with_the_url_to_write() -> None:
    with pytest.raises(InvalidValue, match="neither a URL nor a name") as caught:
        find_address("/srv/with space/software.example.org", NOTHING)
    assert "file:///srv/with%20space/software.example.org" in caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "ftp://host/software.example.org",
        "http:///software.example.org",
        "file://elsewhere/software.example.org",
        "http://host/software.example.org?x=1",
        "http://host/software.example.org#x",
    ],
)
def test_other_addresses_are_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        find_address(text, NOTHING, keys=[KEY])


def test_stores_are_opened_by_their_address(tmp_path: Path) -> None:
    assert isinstance(open_store("http://host/x"), HttpStore)
    for server in (str(tmp_path / "größe %41"), (tmp_path / "größe %41").as_uri()):
        store = open_store(server)
        assert isinstance(store, DirectoryStore)
        assert store.root == tmp_path / "größe %41"
    assert isinstance(open_store("s3://bucket/x?region=eu-north-1"), S3Store)
    with pytest.raises(InvalidValue):
        open_store("relative/path")


# Known repositories.


def write(tmp_path: Path, text: str) -> Path:
    (tmp_path / "config.toml").write_text(text)
    return tmp_path


def test_configuration_names_servers_and_keys(tmp_path: Path) -> None:
    write(
        tmp_path,
        """
        [other]
        setting = 1
        [repositories."software.example.org"]
        servers = ["http://s1/cvmfs/@fqrn@", "http://@org@.example.org/@fqrn@"]
        keys = ["keys/one.pub", "/etc/two.pub"]
        external_servers = ["http://data/@fqrn@"]
        """,
    )
    known = load_known_repositories(tmp_path, tmp_path / "data").find("software.example.org")
    assert known == KnownRepository(
        NAME,
        ("http://s1/cvmfs/software.example.org", "http://software.example.org/software.example.org"),
        (tmp_path / "keys/one.pub", Path("/etc/two.pub")),
        ("http://data/software.example.org",),
    )


def test_owned_repositories_are_known_and_configured_ones_come_first(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "mine.example.org.toml").write_text('storage = "/srv/mine"\nalgorithm = "sha1"\n')
    (data / "settings.toml").write_text("x = 1")
    known = load_known_repositories(tmp_path, data)
    assert known.names == ("mine.example.org",)
    assert known.by_name["mine.example.org"].servers == ("/srv/mine",)
    assert known.by_name["mine.example.org"].keys == (data / "mine.example.org.pub",)
    write(tmp_path, '[repositories."mine.example.org"]\nservers = ["http://h/x"]\nkeys = ["k"]')
    assert load_known_repositories(tmp_path, data).by_name["mine.example.org"].servers == ("http://h/x",)


def test_nothing_is_known_where_nothing_is_written(tmp_path: Path) -> None:
    assert load_known_repositories(tmp_path / "a", tmp_path / "b").names == ()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("nonsense", "the TOML text"),
        ("repositories = 1", "repositories"),
        ('[repositories."nodot"]\nservers = ["x"]\nkeys = ["k"]', 'repositories."nodot"'),
        ('[repositories."a.b"]\nservers = "x"\nkeys = ["k"]', "servers"),
        ('[repositories."a.b"]\nservers = ["x"]', "keys"),
        ('[repositories."a.b"]\nservers = []\nkeys = ["k"]', 'repositories."a.b".servers'),
        ('[repositories."a.b"]\nservers = ["x"]\nkeys = ["k"]\nsevers = []', "severs"),
    ],
)
def test_mistake_in_the_configuration_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(FormatError) as caught:
        load_known_repositories(write(tmp_path, text), tmp_path)
    assert str(tmp_path / "config.toml") in caught.value.message
    assert named in caught.value.message


# Keys.


def test_keys_come_from_files_and_directories(tmp_path: Path) -> None:
    for name in ("a.pub", "b.pub", "c.txt"):
        (tmp_path / name).write_bytes(keys().public_pem)
    assert len(load_keys([tmp_path])) == 2
    assert load_keys([tmp_path / "a.pub"])[0] == keys().public


def test_keys_that_are_none_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("hello")
    for path in (tmp_path / "nothing", tmp_path / "empty", tmp_path / "text"):
        with pytest.raises(OutcropError, match=str(path)):
            load_keys([path])
