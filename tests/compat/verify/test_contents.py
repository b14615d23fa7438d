"""Which links of a layer may lead nowhere."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from outcrop.compat.family import family_named
from outcrop.compat.finish import add_redirections
from outcrop.compat.layout import LayerLayout
from outcrop.compat.lock import render_lock
from outcrop.compat.package_sets import read_description
from outcrop.compat.record import REDIRECTIONS_FILE, BuildLog, write_record
from outcrop.compat.unpack import merged_path
from outcrop.compat.verify.contents import links
from outcrop.cvmfs.names import repository_name
from tests.compat.test_lock import LOCK

LAYOUT = LayerLayout(repository_name("software.example.org"), "2026.06", family_named("x86_64"))


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    """A layer that has nothing but links that a site can redirect."""
    tree = tmp_path / "layer"
    (tree / "usr/lib").mkdir(parents=True)
    (tree / "lib").symlink_to("usr/lib")
    add_redirections(tree, LAYOUT, read_description(), merged_path)
    write_record(
        tree, LAYOUT, datetime(2026, 6, 15, tzinfo=UTC), render_lock(LOCK), read_description(), (), BuildLog(), ()
    )
    return tree


def told(tree: Path) -> dict[str, str]:
    return {one.subject: one.problem for one in links(tree).findings}


def test_links_for_sites_may_lead_nowhere(layer: Path) -> None:
    assert told(layer) == {}
    assert links(layer).number > len(read_description().host_links)
    assert os.readlink(layer / "usr/lib/override").startswith("$(EESSI_202606_LIB_OVERRIDE:-")


def test_no_other_link_may(layer: Path) -> None:
    (layer / "usr/lib/more").symlink_to("$(EESSI_202606_MORE:-/nowhere)")
    (layer / "usr/lib/dangling").symlink_to("nothing")
    (layer / "etc/hosts").unlink()
    (layer / "etc/hosts").symlink_to("$(EESSI_202606_COMPAT_ETC_HOSTS:-/etc/shadow)")
    (layer / "usr/lib/amd").unlink()
    (layer / "usr/lib/amd").mkdir()
    found = told(layer)
    assert found.keys() == {"usr/lib/more", "usr/lib/dangling", "etc/hosts", "usr/lib/amd"}
    assert "no record" in found["usr/lib/more"]
    assert "not where its record says" in found["etc/hosts"]
    assert "is no link" in found["usr/lib/amd"]


def test_an_older_layer_has_no_record_of_them(layer: Path) -> None:
    (layer / "etc/hosts").unlink()
    (layer / "etc/hosts").symlink_to("$(EESSI_202606_COMPAT_ETC_HOSTS:-/etc/hosts)")
    for record in layer.glob(f"reprod/*/{REDIRECTIONS_FILE}"):
        record.unlink()
    assert told(layer) == {}
