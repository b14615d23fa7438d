from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from outcrop.compat.family import family_named
from outcrop.compat.layout import LayerLayout
from outcrop.cvmfs.names import repository_name

REPOSITORY = repository_name("software.example.org")


@pytest.mark.parametrize(
    ("family", "loader", "libraries"),
    [
        ("x86_64", "/lib64/ld-linux-x86-64.so.2", "/usr/lib/x86_64-linux-gnu"),
        ("aarch64", "/lib/ld-linux-aarch64.so.1", "/usr/lib/aarch64-linux-gnu"),
        ("riscv64", "/lib/ld-linux-riscv64-lp64d.so.1", "/usr/lib/riscv64-linux-gnu"),
    ],
)
def test_a_layer_lies_where_eessi_has_it(family: str, loader: str, libraries: str) -> None:
    layout = LayerLayout(REPOSITORY, "2026.06", family_named(family))
    prefix = f"/cvmfs/software.example.org/versions/2026.06/compat/linux/{family}"
    assert layout.relative == PurePosixPath(f"versions/2026.06/compat/linux/{family}")
    assert layout.prefix == PurePosixPath(prefix)
    assert layout.loader == prefix + loader
    assert layout.libraries == prefix + libraries


def test_a_repository_may_be_mounted_elsewhere() -> None:
    layout = LayerLayout(REPOSITORY, "1", family_named("x86_64"), PurePosixPath("/data/cvmfs"))
    assert str(layout.prefix) == "/data/cvmfs/software.example.org/versions/1/compat/linux/x86_64"
    assert layout.loader.startswith(str(layout.prefix))


@pytest.mark.parametrize(
    ("version", "prefix", "variable"),
    [
        ("2026.06", "EESSI_", "EESSI_202606_LIB_OVERRIDE"),
        ("2026.06-001", "EESSI_", "EESSI_202606001_LIB_OVERRIDE"),
        ("1", "OURS_", "OURS_1_LIB_OVERRIDE"),
    ],
)
def test_a_variable_of_a_version_has_its_digits_and_one_of_all_versions_has_none(
    version: str, prefix: str, variable: str
) -> None:
    layout = LayerLayout(REPOSITORY, version, family_named("x86_64"), variable_prefix=prefix)
    assert layout.variable("LIB_OVERRIDE") == variable
    assert layout.shared_variable("HOST_INJECTIONS") == f"{prefix}HOST_INJECTIONS"
