"""Real builds: EasyBuild in bubblewrap with Lmod and the system's compiler."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from outcrop.errors import CommandFailed, InvalidValue, MissingCapability, NotFound
from outcrop.software.build import mark_published, prepare, run
from outcrop.software.build_tree import BuildTree, remove_tree
from outcrop.software.build_view import sandboxed
from outcrop.software.demo_stack import system_gcc_version, write_demo_stack
from outcrop.software.easybuild_plan import plan_easystacks
from outcrop.software.easybuild_run import BuildStep, StepState
from outcrop.software.lmod import find_lmod
from outcrop.software.plan import FileRole
from outcrop.software.sandbox import LocalHost, View, ensure_available
from tests.software.small_stack import BROKEN_MAKEFILE, SLOW_MAKEFILE, SmallStack, write_small_stack


def _missing_program() -> str:
    if importlib.util.find_spec("easybuild") is None:
        return "EasyBuild is not installed"
    if find_lmod(os.environ) is None:
        return "Lmod is not installed"
    if not all(shutil.which(name) for name in ("gcc", "make", "patch", "bzip2")):
        return "gcc, make, patch or bzip2 is not installed"
    try:
        ensure_available(View(isolated_processes=True, network=False), LocalHost())
    except MissingCapability as error:
        return error.message
    return ""


needs_easybuild = pytest.mark.skipif(importlib.util.find_spec("easybuild") is None, reason="EasyBuild is not installed")

MODULE = "hello/1.0-GCCcore-{gcc}"


@pytest.fixture(scope="module")
def gcc() -> str:
    """The version of the system's compiler, once everything that a build needs is known to be there."""
    if reason := _missing_program():
        pytest.skip(reason)
    return system_gcc_version()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return tmp_path / "träe with spaces"


@pytest.mark.integration
@pytest.mark.slow
def test_an_easystack_is_built_for_its_final_place(tmp_path: Path, tree: Path, gcc: str) -> None:
    small = write_small_stack(tmp_path, gcc)
    prepared = prepare(small.request(tree))
    assert [one.name for one in prepared.missing] == ["GCCcore", "hello"]
    steps: list[BuildStep] = []
    outcome = run(prepared, steps.append)
    module = MODULE.format(gcc=gcc)
    assert [(step.module, step.number, step.state) for step in steps] == [
        (f"GCCcore/{gcc}", 1, StepState.BEGUN),
        (f"GCCcore/{gcc}", 1, StepState.DONE),
        (module, 2, StepState.BEGUN),
        (module, 2, StepState.DONE),
    ]
    layout = prepared.layout
    program = tree / layout.installation(module) / "bin" / "hello"
    said = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    assert said == f"hello from {layout.mount_point / layout.installation(module)}\n"
    assert program.stat().st_mode & 0o222 == 0
    assert b"/cvmfs/" in (tree / layout.lmod / "cache" / "spiderT.lua").read_bytes()
    assert str(tree) not in (tree / layout.lmod / "lmodrc.lua").read_text()
    assert outcome.notes == ()
    assert outcome.changes.message == f"hello 1.0, GCCcore {gcc} for x86_64/generic"
    paths = {str(path.relative_to(layout.relative)) for path in outcome.changes.paths}
    assert {".lmod", ".cvmfscatalog", f"modules/all/{module}.lua", f"software/{module}"} <= paths
    assert (tree / layout.installation(module) / ".cvmfscatalog").is_file()
    assert any(path.startswith(f"reprod/{module}/") for path in paths)

    mark_published(prepared, outcome.changes)
    again = run(prepare(small.request(tree), prepared.plan), steps.append)
    assert again.changes.is_empty
    assert again.built == ()
    assert again.logs == ()
    assert len(steps) == 4

    remove_tree(tree / layout.installation(f"GCCcore/{gcc}"))
    mended = run(prepare(small.request(tree), prepared.plan))
    assert [one.name for one in mended.built] == ["GCCcore"]


@pytest.mark.integration
@pytest.mark.slow
def test_without_a_sandbox_a_tree_at_its_final_place_is_built(tmp_path: Path, gcc: str) -> None:
    small = write_small_stack(tmp_path, gcc, mount_root=str(tmp_path / "stacks"))
    programs = tmp_path / "programs"
    programs.mkdir()
    environment = {**os.environ, "PATH": str(programs)}
    elsewhere = prepare(small.request(tmp_path / "elsewhere"))
    with pytest.raises(MissingCapability, match="the build tree must be"):
        run(elsewhere, environment=environment)
    prepared = prepare(small.request(tmp_path / "stacks" / small.stack.repository), elsewhere.plan)
    outcome = run(prepared, environment=environment)
    assert [one.name for one in outcome.built] == ["GCCcore", "hello"]
    program = prepared.tree.root / prepared.layout.installation(MODULE.format(gcc=gcc)) / "bin" / "hello"
    assert str(program.parent.parent) in subprocess.run([program], capture_output=True, text=True, check=True).stdout


@pytest.mark.integration
@pytest.mark.slow
def test_a_failing_build_tells_the_compilers_words(tmp_path: Path, tree: Path, gcc: str) -> None:
    small = write_small_stack(tmp_path, gcc, BROKEN_MAKEFILE)
    with pytest.raises(CommandFailed, match=r"missing\.c: No such file") as caught:
        run(prepare(small.request(tree)))
    assert caught.value.message.startswith(f"building {MODULE.format(gcc=gcc)} failed")
    (log,) = BuildTree(tree).logs.iterdir()
    assert str(log) in caught.value.hint
    assert "one line of talk" in log.read_text()


@pytest.mark.integration
@pytest.mark.fault
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_build_leaves_nothing_running_or_locked(
    tmp_path: Path, tree: Path, gcc: str, number: signal.Signals
) -> None:
    small = write_small_stack(tmp_path, gcc, SLOW_MAKEFILE)
    command = [sys.executable, "-m", "outcrop", "stack", "build", str(small.easystack), "--target", "x86_64/generic"]
    build = subprocess.Popen(
        [*command, "--tree", str(tree), "--mirror", str(small.mirror)], stderr=subprocess.PIPE, text=True
    )
    with build:
        assert build.stderr is not None
        assert any(MODULE.format(gcc=gcc) in line for line in build.stderr)
        _await_child(tree, "sleep")
        build.send_signal(number)
        told = build.stderr.read()
    if number is not signal.SIGKILL:
        assert build.returncode == 130
        assert "stopped" in told
    _await_no_child(tree)
    built = BuildTree(tree)
    layout = small.request(tree).stack.layout(small.request(tree).target)
    with built.locked():
        assert built.remove_half_built(layout) in ((), (MODULE.format(gcc=gcc),))
    assert built.is_installed(layout, f"GCCcore/{gcc}")


def _processes_below(tree: Path) -> list[str]:
    """The names of the processes whose view has `tree` in it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (
                tree.name in (process / "mountinfo").read_text().replace("\\040", " ")
                and (process / "cmdline").read_bytes()
            ):
                found.append((process / "comm").read_text().strip())
        except OSError:
            continue
    return found


def _await_child(tree: Path, name: str, seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while name not in _processes_below(tree):
        assert time.monotonic() < until, f"{name} did not start"
        time.sleep(0.05)


def _await_no_child(tree: Path, seconds: float = 5.0) -> None:
    until = time.monotonic() + seconds
    while found := _processes_below(tree):
        assert time.monotonic() < until, f"still running: {found}"
        time.sleep(0.05)


@pytest.mark.integration
def test_missing_sources_are_named_with_the_command_that_fetches_them(tmp_path: Path, tree: Path, gcc: str) -> None:
    small = write_small_stack(tmp_path, gcc)
    (small.mirror / "h" / "hello" / "hello-1.0.tar.gz").write_bytes(b"damaged")
    with pytest.raises(NotFound, match=r"h/hello/hello-1\.0\.tar\.gz") as caught:
        run(prepare(small.request(tree)))
    assert "outcrop sources fetch" in caught.value.hint


@pytest.mark.integration
@needs_easybuild
@pytest.mark.parametrize("version", ["11.4.0", "15.1.0"])
def test_the_demo_stack_resolves_for_any_compiler(tmp_path: Path, version: str) -> None:
    stack = write_demo_stack(tmp_path, version, "5.4.1", stock=[])
    assert stack.easyconfig_directory is not None
    plan = plan_easystacks(stack.easystacks(), (stack.easyconfig_directory,), stack.filter_dependencies)
    modules = [one.module for one in plan.installations]
    assert modules.index(f"GCCcore/{version}") < modules.index(f"GCC/{version}")
    assert set(modules) == {
        f"GCCcore/{version}",
        f"GCC/{version}",
        f"seqtk/1.4-GCC-{version}",
        f"bzip2/1.0.8-GCCcore-{version}",
        f"lz4/1.9.4-GCCcore-{version}",
    }
    sources = {f"{file.shelf}/{file.name}": file for file in plan.files if file.role is FileRole.SOURCE}
    assert set(sources) == {"s/seqtk/v1.4.tar.gz", "b/bzip2/bzip2-1.0.8.tar.gz", "l/lz4/v1.9.4.tar.gz"}
    assert sources["s/seqtk/v1.4.tar.gz"].urls == ("https://github.com/lh3/seqtk/archive/v1.4.tar.gz",)
    assert all(len(file.sha256) == 1 for file in plan.files)


@pytest.mark.integration
@needs_easybuild
def test_an_unknown_easyconfig_is_named(tmp_path: Path) -> None:
    easystack = tmp_path / "x.yml"
    easystack.write_text("easyconfigs: [nothing-1.0.eb]\n")
    with pytest.raises(InvalidValue, match=r"nothing-1\.0\.eb"):
        plan_easystacks([easystack], [], [])


def test_a_build_sees_short_ascii_paths_only(tmp_path: Path) -> None:
    small: SmallStack = write_small_stack(tmp_path / "ü ü", "12.2.0")
    tree = BuildTree(tmp_path / "ü tree")
    layout = small.stack.layout(small.request(tree.root).target)
    own = small.stack.easyconfig_directory
    assert own is not None
    inside = sandboxed(layout, tree, small.mirror, (own,), (small.easystack,), (tmp_path / "venv", Path("/usr")))
    places = inside.places
    assert str(places.scratch) == "/tmp"
    for path in (places.mirror, *places.easyconfigs, *places.easystacks, places.hooks, places.home, places.events):
        assert path.is_relative_to("/tmp")
        assert str(path).isascii()
    assert inside.on_host(tree, "/tmp/tmp/eb-1/out.txt") == tree.scratch / "tmp/eb-1/out.txt"
    assert inside.on_host(tree, "/usr/lib/x") == Path("/usr/lib/x")
