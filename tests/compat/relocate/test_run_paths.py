"""Where moved files look for libraries: packages' own directories are kept, and no others."""

from __future__ import annotations

import struct

import pytest

from outcrop.compat.relocate.elf_image import DT_FLAGS, DT_FLAGS_1, DT_NEEDED, DT_RPATH, ElfImage
from outcrop.compat.relocate.path_rules import PathRules
from outcrop.compat.relocate.run_paths import moved_run_path
from outcrop.errors import FormatError
from tests.compat.linked_elf import linked

P = b"/cvmfs/software.example.org/versions/2026.06/compat/linux/x86_64"
RULES = PathRules(P, frozenset({b"/lib/x86_64-linux-gnu", b"/lib/x86_64-linux-gnu/systemd"}))
TRUSTED = (f"{P.decode()}/lib/override", f"{P.decode()}/lib/nvidia")
LIBRARIES = f"{P.decode()}/usr/lib/x86_64-linux-gnu"


def moved(*entries: bytes, path: str = "usr/bin/program") -> tuple[list[bytes], tuple[bytes, ...]]:
    """What comes between the trusted directories and the layer's own, and what is left out."""
    found = moved_run_path(entries, path, (*TRUSTED, LIBRARIES), RULES)
    assert found.directories[:2] == tuple(one.encode() for one in TRUSTED)
    assert found.directories[-1] == LIBRARIES.encode()
    return list(found.directories[2:-1]), found.left


@pytest.mark.parametrize(
    ("entry", "wanted"),
    [
        (b"/usr/lib/man-db", P + b"/usr/lib/man-db"),
        (b"/usr//lib/man-db/", P + b"/usr/lib/man-db"),
        (b"/lib/x86_64-linux-gnu/systemd", P + b"/lib/x86_64-linux-gnu/systemd"),
        (b"/usr/lib/$LIB/plugins", P + b"/usr/lib/$LIB/plugins"),
        (b"$ORIGIN", b"$ORIGIN"),
        (b"$ORIGIN/../lib", b"$ORIGIN/../lib"),
        (b"${ORIGIN}/../..", b"${ORIGIN}/../.."),
    ],
)
def test_a_directory_of_the_layer_is_kept(entry: bytes, wanted: bytes) -> None:
    assert moved(entry) == ([wanted], ())


@pytest.mark.parametrize(
    "entry",
    [
        b"/opt/rocm/lib",
        b"/lib/elsewhere",
        b"lib",
        b"./lib",
        b"$ORIGIN/../../../lib",
        b"$ORIGINAL/lib",
        b"/usr/lib/../../../etc",
    ],
)
def test_what_is_not_the_layers_is_left_out_and_told(entry: bytes) -> None:
    assert moved(entry) == ([], (entry,))


def test_nothing_is_searched_where_an_entry_is_empty() -> None:
    assert moved(b"", b"/usr/lib/one", b"") == ([P + b"/usr/lib/one"], ())


def test_no_directory_is_searched_twice() -> None:
    own = b"/usr/lib/x86_64-linux-gnu"
    found = moved_run_path((own, b"/usr/lib/one", own), "usr/bin/x", (*TRUSTED, LIBRARIES, LIBRARIES), RULES)
    assert found.directories == (*map(str.encode, TRUSTED), P + own, P + b"/usr/lib/one")


@pytest.mark.parametrize("tag", [DT_FLAGS, DT_FLAGS_1])
def test_flags_of_which_none_is_set_make_room_where_there_is_none(tag: int) -> None:
    """As Go's linker writes them: no entry is left at the end of the dynamic section."""

    def full(value: int) -> ElfImage:
        data = linked(needed=["libc.so.6"])
        return ElfImage(data[:-32] + struct.pack("<QQ", tag, value) + bytes(16))

    image = full(0)
    image.set_run_path(b"/new")
    tags = [found for _, found, _ in image.dynamic()]
    assert DT_RPATH in tags
    assert DT_NEEDED in tags
    assert tag not in tags
    with pytest.raises(FormatError, match="has no room for a run path"):
        full(8).set_run_path(b"/new")
