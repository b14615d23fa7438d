"""What was built on a layer is refused where it needs the machine that built it."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from outcrop.cli.console import Console
from outcrop.cli.stack_build import command as stack_build
from outcrop.errors import InvalidValue
from outcrop.software.build_tree import BuildTree
from outcrop.software.changeset import change_set, units_in
from outcrop.software.foreign_needs import HeldBack, foreign_needs, held_back
from outcrop.software.layer_below import LayerBelow, layer_below
from outcrop.software.layout import SoftwareLayout
from outcrop.software.stack import Foreign, read_stack
from tests.compat.linked_elf import linked, loader, write
from tests.software.installed import install
from tests.software.small_stack import GENERIC, write_small_stack

HELLO, LIB = "hello/1.0-GCCcore-12.2.0", "libthing/2.1-GCCcore-12.2.0"
LIBRARIES = "usr/lib/x86_64-linux-gnu"


@pytest.fixture
def layout(tmp_path: Path) -> SoftwareLayout:
    (tmp_path / "stack").mkdir()
    (tmp_path / "stack/stack.toml").write_text('repository = "software.example.org"\nversion = "2026.06"\n')
    return read_stack(tmp_path / "stack").layout(GENERIC)


@pytest.fixture
def tree(tmp_path: Path, layout: SoftwareLayout) -> BuildTree:
    """A layer with one library, and two installations on top of it."""
    made = BuildTree(tmp_path / "tree")
    layer = made.root / "versions/2026.06/compat/linux/x86_64"
    prefix = layout.mount_point / "versions/2026.06/compat/linux/x86_64"
    for place in ("startprefix", "usr/bin/python3", "usr/bin/gcc", "usr/share/Lmod/libexec/lmod"):
        write(layer / place, b"#!/bin/sh\n")
    write(layer / "lib64/ld-linux-x86-64.so.2", loader([f"{prefix}/lib/override", f"{prefix}/{LIBRARIES}"]))
    write(layer / LIBRARIES / "libc.so.6", linked())
    for module in (HELLO, LIB):
        install(made, layout, module)
        (made.root / layout.installation(module)).chmod(0o755)
    write(made.root / layout.installation(LIB) / "lib/libthing.so.2", linked(needed=["libc.so.6"]))
    return made


def below(tree: BuildTree, layout: SoftwareLayout) -> LayerBelow:
    found = layer_below(layout, tree.root)
    assert found is not None
    return found


def hello(tree: BuildTree, layout: SoftwareLayout, **words: object) -> dict[str, str]:
    """What is wrong with a program of the first installation that says `words` to the loader."""
    given = {"interpreter": below(tree, layout).layout.loader} | words
    write(tree.root / layout.installation(HELLO) / "bin/hello", linked(**given))  # type: ignore[arg-type]
    changes = change_set(layout, tree.root, units_in(tree.root, layout), {})
    found = foreign_needs(layout, below(tree, layout), changes)
    start = f"{layout.software}/"
    return {one.path.removeprefix(start): one.problem for one in found}


PROGRAM = f"{HELLO}/bin/hello"


def test_what_needs_the_layer_and_the_stack_alone_is_taken(tree: BuildTree, layout: SoftwareLayout) -> None:
    places = f"$ORIGIN/../lib:{layout.final}/software/{LIB}/lib:{layout.mount_point}/host_injections/lib"
    assert hello(tree, layout, needed=["libc.so.6", "libthing.so.2"], run_path=places) == {}


def test_a_library_of_the_stack_may_be_loaded_already(tree: BuildTree, layout: SoftwareLayout) -> None:
    assert hello(tree, layout, needed=["libthing.so.2"]) == {}


def test_a_devices_driver_is_the_hosts(tree: BuildTree, layout: SoftwareLayout) -> None:
    assert hello(tree, layout, needed=["libcuda.so.1", "libnvidia-ml.so.1"]) == {}


def test_the_hosts_loader_is_refused(tree: BuildTree, layout: SoftwareLayout) -> None:
    loader = below(tree, layout).layout.loader
    assert hello(tree, layout, interpreter="/lib64/ld-linux-x86-64.so.2") == {
        PROGRAM: f"is started by /lib64/ld-linux-x86-64.so.2, not by {loader}"
    }


@pytest.mark.parametrize("place", ["/usr/lib", "/cvmfs/other.example.org/lib", "", f"$ORIGIN{'/..' * 12}"])
def test_a_run_path_out_of_the_repository_is_refused(tree: BuildTree, layout: SoftwareLayout, place: str) -> None:
    run_path = f"{layout.final}:{place}"
    assert hello(tree, layout, run_path=run_path) == {
        PROGRAM: f"looks for libraries in {place or 'the current directory'}"
    }


def test_a_library_that_only_the_host_has_is_refused(tree: BuildTree, layout: SoftwareLayout) -> None:
    assert hello(tree, layout, needed=["libc.so.6", "libonly.so.1"]) == {
        PROGRAM: "needs libonly.so.1, which neither the layer nor the stack has"
    }


def test_scripts_and_static_programs_and_other_processors_need_nothing(tree: BuildTree, layout: SoftwareLayout) -> None:
    place = tree.root / layout.installation(HELLO)
    write(place / "bin/script", b"#!/bin/sh\n")
    write(place / "bin/static", linked(dynamic=False))
    write(place / "share/firmware.elf", linked(machine=8, needed=["libc.so.0"]))
    write(place / "share/cut.elf", linked()[:70])
    (place / "bin/absent").symlink_to("/nowhere")
    assert hello(tree, layout) == {}


def test_the_error_names_files_and_what_to_remove(tree: BuildTree, layout: SoftwareLayout) -> None:
    for number in range(6):
        hello(tree, layout)
        write(tree.root / layout.installation(HELLO) / f"bin/hello{number}", linked(needed=["libonly.so.1"]))
    changes = change_set(layout, tree.root, units_in(tree.root, layout), {})
    held = held_back(layout, below(tree, layout), changes)
    with pytest.raises(InvalidValue) as refused:
        held.require_nothing(tree.root / layout.software)
    assert f"{layout.installation(HELLO)}/bin/hello0 needs libonly.so.1" in refused.value.message
    assert refused.value.message.endswith("; and 2 more")
    assert f"remove {tree.root / layout.installation(HELLO)} and build again" in refused.value.hint


def test_what_is_published_already_is_not_looked_at_again(tree: BuildTree, layout: SoftwareLayout) -> None:
    hello(tree, layout, needed=["libonly.so.1"])
    published = {str(unit.path): unit.fingerprint for unit in units_in(tree.root, layout)}
    changes = change_set(layout, tree.root, units_in(tree.root, layout), published)
    assert held_back(layout, below(tree, layout), changes) == HeldBack()


def test_what_the_stack_allows_may_need_the_host(tree: BuildTree, layout: SoftwareLayout) -> None:
    hello(tree, layout, interpreter="/lib64/ld-linux-x86-64.so.2")
    write(tree.root / layout.installation(HELLO) / "lib/other.so", linked(needed=["libonly.so.1"]))
    changes = change_set(layout, tree.root, units_in(tree.root, layout), {})
    found = foreign_needs(layout, below(tree, layout), changes, (Foreign(("hello/*/bin/**",), "a vendor's"),))
    assert [(one.module, Path(one.path).name) for one in found] == [(HELLO, "other.so")]


def test_the_others_stay_publishable_but_for_what_loads_it(tree: BuildTree, layout: SoftwareLayout) -> None:
    for module, loads in (("user/1.0", HELLO), ("users-user/2", "user/1.0"), ("apart/3", LIB)):
        install(tree, layout, module)
        (tree.root / layout.module_file(module)).write_text(f'depends_on("{loads}")\n')
    hello(tree, layout, needed=["libonly.so.1"])
    present = units_in(tree.root, layout)
    held = held_back(layout, below(tree, layout), change_set(layout, tree.root, present, {}))
    assert held.dependents == ("user/1.0", "users-user/2")
    assert list(held.problems) == [HELLO, "user/1.0", "users-user/2"]
    published = {str(layout.installation(HELLO)): "as it was"}
    changes = change_set(layout, tree.root, present, published, held_back=held.problems)
    assert {one.module for one in changes.installations} == {LIB, "apart/3"}
    assert not any(part in str(path) for path in changes.paths for part in ("hello", "user"))
    assert changes.removed == ()
    with pytest.raises(InvalidValue, match=r"what loads it is left out, too: user/1\.0, users-user/2"):
        held.require_nothing(tree.root / layout.software)


@pytest.mark.integration
@pytest.mark.skipif(importlib.util.find_spec("easybuild") is None, reason="EasyBuild is not installed")
def test_the_command_tells_what_there_is_to_publish_and_then_fails(
    tmp_path: Path, tree: BuildTree, layout: SoftwareLayout
) -> None:
    small = write_small_stack(tmp_path, "12.2.0", repository=layout.repository)
    install(tree, layout, "GCCcore/12.2.0")
    hello(tree, layout, interpreter="/lib64/ld-linux-x86-64.so.2")
    arguments = [small.easystack, "--tree", tree.root, "--mirror", small.mirror, "--target", "x86_64/generic", "--json"]
    ended = CliRunner().invoke(stack_build, list(map(str, arguments)), obj=Console())
    assert isinstance(ended.exception, InvalidValue)
    assert f"{layout.installation(HELLO)}/bin/hello is started by" in ended.exception.message
    answer = json.loads(ended.stdout)
    assert list(answer["held_back"]) == [HELLO]
    assert {one["module"] for one in answer["installations"]} == {"GCCcore/12.2.0", LIB}
    assert tree.is_installed(layout, HELLO)


def test_modules_are_hidden_and_brought_back(tree: BuildTree, layout: SoftwareLayout) -> None:
    before = units_in(tree.root, layout)
    with tree.without_modules(layout, (HELLO,)):
        assert not tree.is_installed(layout, HELLO)
        assert tree.is_installed(layout, LIB)
    assert units_in(tree.root, layout) == before
    killed = tree.without_modules(layout, (HELLO,))
    killed.__enter__()
    tree.show_modules(layout)
    assert tree.remove_half_built(layout) == ()
    assert units_in(tree.root, layout) == before
