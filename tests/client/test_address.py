"""What REPO means, and where it is read from."""

from __future__ import annotations

from pathlib import Path

import pytest

from outcrop.client.address import RepositoryAddress, find_address, open_store
from outcrop.client.configuration import StockAccess, load_known_repositories, stock_access
from outcrop.client.keys import load_keys
from outcrop.client.known_repository import (
    ClientChoice,
    KnownRepositories,
    KnownRepository,
    ListedRepository,
    NetworkChoice,
    RevisionPin,
)
from outcrop.client.network.settings import DEFAULT_NETWORK, NetworkSettings, ServerOrder
from outcrop.cvmfs.names import RepositoryName
from outcrop.errors import FormatError, InvalidValue, NotFound, OutcropError
from outcrop.storage.directory import DirectoryStore
from outcrop.storage.http import HttpStore
from outcrop.storage.s3 import S3Store
from tests.client.published import keys
from tests.client.stock_site import DISTRIBUTION_CONF, LOCAL_DOMAIN_CONF, plain_site

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


def test_everything_that_is_known_reaches_the_address() -> None:
    network, external = NetworkSettings(timeout=7.0), NetworkSettings(timeout=9.0)
    pin = RevisionPin(tag="v1")
    known = KnownRepository(
        NAME, ("http://s",), (KEY,), (), network, external, 1000, Path("/objects"), pin, (Path("/blacklist"),)
    )
    repositories = KnownRepositories({NAME: known})
    for text in (NAME, f"http://host/{NAME}"):
        address = find_address(text, repositories)
        assert (address.network, address.external_network, address.pin) == (network, external, pin)
        assert (address.cache_limit, address.cache_directory) == (1000, Path("/objects"))
        assert address.blacklists == (Path("/blacklist"),)


def test_choice_of_the_user_goes_on_top_for_urls_of_unknown_repositories_too() -> None:
    choice = ClientChoice(network=NetworkChoice(retries=5), cache_limit=7, cache_directory=Path("/mine"))
    network = NetworkSettings(timeout=7.0)
    known = KnownRepositories({NAME: KnownRepository(NAME, ("http://s",), (KEY,), network=network)}, choice=choice)
    address = find_address(NAME, known)
    assert address.network == NetworkSettings(timeout=7.0, retries=5)
    assert (address.cache_limit, address.cache_directory) == (7, Path("/mine"))
    address = find_address("http://host/other.example.org", known, keys=[KEY])
    assert address.network == NetworkSettings(retries=5)
    assert address.cache_limit == 7


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
        source=str(tmp_path / "config.toml"),
    )


def test_owned_repositories_are_known_and_configured_ones_come_first(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "mine.example.org.toml").write_text('storage = "/srv/mine"\nalgorithm = "sha1"\n')
    (data / "settings.toml").write_text("x = 1")
    known = load_known_repositories(tmp_path, data)
    mine = known.find("mine.example.org")
    assert mine is not None
    assert known.names == ("mine.example.org",)
    assert mine.servers == ("/srv/mine",)
    assert mine.keys == (data / "mine.example.org.pub",)
    write(tmp_path, '[repositories."mine.example.org"]\nservers = ["http://h/x"]\nkeys = ["k"]')
    mine = load_known_repositories(tmp_path, data).find("mine.example.org")
    assert mine is not None
    assert mine.servers == ("http://h/x",)


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
        ("[nettwork]\ntimeout = 1", "nettwork"),
        ("network = 1", "network"),
        ("[network]\ntimeout = 0", "timeout"),
        ("[network]\ntimout = 1", "timout"),
        ('[network]\norder = "random"', "order"),
        ('[network]\nproxies = "ftp://x"', "network.proxies"),
        ('[repositories."a.b"]\nservers = ["x"]\nkeys = ["k"]\nnetwork = {retries = -1}', "retries"),
        ('[cache]\nlimit = "much"', "cache.limit"),
        ("[cache]\nsize = 1", "size"),
        ('[configuration]\nsources = ["elsewhere"]', "configuration.sources"),
    ],
)
def test_mistake_in_the_configuration_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(FormatError) as caught:
        load_known_repositories(write(tmp_path, text), tmp_path)
    assert str(tmp_path / "config.toml") in caught.value.message
    assert named in caught.value.message
    assert "edit " in caught.value.hint or named == 'repositories."nodot"'


def test_unknown_field_comes_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(FormatError) as caught:
        load_known_repositories(write(tmp_path, "[cache]\nsize = 1"), tmp_path)
    assert "the fields there are directory, limit" in caught.value.hint


def test_network_and_cache_are_set_for_all_repositories(tmp_path: Path) -> None:
    write(
        tmp_path,
        """
        [network]
        proxies = "p1:3128|p2:3128;DIRECT"
        fallback_proxies = ""
        order = "latency"
        timeout = 2.5
        [cache]
        directory = "objects"
        limit = "20 GB"
        [repositories."a.example.org"]
        servers = ["http://a"]
        keys = ["k"]
        network = {retries = 4}
        """,
    )
    known = load_known_repositories(tmp_path, tmp_path).find("a.example.org")
    assert known is not None
    assert known.network.proxies == (("http://p1:3128", "http://p2:3128"), ("DIRECT",))
    assert known.network.order is ServerOrder.LATENCY
    assert (known.network.timeout, known.network.retries) == (2.5, 4)
    assert known.network.timeout_direct == DEFAULT_NETWORK.timeout_direct
    assert (known.cache_directory, known.cache_limit) == (tmp_path / "objects", 20 * 10**9)


@pytest.mark.parametrize(
    ("text", "size"),
    [("5", 5), ('"5"', 5), ('"1 kB"', 1000), ('"1 KiB"', 1024), ('"1.5G"', 1_500_000_000), ('"2TiB"', 2 * 1024**4)],
)
def test_sizes_have_units(tmp_path: Path, text: str, size: int) -> None:
    assert load_known_repositories(write(tmp_path, f"[cache]\nlimit = {text}"), tmp_path).choice.cache_limit == size


# Stock configurations.


def test_stock_configurations_stand_side_by_side_and_the_first_that_knows_a_name_is_believed(tmp_path: Path) -> None:
    one = plain_site(tmp_path / "one").write({"domain.d/example.org.conf": LOCAL_DOMAIN_CONF})
    other = LOCAL_DOMAIN_CONF.replace("local.", "other.")
    two = plain_site(tmp_path / "two").write(
        {"domain.d/example.org.conf": other, "domain.d/example.com.conf": other, "config.d/x.example.com.conf": ""}
    )
    known = load_known_repositories(tmp_path, tmp_path, StockAccess((one.etc, tmp_path / "nothing", two.etc)))
    for name, server in (("a.example.org", "local.example.org"), ("a.example.com", "other.example.org")):
        found = known.find(name)
        assert found is not None
        assert found.servers == (f"http://{server}/cvmfs/{name}",)
    assert find_address("a.example.org", known).keys == (one.etc / "keys/example.org",)
    assert known.listing() == (
        ListedRepository("x.example.com", str(two.etc)),
        ListedRepository("example.com", str(two.etc), is_domain=True),
        ListedRepository("example.org", str(one.etc), is_domain=True),
    )


def test_order_of_sources_is_the_one_of_the_file_and_the_environment_names_other_directories(tmp_path: Path) -> None:
    one = plain_site(tmp_path / "one").write({"domain.d/example.org.conf": LOCAL_DOMAIN_CONF})
    write(
        tmp_path,
        f"""
        [configuration]
        sources = ["{one.etc}", "configured"]
        [repositories."a.example.org"]
        servers = ["http://own"]
        keys = ["k"]
        """,
    )

    def servers(stock: StockAccess | None) -> tuple[str, ...]:
        found = load_known_repositories(tmp_path, tmp_path, stock).find("a.example.org")
        assert found is not None
        return found.servers

    assert servers(StockAccess()) == ("http://local.example.org/cvmfs/a.example.org",)
    assert servers(StockAccess(())) == ("http://own",)
    assert servers(None) == ("http://own",)
    environment = {"OUTCROP_CVMFS_ETC": f"{tmp_path}/nothing:{one.etc}", "OUTCROP_STATE_DIR": str(tmp_path)}
    assert servers(stock_access(environment, print)) == ("http://local.example.org/cvmfs/a.example.org",)


def test_configuration_repositories_can_be_left_out(tmp_path: Path) -> None:
    site = plain_site(tmp_path / "one").write(
        {
            "domain.d/example.org.conf": LOCAL_DOMAIN_CONF,
            "default.d/50-x.conf": DISTRIBUTION_CONF,
            "config.d/config.example.org.conf": "CVMFS_SERVER_URL=",
        }
    )
    told: list[str] = []
    environment = {"OUTCROP_CVMFS_ETC": str(site.etc), "OUTCROP_STATE_DIR": str(tmp_path / "state")}
    assert load_known_repositories(tmp_path, tmp_path, stock_access(environment, told.append)).find("a") is not None
    assert "the configuration repository config.example.org is not used" in told[0]
    told.clear()
    write(tmp_path, "[configuration]\nconfiguration_repositories = false")
    assert load_known_repositories(tmp_path, tmp_path, stock_access(environment, told.append)).find("a") is not None
    assert told == []


def test_environment_comes_before_cache_directories_of_files(tmp_path: Path) -> None:
    site = plain_site(tmp_path / "one").write(
        {"domain.d/example.org.conf": LOCAL_DOMAIN_CONF, "default.local": "CVMFS_ALIEN_CACHE=/alien"}
    )
    stock = StockAccess((site.etc,))

    def directory(environment: dict[str, str]) -> Path | None:
        found = load_known_repositories(tmp_path, tmp_path, stock, environment).find("a.example.org")
        assert found is not None
        return found.cache_directory

    assert directory({}) == Path("/alien")
    assert directory({"OUTCROP_CACHE_DIR": "/mine"}) is None
    write(tmp_path, '[cache]\ndirectory = "/own"')
    assert directory({}) == Path("/own")
    assert directory({"OUTCROP_CACHE_DIR": "/mine"}) is None


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
