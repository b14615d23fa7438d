"""The layer that a stack's builds stand on, and the root in which they run."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path, PurePosixPath

import pytest

from outcrop.errors import InvalidValue, MissingCapability
from outcrop.software.build_tree import BuildTree
from outcrop.software.build_view import sandboxed
from outcrop.software.layer_below import LayerBelow, easybuild_places, layer_below, layer_in
from outcrop.software.layout import SoftwareLayout
from outcrop.software.sandbox import EntryKind, KernelOnly
from outcrop.software.stack import read_stack
from tests.compat.linked_elf import write
from tests.software.small_stack import GENERIC

PLACE = "versions/2026.06/compat/linux/x86_64"
NEEDED = ("usr/bin/python3", "usr/bin/gcc", "usr/share/Lmod/libexec/lmod")


@pytest.fixture
def layout(tmp_path: Path) -> SoftwareLayout:
    (tmp_path / "stack").mkdir()
    (tmp_path / "stack/stack.toml").write_text('repository = "software.example.org"\nversion = "2026.06"\n')
    return read_stack(tmp_path / "stack").layout(GENERIC)


def make_layer(root: Path, *places: str) -> None:
    for place in ("startprefix", *places):
        write(root / PLACE / place, b"")


def test_a_tree_without_a_layer_has_none_below(tmp_path: Path, layout: SoftwareLayout) -> None:
    (tmp_path / "tree" / PLACE).mkdir(parents=True)
    assert layer_below(layout, tmp_path / "tree") is None


def test_all_that_a_build_uses_is_below_the_layers_prefix(tmp_path: Path, layout: SoftwareLayout) -> None:
    make_layer(tmp_path / "tree", *NEEDED)
    layer = layer_below(layout, tmp_path / "tree")
    assert isinstance(layer, LayerBelow)
    assert layer.prefix == PurePosixPath("/cvmfs/software.example.org", PLACE)
    assert layer.tree == tmp_path / "tree" / PLACE
    for place in (*layer.program_directories, layer.shell, layer.python, str(layer.lmod)):
        assert place.startswith(f"{layer.prefix}/usr/")


@pytest.mark.parametrize("absent", NEEDED)
def test_a_layer_that_cannot_build_is_refused(tmp_path: Path, layout: SoftwareLayout, absent: str) -> None:
    make_layer(tmp_path / "tree", *(place for place in NEEDED if place != absent))
    with pytest.raises(MissingCapability, match="no compiler, no Python or no Lmod") as refused:
        layer_below(layout, tmp_path / "tree")
    assert "--with compilers" in refused.value.hint
    assert layer_in(layout, tmp_path / "tree") is not None


def test_easybuild_is_shown_with_its_recipes(tmp_path: Path) -> None:
    pytest.importorskip("easybuild.framework")
    places = easybuild_places()
    assert any((place / "framework/easyblock.py").is_file() for place in places)
    assert any(place.name == "easyconfigs" for place in places)


def test_a_build_on_a_layer_sees_nothing_of_the_host(tmp_path: Path, layout: SoftwareLayout) -> None:
    make_layer(tmp_path / "tree", *NEEDED, "usr/bin/dash", "usr/bin/env", "usr/bin/bash")
    (tmp_path / "tree" / PLACE / "usr/bin/sh").symlink_to("dash")
    layer = layer_below(layout, tmp_path / "tree")
    tree, mirror, easybuild = BuildTree(tmp_path / "tree"), tmp_path / "mirror", Path("/opt/python/easybuild")
    inside = sandboxed(layout, tree, mirror, (), (), (easybuild,), layer)
    line = inside.command_line(["true"], {"PATH": "/nowhere"})
    options = ("--bind", "--ro-bind", "--bind-try", "--ro-bind-try", "--symlink")
    shown = {line[at + 2]: line[at + 1] for at, word in enumerate(line) if word in options}
    assert layer is not None
    assert shown == {
        "/sys": "/sys",
        "/tmp": str(tree.scratch),
        "/tmp/outcrop/mirror": str(mirror),
        "/tmp/outcrop/easybuild_hooks.py": shown["/tmp/outcrop/easybuild_hooks.py"],
        "/opt/python/easybuild": "/opt/python/easybuild",
        "/cvmfs/software.example.org": str(tree.root),
        str(layer.prefix): str(layer.tree),
        "/bin/sh": f"{layer.prefix}/usr/bin/sh",
        "/bin/bash": f"{layer.prefix}/usr/bin/bash",
        "/usr/bin/env": f"{layer.prefix}/usr/bin/env",
        "/usr/bin/python3": f"{layer.prefix}/usr/bin/python3",
    }
    assert ("--ro-bind", str(layer.tree)) in pairwise(line)


def test_a_stack_says_what_leads_to_the_layer(tmp_path: Path, layout: SoftwareLayout) -> None:
    make_layer(tmp_path / "tree", *NEEDED, "etc/services")
    layer = layer_below(layout, tmp_path / "tree")
    assert layer is not None

    def links(*paths: str) -> list[tuple[str, str]]:
        fixed = tuple(map(PurePosixPath, paths))
        tree = BuildTree(tmp_path / "tree")
        inside = sandboxed(layout, tree, tmp_path / "mirror", (), (), (), layer, fixed)
        line = inside.command_line(["true"], {})
        return [(line[at + 2], line[at + 1]) for at, word in enumerate(line) if word == "--symlink"]

    assert links("/etc/services", "/bin/bash") == [("/etc/services", f"{layer.prefix}/etc/services")]
    with pytest.raises(InvalidValue, match="the fixed path /usr/bin/tclsh leads nowhere"):
        links("/usr/bin/tclsh")


def test_without_a_layer_a_build_sees_the_host(tmp_path: Path, layout: SoftwareLayout) -> None:
    inside = sandboxed(layout, BuildTree(tmp_path / "tree"), tmp_path / "mirror", (), (), ())
    assert "/usr" in inside.command_line(["true"], {})


def test_only_the_kernel_is_shown_where_there_is_no_host() -> None:
    host = KernelOnly()
    assert set(host.entries(PurePosixPath("/"))) == {"dev", "proc", "sys"}
    assert host.kind(PurePosixPath("/usr")) is EntryKind.ABSENT
    assert host.kind(PurePosixPath("/proc/usr")) is EntryKind.ABSENT
    with pytest.raises(FileNotFoundError):
        host.link(PurePosixPath("/bin"))
