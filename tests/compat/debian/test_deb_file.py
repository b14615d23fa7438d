"""deb(5), and what is left of a package when its bytes are not as they should be."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from contextlib import suppress
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outcrop.compat.debian.deb_file import open_package, read_scripts
from outcrop.errors import IntegrityError, OutcropError, StorageError
from tests.compat.debian.packages_made_here import (
    BZIP2,
    FORMAT_VERSION,
    GZIP,
    NONE,
    XZ,
    ZSTANDARD,
    Entry,
    MadePackage,
    ar,
    ar_header,
    compressed,
    deb,
    directory,
    file,
    hard_link,
    link,
    tarball,
)

DPKG_DEB = shutil.which("dpkg-deb")

SCRIPT = "#!/bin/sh\nset -e\n"
ENTRIES = (
    directory("."),
    directory("usr"),
    file("usr/a", b"A" * 3000),
    link("usr/b", "a"),
    hard_link("usr/c", "usr/a"),
)
BASH = MadePackage("bash", entries=ENTRIES, script=SCRIPT)
CONTROL, DATA = tarball([file("control", b"Package: bash\n")]), tarball(ENTRIES)


def contents(place: Path, data: bytes) -> dict[str, bytes]:
    """What the package `data` holds: each path with the bytes of its file, empty for anything else."""
    place.write_bytes(data)
    found = {}
    with open_package(place) as opened:
        for path, entry in opened.entries():
            found[path] = b"".join(opened.contents(entry)) if entry.isfile() else b""
    return found


def script(place: Path, data: bytes) -> str:
    place.write_bytes(data)
    with open_package(place) as opened:
        scripts = opened.scripts
    assert read_scripts(place) == scripts
    return scripts.get("postinst", "")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "bash.deb"


@pytest.mark.parametrize("compression", [XZ, GZIP, ZSTANDARD, NONE])
def test_a_package_is_read_however_it_is_compressed(place: Path, compression: str) -> None:
    data = MadePackage("bash", entries=ENTRIES, script=SCRIPT, compression=compression).data
    assert contents(place, data) == {"usr": b"", "usr/a": b"A" * 3000, "usr/b": b"", "usr/c": b""}
    assert script(place, data) == SCRIPT


def test_the_two_parts_may_be_compressed_differently(place: Path) -> None:
    data = ar(
        (
            ("debian-binary", FORMAT_VERSION),
            ("control.tar.gz", compressed(CONTROL, GZIP)),
            ("data.tar.zst", compressed(DATA, ZSTANDARD)),
        )
    )
    assert "usr/a" in contents(place, data)


@pytest.mark.parametrize("names", ["plain", "with a slash"])
def test_names_of_members_may_end_in_a_slash_as_some_tools_write_them(place: Path, names: str) -> None:
    end = "/" if names == "with a slash" else ""
    data = ar(((f"debian-binary{end}", FORMAT_VERSION), (f"control.tar{end}", CONTROL), (f"data.tar{end}", DATA)))
    assert "usr/a" in contents(place, data)


def test_members_that_later_versions_add_are_passed_over(place: Path) -> None:
    # deb(5): names that begin with an underscore, before the control or the data part; anything after the data part.
    data = ar(
        (
            ("debian-binary", FORMAT_VERSION),
            ("_sig", b"odd"),
            ("control.tar", CONTROL),
            ("data.tar", DATA),
            ("new", b"1"),
        )
    )
    assert "usr/a" in contents(place, data)


def test_a_newer_minor_version_of_the_format_is_read(place: Path) -> None:
    assert "usr/a" in contents(place, deb(CONTROL, DATA, version=b"2.1\nmore\n"))


@pytest.mark.parametrize("version", [b"3.0\n", b"1.0\n", b"", b"rubbish\n"])
def test_another_major_version_of_the_format_is_refused(place: Path, version: bytes) -> None:
    # deb(5): "If the major number has changed, an incompatible change has been made and the program should stop."
    with pytest.raises(IntegrityError):
        contents(place, deb(CONTROL, DATA, version=version))


def test_an_archive_that_is_no_package_is_refused(place: Path) -> None:
    # deb(5): the first member is `debian-binary`.
    with pytest.raises(IntegrityError):
        contents(place, ar((("control.tar", CONTROL), ("data.tar", DATA))))


def test_a_package_without_a_script_has_an_empty_one(place: Path) -> None:
    assert script(place, MadePackage("bash").data) == ""


@pytest.mark.parametrize("name", ["preinst", "prerm", "postrm", "config", "sub/postinst"])
def test_only_the_script_of_the_installation_is_read(place: Path, name: str) -> None:
    assert script(place, deb(tarball([file("control"), file(name, b"x")]), DATA)) == ""


def test_a_script_that_is_no_file_is_none(place: Path) -> None:
    assert script(place, deb(tarball([link("postinst", "/etc/passwd")]), DATA)) == ""


def test_a_script_that_is_no_utf_8_is_read_as_far_as_it_is(place: Path) -> None:
    assert script(place, deb(tarball([file("postinst", b"echo \xe9\n")]), DATA)) == "echo \ufffd\n"


def test_a_package_may_hold_nothing(place: Path) -> None:
    assert contents(place, MadePackage("empty", entries=(directory("."),)).data) == {}


def test_paths_have_neither_a_dot_before_nor_a_slash_behind(place: Path) -> None:
    entries = [Entry("./", tarfile.DIRTYPE), Entry("./usr/", tarfile.DIRTYPE), Entry("./.hidden"), file("a..b")]
    assert list(contents(place, deb(CONTROL, tarball(entries)))) == ["usr", ".hidden", "a..b"]


def test_long_names_and_targets_are_read(place: Path) -> None:
    path, target = "/".join(["directory" * 5] * 6), "t" * 200
    place.write_bytes(deb(CONTROL, tarball([file(path, b"x"), link("l", target)])))
    with open_package(place) as opened:
        assert [(name, entry.linkname) for name, entry in opened.entries()] == [(path, ""), ("l", target)]


def test_a_package_that_is_not_there_is_told(place: Path) -> None:
    with pytest.raises(StorageError, match="does not exist"), open_package(place):
        pass


def of_parts(control: bytes, data: bytes, compression: str = NONE) -> bytes:
    """A package of two parts that are as they are, whatever their names say."""
    names = (f"control.tar{compression}", f"data.tar{compression}")
    return ar((("debian-binary", FORMAT_VERSION), (names[0], control), (names[1], data)))


RUBBISH = {
    "empty": b"",
    "half a beginning": b"!<arch>",
    "only a beginning": b"!<arch>\n",
    "a page": b"<html>not here</html>",
    "short header": b"!<arch>\nrubbish",
    "wrong header": b"!<arch>\n" + b"x" * 60,
    "no parts": ar((("debian-binary", FORMAT_VERSION),)),
    "no data": ar((("debian-binary", FORMAT_VERSION), ("control.tar", CONTROL))),
    "no control": ar((("debian-binary", FORMAT_VERSION), ("data.tar", DATA))),
    "no xz": of_parts(b"rubbish", b"rubbish", XZ),
    "no gzip": of_parts(b"rubbish", b"rubbish", GZIP),
    "no zstd": of_parts(b"rubbish", b"rubbish", ZSTANDARD),
    "no tar": of_parts(b"rubbish", b"rubbish"),
    "rubbish as data": of_parts(CONTROL, b"rubbish" * 1000),
    "empty as data": of_parts(CONTROL, b""),
    "another compression": of_parts(CONTROL, DATA, ".zip"),
    "an old compression": deb(CONTROL, DATA, BZIP2),
}


@pytest.mark.parametrize("data", RUBBISH.values(), ids=RUBBISH)
def test_a_rubbish_package_is_told(place: Path, data: bytes) -> None:
    with pytest.raises(IntegrityError, match=r"bash\.deb is damaged: it is no Debian package"):
        contents(place, data)


@pytest.mark.parametrize("compression", [XZ, GZIP, ZSTANDARD, NONE])
def test_a_truncated_package_is_told_wherever_it_is_cut(place: Path, compression: str) -> None:
    data = deb(CONTROL, DATA, compression)
    for length in {*range(0, len(data) - 1, max(1, len(data) // 97)), len(data) - 2}:
        with pytest.raises(IntegrityError):
            contents(place, data[:length])


def in_blocks(data: bytes) -> tuple[bytes, list[int]]:
    """One frame of zstd data, and where each of its blocks ends."""
    packer = zstandard.ZstdCompressor().compressobj()
    whole, ends = b"", []
    for start in range(0, len(data), 512):
        whole += packer.compress(data[start : start + 512]) + packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
        ends.append(len(whole))
    return whole + packer.flush(), ends


@pytest.mark.parametrize("compression", [XZ, GZIP, ZSTANDARD, NONE])
def test_a_truncated_part_in_a_whole_package_is_told(place: Path, compression: str) -> None:
    entries = [file(f"usr/{number}", b"") for number in range(20)]
    whole, ends = compressed(tarball(entries), compression), [700]
    if compression == ZSTANDARD:
        whole, ends = in_blocks(tarball(entries))
    if compression == NONE:
        ends = [512 * count for count in range(20)]
    for end in ends:
        if end < len(whole) - 20:
            with pytest.raises(IntegrityError):
                contents(place, of_parts(compressed(CONTROL, compression), whole[:end], compression))


def test_a_damaged_entry_in_the_middle_is_told_and_does_not_hide_the_rest(place: Path) -> None:
    data = bytearray(tarball([file("usr/a"), file("usr/b"), file("usr/c")]))
    data[512:520] = b"\xff" * 8  # the header of the second
    with pytest.raises(IntegrityError):
        contents(place, deb(CONTROL, bytes(data)))


@pytest.mark.parametrize("size", ["-1", "1_0", "", "4.0", "0x4"])
@pytest.mark.parametrize("member", ["debian-binary", "data.tar"])
def test_a_length_that_is_no_number_is_told(place: Path, member: str, size: str) -> None:
    data = b"!<arch>\n"
    for name, body in (("debian-binary", FORMAT_VERSION), ("control.tar", CONTROL), ("data.tar", DATA)):
        data += ar_header(name, size if name == member else str(len(body))) + body
    with pytest.raises(IntegrityError):
        contents(place, data)


def test_troubles_of_whoever_reads_a_package_are_not_those_of_the_package(place: Path) -> None:
    place.write_bytes(BASH.data)
    for trouble in (ValueError("mine"), FileExistsError(17, "File exists", "elsewhere")):
        try:
            with open_package(place):
                raise trouble
        except (ValueError, OutcropError) as error:
            assert "bash.deb" not in str(error)  # noqa: PT017
        except OSError:
            pass


@pytest.mark.property
@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_changed_bytes_give_a_package_or_an_error_of_ours(place: Path, data: st.DataObject) -> None:
    whole = bytearray(deb(CONTROL, DATA, data.draw(st.sampled_from([XZ, GZIP, ZSTANDARD, NONE]))))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with suppress(OutcropError):
        contents(place, bytes(whole))


@pytest.mark.integration
@pytest.mark.skipif(DPKG_DEB is None, reason="dpkg-deb, which writes packages for these tests, is not installed")
@pytest.mark.parametrize("compression", ["xz", "gzip", "none", "zstd"])
def test_a_package_that_dpkg_wrote_is_read(tmp_path: Path, place: Path, compression: str) -> None:
    tree = tmp_path / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN" / "control").write_text(MadePackage("bash").control)
    (tree / "DEBIAN" / "postinst").write_text(SCRIPT)
    (tree / "DEBIAN" / "postinst").chmod(0o755)
    (tree / "usr").mkdir()
    (tree / "usr" / "a").write_bytes(b"A" * 3000)
    (tree / "usr" / "b").symlink_to("a")
    command = [str(DPKG_DEB), f"-Z{compression}", "--root-owner-group", "--build", str(tree), str(place)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if "unknown compression" in ended.stderr:
        pytest.skip(f"this dpkg-deb writes no {compression}")
    assert ended.returncode == 0, ended.stderr
    data = place.read_bytes()
    assert contents(place, data) == {"usr": b"", "usr/a": b"A" * 3000, "usr/b": b""}
    assert script(place, data) == SCRIPT


@pytest.mark.integration
@pytest.mark.skipif(DPKG_DEB is None, reason="dpkg-deb, which judges the packages of these tests, is not installed")
@pytest.mark.parametrize("compression", [XZ, GZIP, NONE])
def test_dpkg_reads_the_packages_of_these_tests(place: Path, compression: str) -> None:
    made = MadePackage("bash", entries=ENTRIES, script=SCRIPT, compression=compression)
    place.write_bytes(made.data)
    said = subprocess.run([str(DPKG_DEB), "--contents", str(place)], capture_output=True, text=True, check=True).stdout
    assert [line.split()[5] for line in said.splitlines()] == ["./", "./usr/", "./usr/a", "./usr/b", "./usr/c"]
    field = subprocess.run(
        [str(DPKG_DEB), "--field", str(place), "Package"], capture_output=True, text=True, check=True
    )
    assert field.stdout.strip() == "bash"
