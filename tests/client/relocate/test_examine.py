"""What files of every kind ask for when their tree is relocated."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import marshal
import tarfile
import zipfile

import pytest
import zstandard

from outcrop.client.relocate.changes import Examined, PlaceKind, Reason, Style
from outcrop.client.relocate.examine import examine, examine_link
from outcrop.client.relocate.prefix import prefix
from tests.client.relocate.elf_files import ElfPlan

OLD = prefix("/cvmfs/repo.example")
P = OLD.path


def kinds(examined: Examined) -> list[PlaceKind]:
    return [place.kind for place in examined.change.places] if examined.change else []


def reasons(examined: Examined) -> list[Reason]:
    return [finding.reason for finding in examined.findings]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (b"x.pc", b"prefix=%s/a\nlibdir=${prefix}/lib\n"),
        (b"x.la", b"libdir='%s/lib'\ndependency_libs=' -L%s/lib -lz'\n"),
        (b"x.json", b'{"a": ["%s/x"]}'),
        (b"x.lua", b'prepend_path("PATH", "%s/bin")\n'),
        (b"x.pth", b"%s/lib/python\n"),
        (b"sysconfigdata.py", b"build = {'prefix': '%s'}\n"),
        (b"latin1.txt", b"caf\xe9 %s/x\n"),
    ],
)
def test_text_is_replaced_exactly(name: bytes, text: bytes) -> None:
    examined = examine(name, text.replace(b"%s", P), OLD)
    assert examined.change is not None
    assert examined.change.style is Style.EXACT
    assert kinds(examined) == [PlaceKind.TEXT] * text.count(b"%s")


def test_a_shebang_is_told_from_the_rest() -> None:
    examined = examine(b"bin/x", b"#!%s/bin/sh\ncat %s/x\n" % (P, P), OLD)
    assert kinds(examined) == [PlaceKind.SHEBANG, PlaceKind.TEXT]


def test_a_long_shebang_is_reported() -> None:
    examined = examine(b"bin/x", b"#!%s/%s\n" % (P, b"x" * 120), OLD)
    assert reasons(examined) == [Reason.SHEBANG_LENGTH]


@pytest.mark.parametrize("name", [b"x.elc", b"x.info", b"x.info-2", b"x.ps"])
def test_text_that_counts_its_bytes_is_padded(name: bytes) -> None:
    examined = examine(name, P, OLD)
    assert examined.change is not None
    assert examined.change.style is Style.PADDED


def test_a_source_with_bytecode_keeps_its_length() -> None:
    styles = [examine(b"a.py", P, OLD, compiled=compiled).change for compiled in (True, False)]
    assert [change and change.style for change in styles] == [Style.PADDED, Style.EXACT]


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("big_endian", [False, True])
def test_places_of_an_elf_file_are_told_apart(bits: int, big_endian: bool) -> None:
    strings = (("needed", P + b"/l.so"), ("runpath", b"/usr/lib:" + P + b"/lib:" + P + b"/l"))
    plan = ElfPlan(bits, big_endian, P + b"/ld.so", strings, b"\0" + P + b"/etc\0")
    examined = examine(b"bin/x", plan.build(), OLD)
    assert kinds(examined) == [
        PlaceKind.INTERPRETER,
        PlaceKind.LIBRARY,
        PlaceKind.RUN_PATH,
        PlaceKind.RUN_PATH,
        PlaceKind.DATA,
    ]
    assert examined.change is not None
    assert examined.change.style is Style.PADDED


def test_a_broken_elf_file_is_binary_data() -> None:
    examined = examine(b"bin/x", b"\x7fELF\x02\x01" + bytes(3) + P + b"/x\0", OLD)
    assert kinds(examined) == [PlaceKind.DATA]


def test_a_string_that_begins_inside_the_prefix_keeps_it() -> None:
    plan = ElfPlan(strings=(("runpath", P), ("soname", b"placeholder")))
    data = bytearray(plan.build())
    at = data.index(P)
    # The linker let the library's name be the end of the run path: the entry points into it.
    entry = data.index((14).to_bytes(8, "little"), at)
    data[entry + 8 : entry + 16] = (1 + len(b"/cvmfs/")).to_bytes(8, "little")
    examined = examine(b"lib/x.so", bytes(data), OLD)
    assert examined.change is None
    assert reasons(examined) == [Reason.SHARED]


def test_bytecode_is_padded() -> None:
    code = compile(f"A = {str(OLD)!r}\nB = '{OLD}/x'\n", f"{OLD}/lib/a.py", "exec")
    examined = examine(b"__pycache__/a.cpython-311.pyc", b"\xa7\r\r\n" + bytes(12) + marshal.dumps(code), OLD)
    assert set(kinds(examined)) == {PlaceKind.BYTECODE}
    assert len(kinds(examined)) >= 3


def test_a_static_archive_is_padded() -> None:
    data = b"!<arch>\n" + b"x.o/".ljust(58) + b"`\n" + b"\0" + P + b"/x\0"
    assert kinds(examine(b"libx.a", data, OLD)) == [PlaceKind.ARCHIVE]


def test_utf16_is_found_and_left() -> None:
    data = b"\0\1" + str(OLD).encode("utf-16-le")
    examined = examine(b"x.bin", data, OLD)
    assert (examined.change, reasons(examined)) == (None, [Reason.UTF16])


def test_escaped_slashes_are_found_and_left() -> None:
    examined = examine(b"x.json", b'"\\/cvmfs\\/repo.example\\/x"', OLD)
    assert (examined.change, reasons(examined)) == (None, [Reason.ESCAPED])


TEXT = b"some text with " + P + b"/x in it\n"


def tarball() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        member = tarfile.TarInfo("x")
        member.size = len(TEXT)
        archive.addfile(member, io.BytesIO(TEXT))
    return stream.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        gzip.compress(TEXT, mtime=0),
        gzip.compress(TEXT[:20], mtime=0) + gzip.compress(TEXT[20:], mtime=0),
        bz2.compress(TEXT),
        lzma.compress(TEXT),
        zstandard.compress(TEXT),
        gzip.compress(tarball(), mtime=0),
    ],
)
def test_compressed_data_is_searched_and_left(data: bytes) -> None:
    examined = examine(b"share/x", data, OLD)
    assert (examined.change, reasons(examined)) == (None, [Reason.COMPRESSED])


def test_broken_compressed_data_is_said_to_be_unsearched() -> None:
    assert reasons(examine(b"x.gz", gzip.compress(TEXT, mtime=0)[:20], OLD)) == [Reason.UNSEARCHED]


@pytest.mark.parametrize("name", [b"share/man/man1/x.1.gz", b"man/de/man3/x.3.gz", b"share/info/x.gz"])
def test_manuals_are_left_alone(name: bytes) -> None:
    assert examine(name, gzip.compress(TEXT, mtime=0), OLD).findings == ()


def zip_file(compression: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        archive.writestr("a.txt", TEXT)
        archive.writestr("b.txt", b"nothing")
    return stream.getvalue()


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_zip_members_are_named_and_left(compression: int) -> None:
    (finding,) = examine(b"x.jar", zip_file(compression), OLD).findings
    assert (finding.reason, finding.detail, finding.count) == (Reason.COMPRESSED, "a.txt", 1)


def test_the_shebang_before_a_zip_application_is_padded() -> None:
    examined = examine(b"bin/x", b"#!%s/bin/python\n" % P + zip_file(zipfile.ZIP_STORED), OLD)
    assert kinds(examined) == [PlaceKind.SHEBANG]
    assert reasons(examined) == [Reason.COMPRESSED]
    assert examined.change is not None
    assert examined.change.style is Style.PADDED


@pytest.mark.parametrize("head", [b"SQLite format 3\0", b"hsqs", b"\x89HDF\r\n\x1a\n", b"\xed\xab\xee\xdb"])
def test_what_has_checksums_or_an_order_is_left(head: bytes) -> None:
    examined = examine(b"x", head + bytes(40) + P, OLD)
    assert (examined.change, reasons(examined)) == (None, [Reason.SEALED])


def test_a_plain_tarball_is_left() -> None:
    assert reasons(examine(b"x.tar", tarball(), OLD)) == [Reason.SEALED]


def test_binary_data_with_a_shell_script_in_front_is_padded() -> None:
    examined = examine(b"x.run", b"#!%s/bin/sh\n" % P + b"tail -c 10 $0\nexit\n\0\1\2", OLD)
    assert kinds(examined) == [PlaceKind.SHEBANG]
    assert examined.change is not None
    assert examined.change.style is Style.PADDED


@pytest.mark.parametrize("target", [P, P + b"/", P + b"/bin/x", P + b"//x", b"/" + P + b"/x", b"//" + P])
def test_absolute_links_change(target: bytes) -> None:
    assert kinds(examine_link(b"a", target, b"", OLD)) == [PlaceKind.LINK]


@pytest.mark.parametrize("target", [b"/usr/bin/x", P + b"-other/x", b"x", b"../x", b"$(VAR)/x"])
def test_other_links_stay(target: bytes) -> None:
    assert examine_link(b"d/a", target, b"d", OLD) == Examined()


@pytest.mark.parametrize("target", [P.replace(b"/", b"//", 2)[1:] + b"/x", b"/." + P, b"/usr/.." + P + b"/x"])
def test_links_that_spell_the_prefix_in_another_way_are_reported(target: bytes) -> None:
    assert reasons(examine_link(b"d/a", target, b"d", OLD)) == [Reason.ODD_LINK]


def test_links_that_climb_out_are_reported() -> None:
    assert reasons(examine_link(b"d/a", b"../../x", b"d", OLD)) == [Reason.CLIMBING_LINK]
