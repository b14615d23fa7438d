"""What a site redirects is looked for, and a link that does not do what it promises is found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from outcrop.compat.record import recorded_redirections
from outcrop.compat.redirection import Redirections
from outcrop.compat.sealed_root import SealedRoot, sealed_root
from outcrop.compat.verify.redirected import site_redirects
from outcrop.compat.verify.shown import show_as_client, show_shared
from tests.compat.layers import BUILD_SECONDS, NEEDS_A_RELEASE, SharedLayer

pytestmark = [
    pytest.mark.integration,
    pytest.mark.xdist_group("compilers"),
    pytest.mark.timeout(BUILD_SECONDS),
    *NEEDS_A_RELEASE,
]


def shown(layer: SharedLayer, place: Path) -> tuple[SealedRoot, Redirections]:
    """A root with a copy of the layer in `place`, which may be changed, and what its record says."""
    links = recorded_redirections(layer.tree)
    assert links is not None
    show_as_client(layer.tree, place / "layer")
    show_shared(links.shared, place / "shared")
    return sealed_root(layer.layout, place / "layer", shared=place / "shared"), links


def test_a_layer_takes_what_a_site_redirects(layer_with_compilers: SharedLayer, tmp_path: Path) -> None:
    root, links = shown(layer_with_compilers, tmp_path)
    looked = site_redirects(root, links, tmp_path / "site")
    assert (looked.findings, looked.skipped) == ((), ())
    assert looked.number > len(links.layer)


def test_another_order_of_libraries_and_a_missing_link_are_found(
    layer_with_compilers: SharedLayer, tmp_path: Path
) -> None:
    root, links = shown(layer_with_compilers, tmp_path)
    *files, override, nvidia, amd = links.layer
    swapped = replace(links, layer=(*files, override, amd, nvidia))
    found = site_redirects(root, swapped, tmp_path / "site").findings
    assert {one.subject.rsplit("/", 2)[1] for one in found} == {"amd"}
    missing = replace(links, shared=tuple(one for one in links.shared if one.path != "defaults/nvidia"))
    told = [one.problem for one in site_redirects(root, missing, tmp_path / "site 2").findings]
    assert "leads to /cvmfs/software.example.org/defaults/nvidia, which the repository does not have" in told


def test_an_older_layer_has_nothing_to_redirect(layer_with_compilers: SharedLayer, tmp_path: Path) -> None:
    looked = site_redirects(layer_with_compilers.root(), None, tmp_path)
    assert (looked.number, looked.findings) == (0, ())
    assert looked.skipped
