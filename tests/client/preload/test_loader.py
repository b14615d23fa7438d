"""What the loader finds in the tree by itself: libraries that programs and libraries need, and those that they open."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.client.preload.shown import PREFIX, Shown

pytestmark = pytest.mark.integration

_MAIN = """
#include <dlfcn.h>
#include <stdio.h>
int outer(void);
int main(int count, char **words)
{
    Dl_info told;
    printf("%d", outer());
    for (int i = 1; i < count; i++) {
        void *library = dlopen(words[i], RTLD_NOW);
        int (*plugin)(void) = library != NULL ? (int (*)(void))dlsym(library, "plugin") : NULL;
        if (plugin != NULL && dladdr((void *)plugin, &told) != 0)
            printf(" %d %s", plugin(), told.dli_fname);
        else
            printf(" %s", dlerror());
    }
    puts("");
    return 0;
}
"""
_INNER, _OUTER = "int inner(void) { return 41; }\n", "int inner(void); int outer(void) { return inner() + 1; }\n"
_PLUGIN = "int plugin(void) { return 5; }\n"


@pytest.fixture
def libraries_in_two_places(shown: Shown) -> Shown:
    """Two libraries, one of which needs the other, in directories of the tree; and one to be opened."""
    shown.compile(shown.tree / "inner" / "libinner.so", _INNER, "-shared", "-fPIC", "-Wl,-soname,libinner.so")
    shown.compile(
        shown.tree / "outer" / "libouter.so", _OUTER, "-shared", "-fPIC", "-Wl,-soname,libouter.so",
        f"-Wl,-rpath,{PREFIX}/outer:{PREFIX}/inner", f"-L{shown.tree}/inner", "-linner",
    )  # fmt: skip
    shown.compile(shown.tree / "inner" / "libplugin.so", _PLUGIN, "-shared", "-fPIC")
    return shown


def program(shown: Shown, *options: str, place: Path | None = None) -> None:
    shown.compile(
        (place or shown.tree) / "bin" / "main", _MAIN, f"-L{shown.tree}/outer", "-louter",
        f"-Wl,-rpath-link,{shown.tree}/inner", *options,
    )  # fmt: skip


MAIN = f"{PREFIX}/bin/main"


@pytest.mark.parametrize("tag", ["--enable-new-dtags", "--disable-new-dtags"], ids=["DT_RUNPATH", "DT_RPATH"])
def test_run_paths_below_the_prefix_are_searched(tag: str, libraries_in_two_places: Shown) -> None:
    """The first directory has the second library and not the first, so the loader must not take it for missing."""
    program(libraries_in_two_places, f"-Wl,{tag},-rpath,{PREFIX}/inner:{PREFIX}/none:{PREFIX}/outer")
    place = f"{PREFIX}/inner/libplugin.so"
    assert libraries_in_two_places.good(MAIN) == ["42"]
    assert libraries_in_two_places.good(MAIN, "libplugin.so", place) == [f"42 5 {place} 5 {place}"]


def test_run_paths_from_the_place_of_the_program_are_searched(libraries_in_two_places: Shown) -> None:
    program(libraries_in_two_places, "-Wl,-rpath,$ORIGIN/../inner:${ORIGIN}/../outer")
    assert libraries_in_two_places.good(MAIN, "libplugin.so")[0].startswith("42 5 ")


def test_the_library_path_is_searched(libraries_in_two_places: Shown) -> None:
    program(libraries_in_two_places)
    found = libraries_in_two_places.good(
        "env", f"LD_LIBRARY_PATH=/nowhere:{PREFIX}/inner:{PREFIX}/outer", MAIN, "libplugin.so"
    )
    assert found == [f"42 5 {PREFIX}/inner/libplugin.so"]
    assert libraries_in_two_places.run(MAIN).code == 127


def test_a_program_of_the_user_needs_libraries_of_the_tree(libraries_in_two_places: Shown) -> None:
    program(libraries_in_two_places, f"-Wl,-rpath,{PREFIX}/outer", place=libraries_in_two_places.outside)
    assert libraries_in_two_places.good("./bin/main") == ["42"]


def test_what_comes_first_is_taken_wherever_it_lies(libraries_in_two_places: Shown) -> None:
    shown = libraries_in_two_places
    own = _OUTER.replace("inner() + 1", "6").replace("int inner(void); ", "")
    shown.compile(shown.outside / "libouter.so", own, "-shared", "-fPIC", "-Wl,-soname,libouter.so")
    program(shown, f"-Wl,-rpath,{shown.outside}:{PREFIX}/outer")
    assert shown.good(MAIN) == ["6"]
    program(shown, f"-Wl,-rpath,{PREFIX}/outer:{shown.outside}")
    assert shown.good(MAIN) == ["42"]


def test_a_library_may_be_a_link_that_names_the_prefix(libraries_in_two_places: Shown) -> None:
    shown = libraries_in_two_places
    (shown.tree / "outer" / "libouter.so").rename(shown.tree / "outer" / "libouter.so.1")
    (shown.tree / "outer" / "libouter.so").symlink_to(PREFIX / "outer" / "libouter.so.1")
    shown.compile(shown.outside / "libouter.so", "int outer(void) { return 0; }", "-shared", "-Wl,-soname,libouter.so")
    shown.compile(shown.tree / "bin" / "main", _MAIN, f"-L{shown.outside}", "-louter", f"-Wl,-rpath,{PREFIX}/outer")
    assert shown.good(MAIN) == ["42"]


def test_what_is_not_there_is_missing_under_its_shown_name(libraries_in_two_places: Shown) -> None:
    program(libraries_in_two_places, f"-Wl,-rpath,{PREFIX}/outer")
    told = libraries_in_two_places.good(MAIN, f"{PREFIX}/none.so", "libnone.so")[0]
    assert told.startswith(f"42 {PREFIX}/none.so: cannot open shared object file")
    assert "libnone.so: cannot open" in told


def test_a_file_for_another_processor_is_passed_over(libraries_in_two_places: Shown) -> None:
    shown = libraries_in_two_places
    other = bytearray((shown.tree / "outer" / "libouter.so").read_bytes())
    other[18:20] = b"\x03\x00"
    (shown.tree / "other").mkdir()
    (shown.tree / "other" / "libouter.so").write_bytes(other)
    program(shown, f"-Wl,-rpath,{PREFIX}/other:{PREFIX}/outer")
    assert shown.good(MAIN) == ["42"]
