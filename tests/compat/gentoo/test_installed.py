from __future__ import annotations

from pathlib import Path

import pytest

from outcrop.compat.gentoo.installed import installed_packages, not_installed, package_list
from outcrop.compat.gentoo.lock import InstalledPackage


def install(tree: Path, name: str, **facts: str) -> None:
    place = tree / "var/db/pkg" / name
    place.mkdir(parents=True)
    for fact, text in facts.items():
        (place / fact).write_text(text + "\n")


def test_the_database_is_read_without_what_is_unfinished(tmp_path: Path) -> None:
    install(tmp_path, "sys-libs/glibc-2.40-r5", repository="gentoo", SIZE="4096")
    install(tmp_path, "app-shells/bash-5.2_p37", repository="own")
    install(tmp_path, "app-shells/-MERGING-fish-4", repository="gentoo")
    found = installed_packages(tmp_path)
    assert found == (
        InstalledPackage("app-shells/bash-5.2_p37", "own", 0),
        InstalledPackage("sys-libs/glibc-2.40-r5", "gentoo", 4096),
    )
    assert package_list(found) == "app-shells/bash-5.2_p37::own\nsys-libs/glibc-2.40-r5::gentoo\n"


def test_a_tree_without_a_database_has_nothing(tmp_path: Path) -> None:
    assert installed_packages(tmp_path) == ()


@pytest.mark.parametrize(
    ("atom", "there"),
    [
        ("sys-libs/glibc", True),
        ("=sys-libs/glibc-2.40-r5::gentoo", True),
        (">=sys-libs/glibc-2", True),
        ("media-fonts/font-util", True),
        ("media-fonts/font", False),
        ("dev-lang/python:3.13", True),
        ("app-arch/7zip", True),
        ("sys-libs/gli", False),
    ],
)
def test_whether_anything_of_an_atom_is_installed(atom: str, there: bool) -> None:
    names = ("sys-libs/glibc-2.40-r5", "media-fonts/font-util-1.4", "dev-lang/python-3.13.1_p1", "app-arch/7zip-24.09")
    assert not_installed([atom], [InstalledPackage(name, "gentoo") for name in names]) == (() if there else (atom,))
