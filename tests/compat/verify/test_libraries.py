"""That every file of a layer names its loader, and gets libraries of the layer, told from the files alone."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from outcrop.compat.family import family_named
from outcrop.compat.layout import LayerLayout
from outcrop.compat.loader_search import parse_index
from outcrop.compat.verify.elsewhere import found_elsewhere, parse_elsewhere
from outcrop.compat.verify.libraries import libraries
from outcrop.cvmfs.names import repository_name
from outcrop.errors import FormatError
from tests.compat.linked_elf import linked, loader, write

LAYOUT = LayerLayout(repository_name("software.example.org"), "2026.06", family_named("x86_64"))
P = str(LAYOUT.prefix)
LIBRARIES = "usr/lib/x86_64-linux-gnu"
TRUSTED = (f"{P}/lib/override", f"{P}/{LIBRARIES}")

ELSEWHERE = """
[[elsewhere]]
paths = ["usr/lib/plugins/*.so"]
needs = ["libhost*.so.1"]
reason = "opened by the host of plugins, which has it"
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A layer with a loader, a library and a program that needs it."""
    root = tmp_path / "layer"
    write(root / LIBRARIES / "ld-linux-x86-64.so.2", loader(TRUSTED))
    (root / "usr/lib64").mkdir()
    (root / "usr/lib64/ld-linux-x86-64.so.2").symlink_to("../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2")
    (root / "lib64").symlink_to("usr/lib64")
    write(root / LIBRARIES / "libone.so.1", linked(soname="libone.so.1"))
    write(root / "usr/bin/program", linked(interpreter=LAYOUT.loader, needed=["libone.so.1"]))
    return root


def problems(tree: Path, text: str = "") -> dict[str, str]:
    elsewhere = parse_elsewhere(text, "libraries.toml")
    return {one.subject: one.problem for one in libraries(tree, LAYOUT, elsewhere).findings}


def test_a_layer_that_has_what_it_needs_is_clean(tree: Path) -> None:
    looked = libraries(tree, LAYOUT)
    assert (looked.number, looked.findings) == (3, ())


def test_a_program_of_the_hosts_loader_is_found(tree: Path) -> None:
    write(tree / "usr/bin/foreign", linked(interpreter="/lib64/ld-linux-x86-64.so.2"))
    assert problems(tree) == {
        "usr/bin/foreign": "is started by /lib64/ld-linux-x86-64.so.2, which is not the layer's loader"
    }


def test_a_library_that_is_nowhere_is_found(tree: Path) -> None:
    write(tree / "usr/lib/plugins/one.so", linked(needed=["libone.so.1", "libabsent.so.1"]))
    assert problems(tree) == {
        "usr/lib/plugins/one.so": "needs libabsent.so.1, which the loader does not find in the layer"
    }


@pytest.mark.parametrize(
    ("run_path", "found"),
    [
        (f"{P}/usr/lib/private", True),
        ("$ORIGIN/../lib/private", True),
        (f"{P}/usr/lib/other:${{ORIGIN}}/../lib/private", True),
        (f"{P}/usr/lib/other", False),
        (None, False),
    ],
)
def test_a_private_library_is_found_by_the_run_path_alone(tree: Path, run_path: str | None, found: bool) -> None:
    write(tree / "usr/lib/private/libprivate.so", linked())
    program = linked(interpreter=LAYOUT.loader, needed=["libprivate.so"], run_path=run_path)
    write(tree / "usr/bin/program", program)
    assert ("usr/bin/program" not in problems(tree)) is found


@pytest.mark.parametrize("entry", ["/usr/lib", f"{P}-more/lib", "lib", "", "$ORIGIN/../../.."])
def test_a_run_path_that_leads_out_of_the_layer_is_found(tree: Path, entry: str) -> None:
    write(tree / "usr/bin/program", linked(run_path=f"{P}/lib:{entry}", needed=["libone.so.1"]))
    (problem,) = problems(tree).values()
    assert problem == f"looks for libraries in {entry or 'the current directory'}, outside of the layer"


def test_a_library_of_the_host_behind_a_link_does_not_count(tree: Path, tmp_path: Path) -> None:
    write(tmp_path / "site/libsite.so.1", linked())
    (tree / "usr/lib/override").symlink_to(tmp_path / "site")
    (tree / "lib").symlink_to("usr/lib")
    write(tree / "usr/bin/program", linked(needed=["libsite.so.1"]))
    assert list(problems(tree)) == ["usr/bin/program"]


def test_files_for_another_processor_neither_count_nor_pass(tree: Path) -> None:
    write(tree / LIBRARIES / "libone.so.1", linked(machine=183))
    assert problems(tree) == {
        "usr/bin/program": "needs libone.so.1, which the loader does not find in the layer",
        f"{LIBRARIES}/libone.so.1": "is for processor 183, not for x86_64",
    }


def test_a_broken_file_is_found(tree: Path) -> None:
    write(tree / "usr/bin/cut", linked()[:70])
    assert list(problems(tree)) == ["usr/bin/cut"]


def test_what_is_declared_to_be_found_elsewhere_is_no_finding(tree: Path) -> None:
    write(tree / "usr/lib/plugins/one.so", linked(needed=["libhost-5.so.1"]))
    write(tree / "usr/lib/one.so", linked(needed=["libhost-5.so.1"]))
    assert list(problems(tree, ELSEWHERE)) == ["usr/lib/one.so"]


def test_an_entry_without_a_reason_is_refused() -> None:
    with pytest.raises(FormatError, match="reason is empty"):
        parse_elsewhere(ELSEWHERE.replace("opened by the host of plugins, which has it", " "), "libraries.toml")


def test_a_stack_adds_to_what_comes_with_outcrop() -> None:
    assert len(found_elsewhere(ELSEWHERE)) == len(found_elsewhere()) + 1


def test_a_loader_that_was_not_moved_is_found(tree: Path) -> None:
    write(tree / LIBRARIES / "ld-linux-x86-64.so.2", loader(["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu"]))
    assert "does not name them" in problems(tree)["lib64/ld-linux-x86-64.so.2"]


# ---- The index of libraries ----


def index(*entries: tuple[str, str]) -> bytes:
    texts, table = b"", b""
    begin = 48 + 24 * len(entries)
    for name, path in entries:
        table += struct.pack("<iIIIQ", 0x303, begin + len(texts), begin + len(texts) + len(name) + 1, 0, 0)
        texts += f"{name}\0{path}\0".encode()
    header = struct.pack("<20sII", b"glibc-ld.so.cache1.1", len(entries), len(texts))
    return header.ljust(48, b"\0") + table + texts


def test_the_index_counts_where_the_loader_reads_it(tree: Path) -> None:
    write(tree / "usr/lib/indexed/libindexed.so.1", linked())
    write(tree / "usr/bin/program", linked(needed=["libindexed.so.1"]))
    write(tree / "etc/ld.so.cache", index(("libindexed.so.1", f"{P}/usr/lib/indexed/libindexed.so.1")))
    assert list(problems(tree)) == ["usr/bin/program"]
    write(tree / LIBRARIES / "ld-linux-x86-64.so.2", loader(TRUSTED, f"{P}/etc/ld.so.cache"))
    assert problems(tree) == {}


def test_an_index_has_all_paths_of_a_name() -> None:
    assert parse_index(index(("liba.so", "/1/liba.so"), ("liba.so", "/2/liba.so"))) == {
        "liba.so": ("/1/liba.so", "/2/liba.so")
    }


@pytest.mark.parametrize("data", [b"", b"rubbish" * 20, index(("liba.so", "/1/liba.so"))[:60]])
def test_a_broken_index_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        parse_index(data)
