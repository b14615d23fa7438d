"""What the hooks add to an installation; that EasyBuild calls them is shown by builds."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from outcrop.software.easybuild_hooks import post_install_hook, pre_configure_hook

COLLECT = "libexec/gcc/x86_64-pc-linux-gnu/12.2.0/collect2"


@pytest.fixture
def layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    layer = tmp_path / "layer"
    for name in ("as", "ld"):
        make(layer / "usr/bin" / name)
    monkeypatch.setenv("EASYBUILD_SYSROOT", str(layer))
    monkeypatch.setenv("EASYBUILD_FILTER_DEPS", "binutils,zlib")
    return layer


def make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def installed(directory: Path, *places: str) -> Path:
    """What is in the installation with `places` once the hook was called."""
    for place in places:
        make(directory / place)
    post_install_hook(SimpleNamespace(installdir=str(directory)))
    return directory / "x86_64-pc-linux-gnu/bin"


def test_a_gcc_finds_the_layers_assembler_and_linker(tmp_path: Path, layer: Path) -> None:
    tools = installed(tmp_path / "gcc [1]", COLLECT, "x86_64-pc-linux-gnu/bin/ld")
    assert {path.name for path in tools.iterdir()} == {"as", "ld"}
    assert (tools / "as").readlink() == layer / "usr/bin/as"
    assert not (tools / "ld").is_symlink(), "what it brings itself stays"


def test_what_is_no_compiler_gets_no_tools(tmp_path: Path, layer: Path) -> None:
    assert not installed(tmp_path / "program", "bin/program").exists()


@pytest.mark.parametrize("variable", ["EASYBUILD_SYSROOT", "EASYBUILD_FILTER_DEPS"])
def test_without_a_layer_or_with_binutils_of_the_stack_modules_lead_to_the_tools(
    tmp_path: Path, layer: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.delenv(variable)
    assert not installed(tmp_path / "gcc", COLLECT).exists()


class EB_GCC:  # noqa: N801 - EasyBuild's name
    """Stands for EasyBuild's recipe."""


@pytest.mark.parametrize(("block", "told"), [(EB_GCC(), True), (SimpleNamespace(), False)])
def test_a_gcc_links_its_own_libraries_by_the_linker_on_the_path(
    tmp_path: Path, layer: Path, monkeypatch: pytest.MonkeyPatch, block: object, told: bool
) -> None:
    make(tmp_path / "wrapper/ld")
    (tmp_path / "wrapper/ld").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "wrapper"))
    monkeypatch.setenv("LD", "")
    monkeypatch.delenv("LD")
    pre_configure_hook(block)
    assert os.environ.get("LD") == (str(tmp_path / "wrapper/ld") if told else None)
