"""Real programs, compiled for one prefix, run from another and proven: nothing of the old prefix is there any more."""

from __future__ import annotations

import gzip
import os
import py_compile
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from outcrop.client.relocate.elf import ElfString, read_elf
from outcrop.client.relocate.plan import plan_relocation
from outcrop.client.relocate.prefix import Prefix, prefix
from outcrop.client.relocate.proof import Proof, prove
from outcrop.client.relocate.proof_view import OldPrefix
from outcrop.client.relocate.relocation import relocate
from outcrop.errors import CommandFailed, InvalidValue, MissingCapability, NotFound
from outcrop.strace.run import find_tracer

pytestmark = pytest.mark.integration

LIBRARY = """
#include <stdio.h>
int tell(void) {
    char line[100];
    FILE *file = fopen("%s/share/greeting", "r");
    if (!file || !fgets(line, sizeof line, file)) return 3;
    fputs(line, stdout);
    return 0;
}
"""
PROGRAM = "int tell(void); int main(void) { return tell(); }"
ASSEMBLING = """
#include <stdio.h>
int main(int count, char **words) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s/share/greeting", count > 5 ? "/elsewhere" : "{parent}", "{name}");
    fopen(path, "r");
    return 0;
}
"""


def _why_not() -> str:
    for program in ("gcc", "strace"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    try:
        find_tracer()
    except MissingCapability as error:
        return str(error)
    return ""


needs_tools = pytest.mark.skipif(bool(_why_not()), reason=_why_not() or "everything is here")
Move = Callable[[], Path]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The directory that stands for /cvmfs/REPOSITORY: longer than the one to come, as it is there."""
    directory = tmp_path / "cvmfs" / "software-for-everybody.example.org"
    directory.mkdir(parents=True)
    return directory


@pytest.fixture
def move(old: Path, tmp_path: Path) -> Move:
    """Takes the tree away from where it was built, to a shorter place, and relocates it."""

    def moved() -> Path:
        new = tmp_path / "new"
        old.rename(new)
        relocate(plan_relocation(new, prefix(str(old)), prefix(str(new))))
        return new

    return moved


def compiled(source: str, output: Path, *options: str) -> Path:
    output.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["gcc", "-x", "c", "-", "-o", str(output), *options], input=source.encode(), check=True)
    return output


def host_interpreter() -> Path:
    with open(sys.executable, "rb") as stream:
        (path,) = read_elf(stream.read()).values(ElfString.INTERPRETER)
    return Path(os.fsdecode(path))


def build(old: Path) -> None:
    """A program whose interpreter, library and data lie below `old`, and a script whose shell does."""
    (old / "share").mkdir()
    (old / "share" / "greeting").write_text("hello from the tree\n")
    (old / "lib").mkdir()
    interpreter = old / "lib" / "ld.so"
    shutil.copy(host_interpreter(), interpreter)
    compiled(LIBRARY % old, old / "lib" / "libtell.so", "-shared", "-fPIC")
    library = ("-L", str(old / "lib"), "-ltell", f"-Wl,-rpath,{old}/lib", f"-Wl,--dynamic-linker={interpreter}")
    compiled(PROGRAM, old / "bin" / "tell", "-x", "none", *library)
    shutil.copy("/bin/sh", old / "bin" / "sh")
    script = old / "bin" / "script"
    script.write_text(f"#!{old}/bin/sh\nexec {old}/bin/tell\n")
    script.chmod(0o555)
    (old / "bin" / "link").symlink_to(old / "bin" / "tell")


def proven(old: Path, new: Path, *command: str, output: int = 2) -> Proof:
    return prove(command, prefix(str(old)), new, output=output)


@needs_tools
@pytest.mark.parametrize("name", ["tell", "script", "link"])
def test_a_compiled_program_runs_from_another_place(old: Path, move: Move, name: str) -> None:
    build(old)
    new = move()
    assert not old.exists()
    said = subprocess.run([new / "bin" / name], capture_output=True, text=True, check=True).stdout
    assert said == "hello from the tree\n"
    proof = proven(old, new, str(new / "bin" / name))
    assert proof.old_prefix is OldPrefix.ABSENT
    assert proof.files >= 4


@needs_tools
def test_it_runs_where_it_is_taken_next_and_where_it_was_built(old: Path, move: Move, tmp_path: Path) -> None:
    build(old)
    new = move()
    other = new.rename(tmp_path / "another")
    relocate(plan_relocation(other, None, prefix(str(other))))
    proven(new, other, str(other / "bin" / "script"))
    back = other.rename(old)
    relocate(plan_relocation(back, None, prefix(str(old))))
    assert subprocess.run([old / "bin" / "script"], capture_output=True, check=True).stdout == b"hello from the tree\n"


@needs_tools
def test_a_short_link_lets_it_run_from_a_long_path(old: Path, tmp_path: Path) -> None:
    build(old)
    long = old.rename(tmp_path / ("a-very-long-name-" * 6))
    link = tmp_path / "l"
    relocate(plan_relocation(long, prefix(str(old)), prefix(str(link))), link=prefix(str(link)))
    link.symlink_to(long)
    assert proven(old, long, str(long / "bin" / "script")).files >= 4


@needs_tools
def test_python_keeps_its_bytecode_and_finds_its_modules(old: Path, move: Move) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "--symlinks", str(old)], check=True)
    packages = next(old.glob("lib/python*/site-packages"))
    extra = old / "extra"
    extra.mkdir()
    (extra / "places.py").write_text(f"DATA = '{old}/share/x'\nTHIS = {str(old)!r}\n")
    py_compile.compile(str(extra / "places.py"))
    (packages / "extra.pth").write_text(f"{extra}\n")
    (old / "bin" / "show").write_text(
        f"#!{old}/bin/python\nimport os, places\nprint(os.path.normpath(places.DATA), os.path.normpath(places.THIS))\n"
    )
    (old / "bin" / "show").chmod(0o755)
    new = move()
    said = subprocess.run([new / "bin" / "show"], capture_output=True, text=True, check=True)
    assert said.stdout == f"{new}/share/x {new}\n"
    told = subprocess.run(
        [new / "bin" / "python", "-v", "-c", "import places"], capture_output=True, text=True, check=True
    )
    cached = [line for line in told.stderr.splitlines() if "places" in line]
    assert any("matches" in line for line in cached), cached
    assert not any("wrote" in line for line in cached)
    proven(old, new, str(new / "bin" / "show"))


@needs_tools
def test_a_path_put_together_at_run_time_is_caught(old: Path, move: Move) -> None:
    build(old)
    source = ASSEMBLING.replace("{parent}", str(old.parent)).replace("{name}", old.name)
    compiled(source, old / "bin" / "assemble")
    new = move()
    with pytest.raises(CommandFailed) as caught:
        proven(old, new, str(new / "bin" / "assemble"))
    assert f"{new}/bin/assemble still asks for {old}/share/greeting" in str(caught.value)
    assert f"because {new}/bin/assemble holds a part of the prefix" in str(caught.value)
    assert "outcrop run" in caught.value.hint


@needs_tools
def test_a_script_that_puts_the_path_together_is_named(old: Path, move: Move) -> None:
    build(old)
    script = old / "bin" / "assemble"
    script.write_text(f"#!/bin/sh\nhere={old.parent}\ncat $here/{old.name}/share/greeting 2>/dev/null\nexit 0\n")
    script.chmod(0o755)
    new = move()
    with pytest.raises(CommandFailed, match=f"because {new}/bin/assemble holds a part of the prefix"):
        proven(old, new, str(new / "bin" / "assemble"))


@needs_tools
def test_a_file_that_could_not_be_changed_is_named(old: Path, move: Move) -> None:
    build(old)
    (old / "share" / "where.gz").write_bytes(gzip.compress(f"{old}/share/greeting".encode()))
    (old / "bin" / "reads").write_text(f'#!/bin/sh\ncat "$(gzip -dc {old}/share/where.gz)" 2>/dev/null\nexit 0\n')
    (old / "bin" / "reads").chmod(0o755)
    new = move()
    with pytest.raises(CommandFailed, match=r"where\.gz holds the prefix.*compressed data"):
        proven(old, new, str(new / "bin" / "reads"))


@needs_tools
def test_a_variable_of_the_environment_is_named(old: Path, move: Move) -> None:
    build(old)
    new = move()
    environment = {**os.environb, b"LD_LIBRARY_PATH": os.fsencode(old / "lib")}
    with pytest.raises(CommandFailed, match="LD_LIBRARY_PATH holds it in the environment") as caught:
        prove([str(new / "bin" / "tell")], prefix(str(old)), new, output=2, environment=environment)
    assert "env -u LD_LIBRARY_PATH" in caught.value.hint


@needs_tools
@pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
def test_the_old_prefix_is_hidden_where_it_exists(old: Path, move: Move) -> None:
    build(old)
    new = move()
    (old / "share").mkdir(parents=True)
    proof = proven(old, new, "/bin/sh", "-c", f"test ! -e {old.parent}/x; exec {new}/bin/tell")
    if proof.old_prefix is OldPrefix.VISIBLE:
        pytest.skip("bubblewrap may not hide anything here")
    assert proof.old_prefix is OldPrefix.HIDDEN
    with pytest.raises(CommandFailed, match="still asks for"):
        proven(old, new, "/bin/sh", "-c", f"test ! -e {old}/share || exit 9; exec {new}/bin/tell")


@needs_tools
def test_a_program_that_fails_proves_nothing(old: Path, move: Move) -> None:
    build(old)
    (old / "share" / "greeting").unlink()
    new = move()
    with pytest.raises(CommandFailed, match="exit code 3"):
        proven(old, new, str(new / "bin" / "tell"))


@needs_tools
def test_a_program_that_uses_nothing_of_the_tree_proves_nothing(old: Path, move: Move) -> None:
    build(old)
    new = move()
    with pytest.raises(InvalidValue, match="uses nothing of"):
        proven(old, new, "/bin/true")
    with pytest.raises(NotFound):
        proven(old, new, str(new / "bin" / "no-such-program"))


def test_without_strace_the_proof_says_what_to_install(tmp_path: Path) -> None:
    def nothing(_name: str) -> None:
        return None

    with pytest.raises(MissingCapability, match="strace is not installed") as caught:
        prove(["/bin/true"], Prefix(b"/cvmfs/x"), tmp_path, find_program=nothing)
    assert "apt-get install strace" in caught.value.hint
