"""Libraries of this machine's compiler: what they give, and what breaks when they change."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from outcrop.compat.abi.compare import breaks
from outcrop.compat.abi.symbols import Interface, interface_of
from outcrop.errors import FormatError

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed"),
]

OLD = "int added(int a) { return a + 1; } int table[4] = {1}; int dropped(void) { return 1; }"
USER = "int added(int); int dropped(void); extern int table[4]; int main() { return added(table[0]) + dropped(); }"
VERSIONS = "ONE { global: added; table; }; TWO { global: dropped; } ONE;"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path


def library(place: Path, source: str, *, name: str = "libthing.so.1", versions: str = "") -> Interface:
    """The interface of `source`, compiled as a library."""
    (place / "lib.c").write_text(source)
    options = ["-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", str(place / name)]
    if versions:
        (place / "versions").write_text(versions)
        options.append(f"-Wl,--version-script,{place / 'versions'}")
    subprocess.run(["gcc", str(place / "lib.c"), *options], check=True)
    return interface_of((place / name).read_bytes())


def user(place: Path, source: str = USER, *, name: str = "libthing.so.1") -> Interface:
    """The interface of a program that uses the library that was compiled last."""
    (place / "user.c").write_text(source)
    subprocess.run(["gcc", str(place / "user.c"), str(place / name), "-o", str(place / "user")], check=True)
    return interface_of((place / "user").read_bytes())


def problems(old: Interface, new: Interface | None, program: Interface) -> list[str]:
    after = {"lib": new} if new else {}
    return [one.problem for one in breaks({"lib": old}, after, {"usr/bin/user": program})]


@pytest.mark.parametrize("versions", ["", VERSIONS], ids=["plain", "versioned"])
def test_a_library_that_gives_more_breaks_nothing(place: Path, versions: str) -> None:
    old = library(place, OLD, versions=versions)
    program = user(place)
    more = library(place, OLD + "int more;", versions=versions and versions + "THREE { global: more; } TWO;")
    assert problems(old, more, program) == []
    assert problems(old, old, program) == []


def test_a_symbol_that_is_gone_breaks_those_who_need_it(place: Path) -> None:
    old = library(place, OLD)
    program = user(place)
    new = library(place, OLD.partition("int dropped")[0])
    assert problems(old, new, program) == ["dropped is not given any more"]


def test_a_symbol_that_nobody_needs_may_go(place: Path) -> None:
    old = library(place, OLD)
    program = user(place, "int added(int); int main() { return added(1); }")
    assert problems(old, library(place, OLD.partition("int dropped")[0]), program) == []


def test_a_version_that_is_gone_breaks_those_who_need_it(place: Path) -> None:
    old = library(place, OLD, versions=VERSIONS)
    program = user(place)
    new = library(place, OLD, versions=VERSIONS.replace("TWO", "NEW"))
    assert problems(old, new, program) == [
        "the version TWO is not defined any more",
        "dropped@TWO is not given any more",
    ]


def test_data_of_another_size_breaks_those_who_copy_it(place: Path) -> None:
    old = library(place, OLD)
    program = user(place)
    new = library(place, OLD.replace("table[4]", "table[8]"))
    assert problems(old, new, program) == ["table has 32 bytes instead of 16"]


def test_code_that_became_data_breaks(place: Path) -> None:
    old = library(place, OLD)
    program = user(place)
    new = library(place, OLD.replace("int dropped(void) { return 1; }", "int dropped = 1;"))
    assert problems(old, new, program) == ["dropped is data now"]


def test_a_library_of_another_name_is_another_library(place: Path) -> None:
    old = library(place, OLD)
    program = user(place)
    assert problems(old, library(place, OLD, name="libthing.so.2"), program) == ["is not there any more"]
    assert problems(old, None, program) == ["is not there any more"]


def test_weak_needs_may_be_missing(place: Path) -> None:
    old = library(place, OLD)
    source = USER.replace("int dropped(void);", "__attribute__((weak)) int dropped(void);")
    assert problems(old, library(place, OLD.partition("int dropped")[0]), user(place, source)) == []


@pytest.mark.parametrize("hashes", ["gnu", "sysv", "both"])
def test_all_symbols_are_found_by_each_kind_of_hash_table(place: Path, hashes: str) -> None:
    names = [f"function_{number}" for number in range(200)]
    (place / "many.c").write_text("".join(f"int {name}(void) {{ return 1; }}\n" for name in names))
    options = ["-shared", "-fPIC", f"-Wl,--hash-style={hashes}", "-nostdlib"]
    subprocess.run(["gcc", str(place / "many.c"), *options, "-o", str(place / "many.so")], check=True)
    given = {one.symbol.name for one in interface_of((place / "many.so").read_bytes()).gives}
    assert given >= set(names)


@pytest.mark.skipif(shutil.which("readelf") is None, reason="readelf is not installed")
def test_the_c_library_s_symbols_are_those_that_readelf_sees() -> None:
    path = said("gcc", "-print-file-name=libc.so.6").strip()
    wanted = set()
    for line in said("readelf", "-W", "--dyn-syms", path).splitlines():
        words = line.split()
        if len(words) >= 8 and words[0].endswith(":") and words[4] != "LOCAL" and words[6] not in ("UND", "Ndx"):
            wanted.add(words[7].replace("@@", "@"))
    given = interface_of(Path(path).read_bytes())
    # For each version there is a symbol of its name, too, which readelf shows without a version.
    ours = {one.symbol.name if one.symbol.name in given.versions else str(one.symbol) for one in given.gives}
    assert ours == wanted


def said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("length", [0, 30, 64, 400, 3000])
def test_a_cut_file_is_told(place: Path, length: int) -> None:
    library(place, OLD)
    with pytest.raises(FormatError):
        interface_of((place / "libthing.so.1").read_bytes()[:length])


def test_what_a_program_that_gives_nothing_needs_is_seen(place: Path) -> None:
    old = library(place, OLD)
    (place / "user.c").write_text("int dropped(void); int main(void) { return dropped(); }")
    options = ["-nostdlib", "-Wl,-e,main", str(place / "libthing.so.1"), "-o", str(place / "user")]
    subprocess.run(["gcc", str(place / "user.c"), *options], check=True)
    program = interface_of((place / "user").read_bytes())
    assert problems(old, library(place, "int added(int a) { return a; }"), program) == ["dropped is not given any more"]
