"""What stock configuration files of a site mean for a reader."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from outcrop.client.network.settings import DEFAULT_NETWORK, ServerOrder
from outcrop.client.owners import AS_PUBLISHED
from outcrop.client.stock_configuration import StockConfiguration
from outcrop.client.stock_configuration_files import MAXIMUM_FILE_BYTES, StockFiles
from outcrop.client.stock_configuration_values import MEGABYTE, UNLIMITED, ClientConfiguration
from outcrop.cvmfs.names import RepositoryName
from outcrop.errors import FormatError
from tests.client.stock_site import DISTRIBUTION_CONF, LOCAL_DOMAIN_CONF, Site, plain_site

NAME = RepositoryName("books.example.org")


def meaning(site: Site, text: str = "", name: str = NAME) -> ClientConfiguration:
    """What the site says of `name`, with `text` in `default.local`."""
    site.write({"default.local": text})
    return StockConfiguration(site.etc).configuration(RepositoryName(name))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return plain_site(tmp_path).write({"domain.d/example.org.conf": LOCAL_DOMAIN_CONF})


def test_plain_site_has_servers_keys_and_the_defaults_of_the_reference(site: Site) -> None:
    found = meaning(site)
    assert found.servers == ("http://local.example.org/cvmfs/books.example.org",)
    assert found.keys == (site.etc / "keys/example.org",)
    assert found.network == DEFAULT_NETWORK
    assert found.external_network.proxies == (("DIRECT",),)
    assert found.cache.limit == 4000 * MEGABYTE
    assert found.cache.directory == Path("/var/lib/cvmfs/shared")
    assert found.cache.alien is None
    assert found.ownership.claimed
    assert found.may_be_mounted
    assert found.warnings == ()


def test_every_setting_reaches_its_field(site: Site) -> None:
    found = meaning(
        site,
        """
        CVMFS_HTTP_PROXY="http://p1:3128|http://p2:3128;DIRECT"
        CVMFS_FALLBACK_PROXY=http://backup:3128
        CVMFS_TIMEOUT=3
        CVMFS_TIMEOUT_DIRECT=4
        CVMFS_LOW_SPEED_LIMIT=512
        CVMFS_MAX_RETRIES=0
        CVMFS_BACKOFF_INIT=1
        CVMFS_BACKOFF_MAX=20
        CVMFS_PROXY_RESET_AFTER=60
        CVMFS_HOST_RESET_AFTER=0
        CVMFS_FOLLOW_REDIRECTS=no
        CVMFS_EXTERNAL_URL="http://data1/;http://data2/;http://data3/"
        CVMFS_EXTERNAL_MAX_SERVERS=2
        CVMFS_EXTERNAL_HTTP_PROXY=http://external:3128
        CVMFS_EXTERNAL_TIMEOUT=7
        CVMFS_ALIEN_CACHE=/shared/alien
        CVMFS_QUOTA_LIMIT=-1
        CVMFS_REPOSITORY_TAG=v7
        CVMFS_REPOSITORIES=books.example.org,other
        CVMFS_DEFAULT_DOMAIN=example.com
        CVMFS_STRICT_MOUNT=yes
        """,
    )
    network = found.network
    assert network.proxies == (("http://p1:3128", "http://p2:3128"), ("DIRECT",))
    assert network.fallback_proxies == (("http://backup:3128",),)
    assert (network.timeout, network.timeout_direct, network.low_speed_bytes, network.retries) == (3.0, 4.0, 512, 0)
    assert (network.backoff_initial, network.backoff_maximum) == (1.0, 20.0)
    assert (network.proxy_reset_after, network.host_reset_after) == (60.0, 0.0)
    assert not network.follow_redirects
    assert found.external_servers == ("http://data1/", "http://data2/", "http://data3/")
    assert found.external_network.maximum_servers == 2
    assert found.external_network.proxies == (("http://external:3128",),)
    assert (found.external_network.timeout, found.external_network.timeout_direct) == (7.0, 4.0)
    assert found.cache.alien == Path("/shared/alien")
    assert found.cache.limit == UNLIMITED
    assert found.pin.tag == "v7"
    assert found.repositories == ("books.example.org", "other.example.com")
    assert found.may_be_mounted
    assert found.warnings == ()


def test_strict_mount_lets_only_listed_repositories_be_mounted(site: Site) -> None:
    assert not meaning(site, "CVMFS_STRICT_MOUNT=yes\nCVMFS_REPOSITORIES=other.example.org").may_be_mounted


def test_a_number_of_servers_is_kept_for_after_they_are_in_order(site: Site) -> None:
    servers = 'CVMFS_MAX_SERVERS=1\nCVMFS_EXTERNAL_MAX_SERVERS=2\nCVMFS_EXTERNAL_URL="http://a;http://b;http://a"\n'
    found = meaning(site, servers + "CVMFS_USE_GEOAPI=yes")
    assert found.network.order is ServerOrder.GEOGRAPHIC
    assert found.external_servers == ("http://a", "http://b")
    assert (found.network.maximum_servers, found.external_network.maximum_servers) == (1, 2)


def test_named_keys_come_before_a_directory_of_keys(site: Site) -> None:
    found = meaning(site, "CVMFS_PUBLIC_KEY=/etc/cvmfs/keys/config.pub:/elsewhere/x.pub")
    assert found.keys == (site.etc / "keys/config.pub", Path("/elsewhere/x.pub"))


def test_pin_is_a_root_catalog_a_tag_or_a_moment_in_this_order(site: Site) -> None:
    digest = "90af6bdca4a94e8a4bd6a9b3a1b9a7a4d5e0c1f2"
    date = "CVMFS_REPOSITORY_DATE=2026-11-21T12:00:00Z\n"
    assert meaning(site, date).pin.moment == datetime(2026, 11, 21, 12, tzinfo=UTC)
    assert meaning(site, date + "CVMFS_REPOSITORY_TAG=t\n").pin.tag == "t"
    root = meaning(site, date + f"CVMFS_REPOSITORY_TAG=t\nCVMFS_ROOT_HASH={digest}").pin.root_catalog
    assert root is not None
    assert root.text == digest


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("CVMFS_TIMEOUT=soon", "default.local:1: CVMFS_TIMEOUT is no number"),
        ("CVMFS_USE_GEOAPI=perhaps", "CVMFS_USE_GEOAPI is neither yes nor no"),
        ("CVMFS_HTTP_PROXY=ftp://x", "CVMFS_HTTP_PROXY is not used"),
        ("CVMFS_HTTP_PROXY='auto;DIRECT'", "`auto`"),
        ("CVMFS_HTTP_PROXY=auto", "(name the proxies themselves, in `proxies` below `[network]` in config.toml"),
        ("CVMFS_REPOSITORY_DATE=yesterday", "CVMFS_REPOSITORY_DATE is no moment"),
        ("CVMFS_ROOT_HASH=xyz", "CVMFS_ROOT_HASH is no digest"),
        ("CVMFS_UID_MAP=/nothing", "CVMFS_UID_MAP names /nothing"),
        ("CVMFS_EXTERNAL_URL=http://a\rb", "control character"),
        ("X=`date`", "default.local:1: the output of a command"),
    ],
)
def test_what_cannot_be_used_is_told_with_its_place_and_left_out(site: Site, text: str, words: str) -> None:
    found = meaning(site, text)
    assert any(words in warning for warning in found.warnings), found.warnings
    assert found.servers == ("http://local.example.org/cvmfs/books.example.org",)
    assert found.network.timeout == DEFAULT_NETWORK.timeout


def test_strict_reading_refuses_what_only_a_shell_could_run(site: Site) -> None:
    site.write({"default.local": "\nCVMFS_HTTP_PROXY=`wpad`"})
    with pytest.raises(FormatError, match=r"default\.local is malformed: line 2 "):
        StockConfiguration(site.etc, strict=True).configuration(NAME)


def test_owners_are_mapped_by_rules_and_a_default(site: Site) -> None:
    site.write({"uid.map": "# from to\n1000 7\n* 65534\n", "gid.map": "5 6\n"})
    found = meaning(site, f"CVMFS_UID_MAP={site.etc}/uid.map\nCVMFS_GID_MAP={site.etc}/gid.map")
    users, groups = found.ownership.users, found.ownership.groups
    assert users is not None
    assert groups is not None
    assert [users.shown(1000), users.shown(3)] == [7, 65534]
    assert [groups.shown(5), groups.shown(3)] == [6, 3]


def test_a_malformed_map_of_owners_is_told_with_its_line_and_left_out(site: Site) -> None:
    site.write({"uid.map": "1000 7\nroot 0\n"})
    found = meaning(site, f"CVMFS_UID_MAP={site.etc}/uid.map\nCVMFS_CLAIM_OWNERSHIP=no")
    assert found.ownership == AS_PUBLISHED
    (warning,) = found.warnings
    assert "CVMFS_UID_MAP is not used" in warning
    assert f"{site.etc}/uid.map is malformed: line 2 " in warning


def test_repository_is_found_by_its_full_or_short_name(site: Site) -> None:
    site.write({"default.d/50-x.conf": "CVMFS_DEFAULT_DOMAIN=example.org"})
    stock = StockConfiguration(site.etc)
    for name in ("books.example.org", "books"):
        found = stock.find(name)
        assert found is not None
        assert (found.name, found.source) == (NAME, str(site.etc))
        assert found.cache_limit == 4000 * MEGABYTE
    assert stock.find("books.elsewhere.org") is None
    assert stock.find("not a name") is None


def test_missing_directory_knows_nothing(tmp_path: Path) -> None:
    stock = StockConfiguration(tmp_path / "nothing")
    assert (stock.find(NAME), stock.names, stock.domains) == (None, (), ())


def test_names_come_from_the_list_the_files_and_the_configuration_repository(site: Site) -> None:
    site.write(
        {
            "default.local": "CVMFS_REPOSITORIES=atlas,cms.cern.ch,",
            "default.d/50-x.conf": DISTRIBUTION_CONF,
            "config.d/one.example.org.local": "",
            "config.d/README": "",
        }
    )
    stock = StockConfiguration(site.etc)
    assert stock.names == ("atlas.example.org", "cms.cern.ch", "config.example.org", "one.example.org")
    assert stock.domains == ("example.org",)


def test_warnings_reach_the_listener_when_the_repository_is_asked_for(site: Site) -> None:
    told: list[str] = []
    site.write({"default.local": "ulimit -c 0"})
    StockConfiguration(site.etc, tell=told.append).find(NAME)
    assert told == [
        f"{site.etc}/default.local:1: the command `ulimit` is left out: only a shell could run it",
    ]


def test_owners_file_that_cannot_be_read_is_told(site: Site, tmp_path: Path) -> None:
    (site.etc / "default.local").symlink_to(tmp_path / "loop")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    found = StockConfiguration(site.etc).configuration(NAME)
    assert found.warnings == (f"{site.etc}/default.local cannot be read, so what it says is not known",)


# Where files are.


def test_paths_below_etc_cvmfs_are_looked_up_in_the_directory_that_stands_for_it(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys/a.pub").write_text("key")
    files = StockFiles(tmp_path)
    assert files.place("/etc/cvmfs/keys/a.pub") == tmp_path / "keys/a.pub"
    assert files.place("/etc/cvmfs/keys/b.pub") == Path("/etc/cvmfs/keys/b.pub")
    assert files.place("/etc/cvmfsx/keys") == Path("/etc/cvmfsx/keys")
    files.show("/cvmfs/config.example.org", tmp_path / "copy")
    assert files.place("/cvmfs/config.example.org/etc/x") == tmp_path / "copy/etc/x"
    assert files.place("/cvmfs/config.example.org") == tmp_path / "copy"
    assert files.place("/cvmfs/config.example.orgx") == Path("/cvmfs/config.example.orgx")


def test_only_plain_files_of_sensible_size_are_read(tmp_path: Path) -> None:
    files = StockFiles(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "huge").write_bytes(b"#" * (MAXIMUM_FILE_BYTES + 1))
    (tmp_path / "plain").write_text("X=1")
    for name in ("pipe", "huge", "nothing", "plain/below", "zero\0byte", "."):
        assert files.read(f"{tmp_path}/{name}") is None
    assert files.read(f"{tmp_path}/plain") == b"X=1"
    assert files.unreadable == [f"{tmp_path}/huge", f"{tmp_path}/zero\0byte"]


def test_state_of_files(tmp_path: Path) -> None:
    files = StockFiles(tmp_path)
    (tmp_path / "program").write_text("#!")
    (tmp_path / "program").chmod(0o755)
    (tmp_path / "link").symlink_to("nowhere")
    program = files.state(f"{tmp_path}/program")
    assert program is not None
    assert (program.is_file, program.executable, program.size) == (True, True, 2)
    link = files.state(f"{tmp_path}/link")
    assert link is not None
    assert (link.is_symlink, link.exists) == (True, False)
    directory = files.state(str(tmp_path))
    assert directory is not None
    assert directory.is_directory
    assert files.state(f"{tmp_path}/nothing") is None
    assert files.names(f"{tmp_path}/nothing") == ()
