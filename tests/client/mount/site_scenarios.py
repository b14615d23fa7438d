"""What a site wants of a mount, and what it can ask of one: run by `private_place.play`, as `scenarios` is."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from outcrop.client.address import RepositoryAddress
from outcrop.client.cache.layout import object_name
from outcrop.client.cache.pins import pinned_objects
from outcrop.client.mount.processes import RunningMount, mounted
from outcrop.client.mount.repository_tree import open_mounted_tree
from outcrop.client.network.settings import NetworkSettings
from outcrop.client.owners import AS_PUBLISHED, OwnerMap, Ownership
from outcrop.client.repository import ClientSettings
from outcrop.cvmfs.catalog_edit import nested_mountpoint, nested_root
from outcrop.cvmfs.digest import Digest
from tests.client.mount.revision_scenarios import FIRST, SECOND, contents, look_now, mounted_repository, publish
from tests.client.published import NAME, NOW, Published, directory_entry, keys, link_entry
from tests.faulty_proxy import ProxySite, refusal
from tests.faulty_server import Site, serving


@contextmanager
def mounted_address(directory: Path, address: RepositoryAddress, name: str = "mount") -> Iterator[RunningMount]:
    """`address`, mounted with a cache of its own."""
    settings = ClientSettings(
        cache_directory=directory / f"{name}-cache", state_directory=directory / f"{name}-state", now=lambda: NOW
    )
    (directory / name).mkdir()
    with mounted(partial(open_mounted_tree, address, settings), directory / name, source=NAME) as running:
        yield running


def key_in(directory: Path) -> Path:
    key = directory / "key.pub"
    key.write_bytes(keys().public_pem)
    return key


def owned(revision: int = 1) -> Published:
    """A repository whose entries belong to many."""
    published = Published(revision=revision)
    shelf = replace(directory_entry(b"shelf"), uid=1000, gid=100)
    inner = published.catalog(
        {b"/shelf/book": replace(published.file(b"book", b"A book."), uid=1001, gid=101)},
        b"/shelf",
        root=nested_root(shelf),
    )
    entries = {
        b"/shelf": nested_mountpoint(shelf),
        b"/page": replace(published.file(b"page", b"A page of %d." % revision), uid=1002, gid=100),
        b"/link": replace(link_entry(b"link", b"page"), uid=1001, gid=7),
    }
    return published.sign(published.catalog(entries, nested=[inner]))


def owners_are_those_that_the_site_wants(directory: Path) -> None:
    published = {"": (0, 0), "shelf": (1000, 100), "shelf/book": (1001, 101), "page": (1002, 100), "link": (1001, 7)}
    users, groups = OwnerMap({1000: 5, 1001: 1002, 1002: 1001}), OwnerMap({100: 6}, 65534)
    mapped = {"": (0, 65534), "shelf": (5, 6), "shelf/book": (1002, 65534), "page": (1001, 6), "link": (1002, 65534)}
    ours = dict.fromkeys(published, (os.geteuid(), os.getegid()))
    owned().write(directory / "server")
    for name, ownership, expected in (
        ("as-published", AS_PUBLISHED, published),
        ("mapped", Ownership(users=users, groups=groups), mapped),
        ("claimed", Ownership(claimed=True, users=users), ours),
    ):
        address = RepositoryAddress(NAME, (f"file://{directory}/server",), (key_in(directory),), ownership=ownership)
        with mounted_address(directory, address, name) as running:
            assert owners(running.mountpoint, published) == expected, name
            if name != "mapped":
                continue
            owned(2).write(directory / "server")
            assert look_now(running).revision == 2
            assert (running.mountpoint / "page").read_bytes() == b"A page of 2."
            assert owners(running.mountpoint, published) == expected


def owners(mountpoint: Path, names: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    found = {name: os.lstat(mountpoint / name) for name in names}
    return {name: (status.st_uid, status.st_gid) for name, status in found.items()}


def network_is_told_as_it_is(directory: Path) -> None:
    data = os.urandom(300_000)
    published = Published()
    published.sign(
        published.catalog({b"/data": published.file(b"data", data), b"/more": published.file(b"more", b"m")})
    )
    proxies = ProxySite(every=refusal(403)), ProxySite()
    with serving(Site(published.files)) as url, serving(proxies[0]) as bad, serving(proxies[1]) as good:
        network = NetworkSettings(proxies=((bad,), (good,)), timeout=3, timeout_direct=4, retries=0)
        address = RepositoryAddress(NAME, (url, f"{url}/other"), (key_in(directory),), network=network)
        with mounted_address(directory, address) as running:

            def told(name: str) -> str:
                return os.getxattr(running.mountpoint, f"user.{name}").decode()

            assert told("proxy") == good
            assert told("proxy_list") == f"{bad}\n{good}\n"
            assert (told("host"), told("host_list")) == (url, f"{url};{url}/other")
            assert (told("timeout"), told("timeout_direct"), told("external_timeout")) == ("3", "4", "10")
            assert told("proxy_list_external") == ""
            before = int(told("ndownload"))
            assert int(told("rx")) < 100
            assert (running.mountpoint / "data").read_bytes() == data
            assert 293 <= int(told("rx")) < 400
            # What is read next may come along.
            assert before < int(told("ndownload")) <= before + 2
            assert int(told("speed")) > 0
            assert int(told("inode_max")) >= 3


def catalogs_of_the_new_revision_are_pinned(directory: Path) -> None:
    publish(directory / "server", 1, FIRST)
    with mounted_repository(directory) as running:
        assert contents(running.mountpoint) == FIRST
        first = pinned(directory)
        assert len(first) == 2
        publish(directory / "server", 2, SECOND)
        assert look_now(running).revision == 2
        second = pinned(directory)
        assert len(second) == 2
        assert not first & second
        assert os.getxattr(running.mountpoint, "user.nclg") == b"2"
        root = Digest.parse(os.getxattr(running.mountpoint, "user.root_hash").decode(), what="the mount")
        assert object_name(root) in second


def pinned(directory: Path) -> set[bytes]:
    return pinned_objects(os.fsencode(directory / "cache" / "objects"), time.time())


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
