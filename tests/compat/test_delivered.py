"""A layer as a client delivers it is the layer that was stored, but for links that a site can redirect."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from outcrop.compat.delivered import as_stored, declared_links, may_be_shown
from outcrop.compat.family import family_named
from outcrop.compat.finish import add_redirections
from outcrop.compat.layout import LayerLayout
from outcrop.compat.lock import render_lock
from outcrop.compat.package_sets import read_description
from outcrop.compat.record import REDIRECTIONS_FILE, BuildLog, digests, layer_digest, write_record
from outcrop.compat.redirection import VariantLink
from outcrop.compat.unpack import merged_path
from outcrop.compat.verify.contents import links, recorded_files
from outcrop.compat.verify.shown import NO_SETTINGS, Settings, show_as_client
from outcrop.cvmfs.names import repository_name
from tests.compat.test_lock import LOCK

LAYOUT = LayerLayout(repository_name("software.example.org"), "2026.06", family_named("x86_64"))
SITE = {"EESSI_202606_COMPAT_ETC_PASSWD": "/site/passwd", "EESSI_202606_LIB_OVERRIDE": "/site/lib"}


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    """A layer with a file, links within, one that comes by a link for sites, and links for sites."""
    tree = tmp_path / "layer"
    (tree / "usr/lib").mkdir(parents=True)
    (tree / "usr/lib/file").write_text("contents")
    (tree / "lib").symlink_to("usr/lib")
    (tree / "var").mkdir()
    (tree / "var/accounts").symlink_to("../etc/passwd")
    add_redirections(tree, LAYOUT, read_description(), merged_path)
    write_record(
        tree, LAYOUT, datetime(2026, 6, 15, tzinfo=UTC), render_lock(LOCK), read_description(), (), BuildLog(), ()
    )
    return tree


def delivered(layer: Path, settings: Settings = NO_SETTINGS) -> Path:
    place = layer.with_name("delivered")
    show_as_client(layer, place, settings)
    return place


def told(tree: Path) -> dict[str, str]:
    return {one.subject: one.problem for one in (*links(tree).findings, *recorded_files(tree).findings)}


def stored(tree: Path) -> dict[str, str]:
    return as_stored(digests(tree), declared_links(tree) or {})


@pytest.mark.parametrize("settings", [NO_SETTINGS, SITE], ids=["defaults", "redirected"])
def test_a_delivered_layer_is_the_one_that_was_stored(layer: Path, settings: Settings) -> None:
    tree = delivered(layer, settings)
    assert os.readlink(tree / "etc/passwd").startswith("/")
    assert digests(tree) != digests(layer)
    assert told(tree) == {}
    assert stored(tree) == stored(layer) == digests(layer)


def test_a_proof_starts_from_the_same_layer_wherever_it_is_delivered(layer: Path) -> None:
    show_as_client(delivered(layer, SITE), layer.with_name("again"))
    show_as_client(layer, layer.with_name("first"))
    assert digests(layer.with_name("again")) == digests(layer.with_name("first"))


def test_nothing_else_may_differ(layer: Path) -> None:
    tree = delivered(layer)
    for path, target in (("etc/hosts", "hosts"), ("etc/more", "/etc/more"), ("var/accounts", "/etc/passwd")):
        (tree / path).unlink(missing_ok=True)
        (tree / path).symlink_to(target)
    (tree / "usr/lib/file").unlink()
    (tree / "usr/lib/file").write_text("other contents")
    assert told(tree).keys() == {"etc/hosts", "etc/more", "var/accounts", "usr/lib/file"}
    different = {path for path in digests(layer) | digests(tree) if stored(tree).get(path) != stored(layer).get(path)}
    assert different == told(tree).keys()


def test_what_a_publisher_puts_there_is_no_part_of_a_layer(layer: Path) -> None:
    tree = delivered(layer)
    for name in (".cvmfscatalog", ".cvmfsautocatalog"):
        (tree / "usr/lib" / name).touch()
    assert told(tree) == {}
    assert stored(tree) == stored(layer)
    assert layer_digest(tree, stored(tree)) == layer_digest(layer)


def test_what_is_called_like_a_publishers_file_and_is_none_is_told(layer: Path) -> None:
    tree = delivered(layer)
    (tree / ".cvmfsautocatalog").touch()
    (tree / "usr/.cvmfscatalog").write_text("contents")
    (tree / "usr/lib/.cvmfsautocatalog").symlink_to("file")
    assert told(tree).keys() == {".cvmfsautocatalog", "usr/.cvmfscatalog"}
    assert "usr/lib/.cvmfsautocatalog" in stored(tree)


@pytest.mark.parametrize(
    ("target", "may"),
    [
        ("$(A_HOSTS:-/etc/hosts)", True),
        ("/etc/hosts", True),
        ("/site/hosts", True),
        ("$(A_HOSTS:-/etc/shadow)", False),
        ("$(OTHER)", False),
        ("/site/$(OTHER)", False),
        ("hosts", False),
        ("../hosts", False),
    ],
)
def test_a_link_for_sites_leads_where_it_was_stored_or_to_an_absolute_path(target: str, may: bool) -> None:
    assert may_be_shown(VariantLink("etc/hosts", "A_HOSTS", "/etc/hosts"), target) is may


def test_a_layer_from_before_says_nothing_of_its_links(layer: Path) -> None:
    for record in layer.glob(f"reprod/*/{REDIRECTIONS_FILE}"):
        record.unlink()
    assert declared_links(layer) is None
