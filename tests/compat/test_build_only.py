"""Packages that are only there while a layer is built: nothing of them ships, whatever was made of it.

No program of these layers runs, so the tests need no root that could run one.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from outcrop.compat.build import BuildPlace, build_layer, fetch_packages
from outcrop.compat.debian.archive import Archive
from outcrop.compat.debian.package_mirror import PackageMirror
from outcrop.compat.family import family_named
from outcrop.compat.layout import LayerLayout
from outcrop.compat.package_sets import read_description
from outcrop.compat.plan import plan_layer
from outcrop.compat.verify.contents import links
from outcrop.compat.verify.packages import wanted_packages
from outcrop.cvmfs.names import repository_name
from tests.compat.debian.archive_made_here import ADDRESS, NOW, MadeArchive, MadeKey, MadeSuite
from tests.compat.debian.packages_made_here import MadePackage, directory, file

pytestmark = [
    pytest.mark.integration,  # gpgv
    pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed"),
    pytest.mark.skipif(os.uname().machine != "x86_64", reason="the packages are for x86_64"),
]

LAYER = 'standard_sets = false\nrelease = "bookworm"\nsuites = ["bookworm"]\n'
DIRECTORIES = tuple(directory(name) for name in ("usr", "usr/bin", "usr/lib", "usr/lib32", "usr/share"))


def program(name: str, link: str, priority: int, *slaves: str, **fields: str) -> MadePackage:
    """A package whose program is an alternative for `link`, with manual pages of the names `slaves`."""
    pages = tuple(f"usr/share/{page}.{name}" for page in slaves)
    further = "".join(f" --slave /usr/share/{page} {page} /{place}" for page, place in zip(slaves, pages, strict=True))
    return MadePackage(
        name,
        fields=fields,
        entries=(*DIRECTORIES, file(f"usr/bin/{name}", b"#!/bin/sh\n", 0o755), *(file(page, b"") for page in pages)),
        script=f"update-alternatives --install /usr/bin/{link} {link} /usr/bin/{name} {priority}{further}\n",
    )


MOVED = file("usr/bin/moved", b"of base")
DIVERTS = "dpkg-divert --package mover --add --rename --divert /usr/bin/moved.base /usr/bin/moved\n"
PACKAGES = (
    MadePackage(
        "base", fields={"Depends": "awk"}, entries=(*DIRECTORIES, file("usr/bin/base", b"#!/usr/bin/awk\n"), MOVED)
    ),
    program("mawk", "awk", 5, "awk.1", Provides="awk"),
    program("gawk", "awk", 10, "awk.1", "nawk.1", Provides="awk"),
    program("nc.openbsd", "nc", 50),
    MadePackage("mover", entries=(*DIRECTORIES, file("usr/bin/moved", b"of mover")), preinst=DIVERTS),
    MadePackage("old", entries=(*DIRECTORIES, directory("usr/lib32"), file("usr/lib32/libold.so.1", b"old"))),
)
SETS = {"ships": ("base", "mawk"), "builds": ("gawk", "mover", "nc.openbsd", "old")}


@pytest.fixture
def tree(tmp_path: Path, archive_key: MadeKey) -> Path:
    made = MadeArchive()
    made.add_suite(MadeSuite("bookworm", architectures=("amd64",)), PACKAGES, archive_key)
    archive = Archive((ADDRESS,), PackageMirror(tmp_path / "mirror", made.network()), archive_key.keyring)
    own = tmp_path / "compat"
    own.mkdir()
    (own / "layer.toml").write_text(LAYER)
    for name, packages in SETS.items():
        wanted = "".join(f'[[package]]\nname = "{one}"\nreason = "wanted"\n' for one in packages)
        (own / f"{name}.toml").write_text(f'purpose = "a purpose"\nships = {str(name == "ships").lower()}\n{wanted}')
    description, family = read_description(own), family_named("x86_64")
    lock = plan_layer(description, family, (), archive, NOW).lock
    assert [one.name for one in lock.packages if one.ships] == ["base", "mawk"]
    place = BuildPlace(LayerLayout(repository_name("software.example.org"), "2026.06", family), tmp_path / "tree")
    built = build_layer(place, lock, description, fetch_packages(lock, archive.store, archive.mirrors))
    assert links(built.tree).findings == ()
    assert wanted_packages(built.tree, lock, ("base", "mawk")).findings == ()
    return built.tree


def test_nothing_ships_of_what_was_only_there_for_building(tree: Path) -> None:
    programs = {path.name: os.readlink(path) if path.is_symlink() else "" for path in (tree / "usr/bin").iterdir()}
    assert programs.keys() == {"awk", "base", "mawk", "moved"}
    assert (tree / "usr/bin/moved").read_bytes() == b"of base"
    assert (tree / "usr/bin/awk").resolve() == tree / "usr/bin/mawk"
    assert {path.name for path in (tree / "usr/share").iterdir()} == {"awk.1", "awk.1.mawk"}
    assert (tree / "usr/share/awk.1").resolve() == tree / "usr/share/awk.1.mawk"
    assert not os.path.lexists(tree / "lib32")
