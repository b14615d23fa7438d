"""What probes find, where it can be arranged without a machine of its own."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from outcrop.client.address import RepositoryAddress
from outcrop.client.ladder.findings import State
from outcrop.client.ladder.probes import machine, mounting, network, places
from outcrop.client.mount.mountinfo import parse_mountinfo
from outcrop.client.network.settings import DEFAULT_NETWORK, NetworkSettings
from outcrop.client.repository import ClientSettings
from outcrop.cvmfs.names import repository_name
from outcrop.cvmfs.objects import MANIFEST_NAME
from tests.faulty_proxy import ProxySite
from tests.faulty_server import Site, serving

LINES = parse_mountinfo(
    "1 0 8:1 / / rw - ext4 /dev/sda rw\n"
    "2 1 0:9 / /data rw - nfs4 server:/data rw\n"
    "3 2 0:9 / /data/ada rw - tmpfs none rw\n"
)


@pytest.mark.parametrize(
    ("path", "kind"), [("/tmp/x", "ext4"), ("/data/bob", "nfs4"), ("/data/ada/cache", "tmpfs"), ("/database", "ext4")]
)
def test_the_file_system_is_that_of_the_nearest_mount(path: str, kind: str) -> None:
    assert places.file_system_of(path, LINES) == kind


def test_a_cache_that_does_not_exist_yet_is_judged_by_where_it_would_be(tmp_path: Path) -> None:
    finding = places.cache(tmp_path / "not" / "yet")
    assert finding.works
    assert "bytes" in finding.sentence
    assert list(tmp_path.iterdir()) == []


def test_a_cache_that_has_no_place_at_all(tmp_path: Path) -> None:
    assert places.cache(Path("~/.cache/outcrop")).state is State.NO


def test_a_customary_place_that_is_not_there_is_said_to_be_so(tmp_path: Path) -> None:
    finding = places.cvmfs(tmp_path / "cvmfs", "")
    assert finding.state is State.NO
    assert "it is not there" in finding.sentence


def test_a_repository_that_shows_is_found(tmp_path: Path) -> None:
    (tmp_path / "books.example.org" / "bin").mkdir(parents=True)
    assert places.cvmfs(tmp_path, "books.example.org").state is State.OK
    assert places.cvmfs(tmp_path, "other.example.org").state is State.NO


@pytest.mark.parametrize(
    ("now", "ahead", "state"),
    [
        (datetime(2126, 1, 1, tzinfo=UTC), None, State.OK),
        (datetime(2126, 1, 1, tzinfo=UTC), 12.0, State.OK),
        (datetime(2126, 1, 1, tzinfo=UTC), -4000.0, State.NO),
        (datetime(1970, 1, 2, tzinfo=UTC), None, State.NO),
    ],
)
def test_a_clock_is_held_against_the_installation_and_the_server(
    now: datetime, ahead: float | None, state: State
) -> None:
    assert network.clock(ahead, lambda: now).state is state


def at(servers: tuple[str, ...], network: NetworkSettings = DEFAULT_NETWORK) -> RepositoryAddress:
    return RepositoryAddress(repository_name("books.example.org"), servers, (), network=network)


def test_a_directory_without_a_manifest_is_no_server(tmp_path: Path) -> None:
    address, settings = at((f"file://{tmp_path}",)), ClientSettings(cache_directory=tmp_path / "cache")
    reached = network.servers(address, settings)
    assert reached.finding.state is State.NO
    assert reached.ahead is None
    (tmp_path / MANIFEST_NAME).touch()
    assert network.servers(address, settings).finding.state is State.OK


def test_servers_are_asked_by_the_proxies_by_which_they_are_read(tmp_path: Path) -> None:
    server, proxy = Site(files={MANIFEST_NAME: b"C0"}), ProxySite()
    settings = ClientSettings(cache_directory=tmp_path)
    with serving(server) as url, serving(proxy) as by:
        reached = network.servers(at((url,), NetworkSettings(proxies=((by,),))), settings)
        assert reached.finding.sentence == f"{url} has the repository (by the proxy {by})"
        assert reached.ahead is not None
        assert abs(reached.ahead) < 60
        assert proxy.requests
        gone = network.servers(at((f"{url}/gone",), NetworkSettings(proxies=((by,),), retries=0)), settings)
    assert gone.finding.sentence == f"{url}/gone/{MANIFEST_NAME} does not exist"


def test_servers_out_of_reach_are_told_of_in_our_words(tmp_path: Path) -> None:
    with serving(Site()) as url:
        pass
    direct = NetworkSettings(proxies=(("DIRECT",),), retries=0)
    reached = network.servers(at((url,), direct), ClientSettings(cache_directory=tmp_path))
    assert reached.finding.sentence == f"{url}/{MANIFEST_NAME} cannot be reached: the connection is refused"
    assert "outcrop config show books.example.org" in reached.finding.hint


@pytest.mark.parametrize(
    ("proxies", "hosts"),
    [
        ((("http://p2:3128", "http://p1:3128"),), ("p1", "p2")),
        ((("http://p1:3128",), ("DIRECT",)), ("far",)),
        ((("DIRECT",),), ("far",)),
    ],
)
def test_only_names_that_this_machine_resolves_itself_count(
    proxies: tuple[tuple[str, ...], ...], hosts: tuple[str, ...]
) -> None:
    servers = ("http://far/cvmfs/books.example.org", "file:///srv/books.example.org")
    assert network.hosts_to_resolve(servers, NetworkSettings(proxies=proxies)) == hosts


def test_the_limit_of_a_job_is_the_tightest_above_it(tmp_path: Path) -> None:
    proc, groups = tmp_path / "proc", tmp_path / "groups"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable: 9000000 kB\n")
    (proc / "self" / "cgroup").write_text("0::/batch/job\n")
    (groups / "batch" / "job").mkdir(parents=True)
    (groups / "batch" / "memory.max").write_text("1000000\n")
    (groups / "batch" / "job" / "memory.max").write_text("max\n")
    finding = machine.memory(proc, groups)
    assert finding.state is State.DEGRADED
    assert "1,000,000" in finding.sentence


def test_this_machine_answers_every_question_about_itself() -> None:
    for probe in (machine.open_files, machine.processes, machine.locked_memory, machine.ptrace, machine.preload,
                  machine.users, mounting.kernel):  # fmt: skip
        assert probe().sentence


@pytest.mark.integration
def test_this_machine_answers_every_question_about_mounts() -> None:
    for probe in (mounting.fuse_device, mounting.fusermount, mounting.user_namespaces, mounting.mount_namespaces,
                  mounting.bind_mounts, mounting.new_root, mounting.fuse_in_namespace, mounting.overlayfs,
                  mounting.erofs):  # fmt: skip
        assert probe().sentence
