"""What the information attributes say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from outcrop.client.mount.activity import Activity
from outcrop.client.mount.information import Asked, information
from outcrop.client.mount.inodes import Nodes
from outcrop.client.mount.protocol import ROOT_NODE
from outcrop.client.network.state import NO_NETWORK, NetworkState
from tests.client.mount.fake_tree import FakeTree


@pytest.fixture
def tree(tmp_path: Path) -> FakeTree:
    tree = FakeTree(tmp_path)
    tree.put_file(b"/a", b"a")
    return tree


def asked(tree: FakeTree) -> Asked:
    nodes = Nodes(tree)
    nodes.directory(ROOT_NODE)
    return Asked(tree, nodes.node(ROOT_NODE), Activity(clock=lambda: 1000.0), nodes.highest)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("host", "http://localhost"),
        ("host_list", "http://localhost;http://far"),
        ("proxy", "http://proxy:3128"),
        ("proxy_list", "http://proxy:3128\nDIRECT\n"),
        ("proxy_list_external", ""),
        ("timeout", "5"),
        ("timeout_direct", "10"),
        ("external_timeout", "0"),
        ("external_host", "internal error: no hosts defined"),
        ("rx", "4"),
        ("ndownload", "3"),
        ("speed", "9"),
        ("inode_max", "2"),
        ("nclg", "1"),
    ],
)
def test_network_and_numbers_are_told_in_the_forms_of_the_reference(tree: FakeTree, name: str, value: str) -> None:
    assert information(asked(tree), f"user.{name}".encode()) == value.encode()


def test_external_files_count_with_the_others(tree: FakeTree) -> None:
    about = tree.about
    external = NetworkState(servers=("http://data",), timeout_direct=7.0, received=about.network.received)
    tree.about = replace(about, external=external)
    found = {name: information(asked(tree), name) for name in (b"user.rx", b"user.ndownload", b"user.external_timeout")}
    assert found == {b"user.rx": b"9", b"user.ndownload": b"6", b"user.external_timeout": b"7"}


def test_nothing_that_has_come_has_no_speed(tree: FakeTree) -> None:
    tree.about = replace(tree.about, network=NO_NETWORK)
    assert information(asked(tree), b"user.speed") == b"n/a"
    assert information(asked(tree), b"user.proxy") == b"DIRECT"
    assert information(asked(tree), b"user.host") == b"internal error: no hosts defined"
