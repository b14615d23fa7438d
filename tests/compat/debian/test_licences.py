"""Debian's "Machine-readable debian/copyright file", version 1.0 (DEP-5)."""

from __future__ import annotations

from pathlib import Path

import pytest

from outcrop.compat.debian.licences import licences_in, licences_of
from outcrop.compat.debian.package_mirror import PackageMirror
from outcrop.compat.lock import LockedPackage
from tests.compat.debian.packages_made_here import MadePackage, file, link

HEAD = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nUpstream-Name: bash\n"
MACHINE = f"""\
{HEAD}
Files: *
Copyright: 1987-2022 Free Software Foundation, Inc.
License: GPL-3+

Files: lib/*
 support/*
Copyright: 1999 Somebody
License: BSD-3-clause or Artistic
 Redistribution and use are permitted.
 .
 Files: none of these lines is a field

Files: debian/*
Copyright: 2000 Nobody
License: GPL-3+

License: GPL-3+
 On Debian systems, the text is in `/usr/share/common-licenses/GPL-3'.

License: BSD-3-clause
 Redistribution and use are permitted.
"""
PROSE = """\
This package was debianized by somebody. You may use it under the GPL; see
`/usr/share/common-licenses/GPL-2', or /usr/share/common-licenses/LGPL-2.1. The rest is in
/usr/share/common-licenses/Apache-2.0, and again in /usr/share/common-licenses/GPL-2.
"""


def held(mirror: PackageMirror, made: MadePackage) -> LockedPackage:
    """`made`, in the mirror."""
    mirror.keep(made.data)
    return locked(made)


def locked(made: MadePackage) -> LockedPackage:
    return LockedPackage(
        made.name, made.version, made.architecture, made.name, made.version, made.sha256, 1, 1, made.filename, ""
    )


def with_copyright(text: str) -> MadePackage:
    return MadePackage("bash", entries=(file("usr/bin/bash"), file("usr/share/doc/bash/copyright", text.encode())))


def test_the_licences_of_files_are_told_once_and_in_order() -> None:
    assert licences_in(MACHINE) == ("BSD-3-clause or Artistic", "GPL-3+")


def test_an_older_name_of_the_format_s_field_will_do() -> None:
    assert licences_in(MACHINE.replace("Format:", "Format-Specification:")) == licences_in(MACHINE)


def test_names_of_fields_may_have_any_case() -> None:
    # Policy 5.1: "Field names are not case-sensitive"; these files are written by hand.
    text = f"{HEAD}\nfiles: *\ncopyright: nobody\nlicense: MIT\n"
    assert licences_in(text) == ("MIT",)


def test_lines_of_spaces_may_stand_between_paragraphs() -> None:
    assert licences_in(f"{HEAD} \t \nFiles: *\nLicense: MIT\n\t\nFiles: b\nLicense: ISC\n") == ("ISC", "MIT")


def test_a_licence_s_text_may_hold_page_breaks() -> None:
    text = f"{HEAD}\nFiles: *\nLicense: MIT\n one\n \x0cLicense: two\n\nFiles: b\nLicense: ISC\n \x0c\n"
    assert licences_in(text) == ("ISC", "MIT")


def test_a_file_without_a_licence_is_passed_over() -> None:
    assert licences_in(f"{HEAD}\nFiles: *\nCopyright: nobody\n\nFiles: b\nLicense:\n text\n") == ()


def test_of_prose_the_common_licences_that_it_names_are_told() -> None:
    assert licences_in(PROSE) == ("Apache-2.0", "GPL-2", "LGPL-2.1")


@pytest.mark.parametrize(
    "text", ["", "\n", "Public domain.", "/usr/share/common-licenses/", "Files: *\nLicense: MIT\n"]
)
def test_a_text_that_names_none_has_none(text: str) -> None:
    assert licences_in(text) == ()


@pytest.mark.parametrize("text", [MACHINE, PROSE])
def test_a_package_in_the_mirror_tells_its_licences(tmp_path: Path, text: str) -> None:
    mirror = PackageMirror(tmp_path)
    package = held(mirror, with_copyright(text))
    assert licences_of(mirror, package) == licences_in(text)
    assert licences_of(mirror, package) == licences_in(text)  # from what was noted


def test_a_package_that_is_not_in_the_mirror_has_none_and_is_not_asked_for(tmp_path: Path) -> None:
    mirror, made = PackageMirror(tmp_path), with_copyright(PROSE)
    assert licences_of(mirror, locked(made)) == ()
    assert licences_of(mirror, held(mirror, made)) == licences_in(PROSE)


@pytest.mark.parametrize(
    "made",
    [
        MadePackage("bash"),
        MadePackage("bash", entries=(link("usr/share/doc/bash", "other"),)),
        MadePackage("bash", entries=(link("usr/share/doc/bash/copyright", "/etc/passwd"),)),
        MadePackage("bash", entries=(file("usr/share/doc/copyright", PROSE.encode()),)),
        MadePackage("bash", entries=(file("usr/share/doc/bash/more/copyright", PROSE.encode()),)),
    ],
    ids=["nothing", "linked directory", "link", "elsewhere", "deeper"],
)
def test_a_package_without_a_copyright_file_has_none(tmp_path: Path, made: MadePackage) -> None:
    mirror = PackageMirror(tmp_path)
    assert licences_of(mirror, held(mirror, made)) == ()


def test_a_copyright_file_in_another_encoding_is_read(tmp_path: Path) -> None:
    made = MadePackage("a", entries=(file("usr/share/doc/a/copyright", b"\xa9 nobody\n" + PROSE.encode()),))
    mirror = PackageMirror(tmp_path)
    assert licences_of(mirror, held(mirror, made)) == licences_in(PROSE)


def test_a_damaged_package_has_none_until_it_is_mended(tmp_path: Path) -> None:
    mirror, made = PackageMirror(tmp_path), with_copyright(PROSE)
    package = held(mirror, made)
    mirror.place(made.sha256).write_bytes(made.data[:500])
    assert licences_of(mirror, package) == ()
    mirror.keep(made.data)
    assert licences_of(mirror, package) == licences_in(PROSE)


def test_a_note_that_cannot_be_written_is_no_trouble(tmp_path: Path) -> None:
    (tmp_path / "licence-names-2").mkdir()
    (tmp_path / "licence-names-2").chmod(0o500)
    mirror = PackageMirror(tmp_path)
    package = held(mirror, with_copyright(PROSE))
    assert licences_of(mirror, package) == licences_in(PROSE)


def test_documents_that_are_another_package_s_say_that_package_s_licences(tmp_path: Path) -> None:
    mirror = PackageMirror(tmp_path)
    owner = held(mirror, with_copyright(MACHINE))
    user = held(mirror, MadePackage("rbash", entries=(link("usr/share/doc/rbash", "bash"),)))
    for _ in range(2):  # the second answer is a remembered one
        assert licences_of(mirror, user, [owner, user]) == licences_of(mirror, owner)
        assert licences_of(mirror, user, [user]) == ()
    third = held(mirror, MadePackage("third", entries=(link("usr/share/doc/third", "rbash"),)))
    assert licences_of(mirror, third, [third, user, owner]) == licences_of(mirror, owner)


def test_documents_that_lead_to_each_other_say_nothing(tmp_path: Path) -> None:
    mirror = PackageMirror(tmp_path)
    one = held(mirror, MadePackage("one", entries=(link("usr/share/doc/one", "two"),)))
    two = held(mirror, MadePackage("two", entries=(link("usr/share/doc/two", "one"),)))
    assert licences_of(mirror, one, [one, two]) == ()
