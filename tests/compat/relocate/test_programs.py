"""Programs of this machine's compiler, moved: they run, and speak of the new places."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from outcrop.compat.family import this_family
from outcrop.compat.relocate.elf_image import DT_RPATH, DT_RUNPATH, ElfImage
from outcrop.compat.relocate.path_rules import PathRules
from outcrop.compat.relocate.tree import TreeRules, relocate_file, relocate_tree
from outcrop.errors import FormatError, InvalidValue

P = "/cvmfs/software.example.org/versions/2026.06/compat/linux/x86_64"

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed"),
    pytest.mark.skipif(this_family().name != "x86_64", reason="the code of this processor is re-pointed elsewhere"),
]

SOURCE = r"""
#include <stdio.h>
#include <string.h>
static const char *const table[] = {"/usr/share/table", "/proc/table", 0};
const char *compared(const char *path) { return strcmp(path, "/etc/compared") ? "no" : "yes"; }
int main(int count, char **words)
{
    char buffer[4096];
    puts("/usr/share/direct");
    puts(table[0]);
    puts(table[1]);
    snprintf(buffer, sizeof buffer, "%s/%d", "/usr/lib/pattern", count);
    puts(buffer);
    puts(compared(words[1]));
    puts("see /etc/one:/usr/two");
    fwrite("/usr/share/written\n", 1, 19, stdout);
    return 0;
}
"""


def rules(loader: str, prefix: str = P) -> TreeRules:
    return TreeRules(
        paths=PathRules(prefix.encode(), frozenset()),
        machine=this_family().machine,
        triplet=this_family().triplet,
        loader=loader.encode(),
        directories=("/lib/x86_64-linux-gnu", f"{prefix}/usr/lib"),
        untouched=re.compile(r"kept"),
    )


def compiled(place: Path, *options: str) -> str:
    """Compiles a program at `place`; its interpreter."""
    place.with_suffix(".c").write_text(SOURCE)
    subprocess.run(["gcc", *options, str(place.with_suffix(".c")), "-o", str(place)], check=True)
    return (ElfImage(place.read_bytes()).interpreter or b"").decode()


def said(program: Path, word: str = "x") -> list[str]:
    ended = subprocess.run([str(program), word], capture_output=True, text=True, check=True)
    return ended.stdout.splitlines()


@pytest.mark.parametrize(
    "options", [("-O0",), ("-O2",), ("-O2", "-no-pie"), ("-O0", "-no-pie"), ("-O2", "-s")], ids=" ".join
)
def test_a_program_speaks_of_the_new_places(tmp_path: Path, options: tuple[str, ...]) -> None:
    program = tmp_path / "program"
    loader = compiled(program, *options)
    before = said(program)
    changes = relocate_file(tmp_path, "program", rules(loader))
    assert changes is not None
    assert not changes.refused
    assert said(program) == [
        P + before[0],
        P + before[1],
        before[2],
        P + before[3],
        "no",
        f"see {P}/etc/one:{P}/usr/two",
        f"{P}/usr/share/written",
    ]
    assert said(program, f"{P}/etc/compared")[4] == "yes"


COPIED = r"""
#include <stdio.h>
#include <string.h>
static const char prefix[16] = "/usr/lib/gcc/";
int main(int count, char **words)
{
    char buffer[64];
    memcpy(buffer, prefix, sizeof prefix);
    puts(strcat(buffer, words[1]));
    puts("/usr/lib/gcc/");
    return count;
}
"""


def test_what_a_compilers_driver_loads_from_a_text_is_nowhere_and_what_refers_to_it_moves(tmp_path: Path) -> None:
    (tmp_path / "usr/bin").mkdir(parents=True)
    path = "usr/bin/x86_64-linux-gnu-gcc-12"
    program = tmp_path / path
    subprocess.run(["gcc", "-O2", "-x", "c", "-", "-o", str(program)], input=COPIED, text=True, check=True)
    loader = (ElfImage(program.read_bytes()).interpreter or b"").decode()
    changes = relocate_file(tmp_path, path, rules(loader))
    assert changes is not None
    assert not changes.refused
    ended = subprocess.run([str(program), "specs"], capture_output=True, text=True, check=False)
    assert ended.stdout.splitlines() == ["/dev/null/gc/specs", f"{P}/usr/lib/gcc/"]


OWN = "/usr/lib/private:$ORIGIN/../lib:/old:relative:${ORIGIN}/../../out::/usr/lib"


@pytest.mark.parametrize("tags", ["enable", "disable"])
def test_a_programs_own_run_path_moves_behind_the_trusted_directories(tmp_path: Path, tags: str) -> None:
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/program"
    loader = compiled(program, f"-Wl,-rpath,{OWN}", f"-Wl,--{tags}-new-dtags")
    changes = relocate_file(tmp_path, "bin/program", rules(loader))
    image = ElfImage(program.read_bytes())
    wanted = f"/lib/x86_64-linux-gnu:{P}/usr/lib/private:$ORIGIN/../lib:{P}/usr/lib"
    assert image.dynamic_strings(DT_RPATH) == [wanted.encode()]
    assert image.dynamic_strings(DT_RUNPATH) == []
    assert changes is not None
    assert {b"/old", b"relative", b"${ORIGIN}/../../out"} <= set(changes.left)
    if shutil.which("readelf"):
        told = subprocess.run(["readelf", "-Wdl", str(program)], capture_output=True, text=True, check=True)
        assert wanted in told.stdout
        assert "arning" not in told.stderr


def test_a_library_beside_a_program_is_found_through_the_programs_own_run_path(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "private").mkdir()
    library = tmp_path / "private/libbeside.so"
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-x", "c", "-", "-o", str(library)],
        input="int beside(void) { return 42; }",
        text=True,
        check=True,
    )
    program = tmp_path / "bin/program"
    command = ["gcc", "-x", "c", "-", "-x", "none", str(library), "-Wl,-rpath,$ORIGIN/../private", "-o", str(program)]
    text = "int beside(void); int main(void) { return beside(); }"
    subprocess.run(command, input=text, text=True, check=True)
    loader = (ElfImage(program.read_bytes()).interpreter or b"").decode()
    for path in ("bin/program", "private/libbeside.so"):
        changes = relocate_file(tmp_path, path, rules(loader))
        assert changes is not None
        assert not changes.refused
    assert subprocess.run([str(program)], check=False).returncode == 42


def test_the_kernel_starts_it_with_the_loader_of_the_layer(tmp_path: Path) -> None:
    loader = compiled(tmp_path / "program")
    (tmp_path / "loader").symlink_to(loader)
    relocate_file(tmp_path, "program", rules(str(tmp_path / "loader")))
    assert ElfImage((tmp_path / "program").read_bytes()).interpreter == bytes(tmp_path / "loader")
    assert said(tmp_path / "program")


def test_files_that_are_kept_and_other_processors_are_not_touched(tmp_path: Path) -> None:
    loader = compiled(tmp_path / "kept")
    before = (tmp_path / "kept").read_bytes()
    assert relocate_file(tmp_path, "kept", rules(loader)) is None
    foreign = bytearray(before)
    foreign[18] = 0x28  # 32-bit Arm
    (tmp_path / "foreign").write_bytes(foreign)
    assert relocate_file(tmp_path, "foreign", rules(loader)) is None
    assert (tmp_path / "foreign").read_bytes() == foreign


def test_a_whole_tree_moves_with_its_links_and_scripts(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "usr/bin").mkdir(parents=True)
    (tree / "etc").mkdir()
    (tree / "etc/real").write_text("x")
    (tree / "usr/bin/script").write_text("#!/usr/bin/sh\ncat /etc/real\n")
    (tree / "usr/bin/script").chmod(0o755)
    (tree / "usr/bin/link").symlink_to("/etc/real")
    (tree / "usr/bin/host").symlink_to("/proc/self/exe")
    compiled(tree / "usr/bin/program")
    (tree / "usr/bin/program.c").unlink()
    (tree / "usr/bin/other-name").hardlink_to(tree / "usr/bin/program")
    changes = relocate_tree(tree, rules("/lib64/ld-linux-x86-64.so.2"), workers=2)
    assert {change.path for change in changes} >= {"usr/bin/script"}
    assert (tree / "usr/bin/script").read_text() == f"#!{P}/usr/bin/sh\ncat {P}/etc/real\n"
    assert (tree / "usr/bin/script").stat().st_mode & 0o777 == 0o755
    assert (tree / "usr/bin/link").readlink() == Path("../../etc/real")
    assert (tree / "usr/bin/host").readlink() == Path("/proc/self/exe")
    assert (tree / "usr/bin/program").samefile(tree / "usr/bin/other-name")
    assert said(tree / "usr/bin/other-name")[0].startswith(P)


def test_a_prefix_that_no_kernel_reads_in_a_first_line_is_refused(tmp_path: Path) -> None:
    (tmp_path / "script").write_text("#!/usr/bin/python3\n")
    with pytest.raises(InvalidValue, match="is too long: the first line of script"):
        relocate_file(tmp_path, "script", rules("", "/cvmfs/" + "x" * 120))
    assert (tmp_path / "script").read_text() == "#!/usr/bin/python3\n"


@pytest.mark.parametrize("length", [10, 64, 200, 1000, 5000])
def test_a_cut_program_is_refused(tmp_path: Path, length: int) -> None:
    loader = compiled(tmp_path / "program")
    cut = (tmp_path / "program").read_bytes()[:length]
    (tmp_path / "cut").write_bytes(cut)
    changes = relocate_file(tmp_path, "cut", rules(loader))
    assert changes is None or changes.refused
    assert (tmp_path / "cut").read_bytes() == cut
    with pytest.raises(FormatError):
        ElfImage(cut)
