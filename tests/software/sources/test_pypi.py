from __future__ import annotations

import pytest

from outcrop.software.sources.pypi import PackageIndex, link_with_digest, project_of
from tests.software.sources.pretended import PretendedNetwork

SHA = "a" * 64
INDEX = "https://index.example.org/simple"
PAGE = f"""<!DOCTYPE html><html><body>
<a href="https://files.example.org/x/numpy-1.24.1.tar.gz#sha256={"b" * 64}">numpy-1.24.1.tar.gz</a>
<a href="../../files/numpy-1.24.2.tar.gz#sha256={SHA}" data-yanked="">numpy-1.24.2.tar.gz</a>
<a name="nothing">nothing</a>
</body></html>"""


@pytest.mark.parametrize(
    ("urls", "project"),
    [
        (("https://pypi.example.org/packages/source/n/numpy/numpy-1.24.2.tar.gz",), "numpy"),
        (
            ("https://x.example.org/a", "https://pypi.example.org/packages/source/R/Ruamel.Yaml_x/r.tgz"),
            "ruamel-yaml-x",
        ),
        (("https://github.com/numpy/numpy/archive/v1.tar.gz",), None),
        ((), None),
    ],
)
def test_the_project_is_read_from_the_upstream_address(urls: tuple[str, ...], project: str | None) -> None:
    assert project_of(urls) == project


def test_the_file_is_picked_by_its_digest() -> None:
    page = f"{INDEX}/numpy/"
    assert link_with_digest(PAGE, page, (SHA,)) == "https://index.example.org/files/numpy-1.24.2.tar.gz"
    assert link_with_digest(PAGE, page, ("c" * 64,)) is None


def test_an_index_is_asked_for_the_projects_page() -> None:
    network = PretendedNetwork({f"{INDEX}/numpy/": PAGE.encode()})
    found = PackageIndex((INDEX,), network).find(INDEX, "numpy", ("b" * 64,))
    assert found == "https://files.example.org/x/numpy-1.24.1.tar.gz"
