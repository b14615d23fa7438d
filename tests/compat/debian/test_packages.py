"""Debian Policy, chapters 5 and 7, and `Packages` in the description of Debian's repositories."""

from __future__ import annotations

import pytest

from outcrop.compat.debian.control import Relation
from outcrop.compat.debian.packages import DebianPackage, PackageIndex, PackageText, read_package
from outcrop.errors import FormatError
from tests.compat.debian.archive_made_here import index_text
from tests.compat.debian.packages_made_here import MadePackage

ARCHIVE = "http://deb.example.org/debian"


def index_of(*packages: MadePackage) -> PackageIndex:
    index = PackageIndex()
    index.add(index_text(packages), ARCHIVE)
    return index


def read(made: MadePackage, **changed: str) -> DebianPackage:
    return read_package(PackageText(ARCHIVE, made.paragraph(**changed)))


def test_a_package_is_read_from_its_paragraph() -> None:
    made = MadePackage(
        "libc-bin",
        "2.36-9+deb12u7",
        fields={
            "Source": "glibc",
            "Installed-Size": "2046",
            "Section": "libs",
            "Pre-Depends": "libc6 (>> 2.36)",
            "Depends": "base | other, libfoo",
            "Conflicts": "old",
            "Breaks": "older (<< 1)",
            "Provides": "ldd, getent (= 2)",
            "Recommends": "manpages",
        },
    )
    assert read(made) == DebianPackage(
        name="libc-bin",
        version="2.36-9+deb12u7",
        architecture="amd64",
        source="glibc",
        source_version="2.36-9+deb12u7",
        archive=ARCHIVE,
        path=made.filename,
        sha256=made.sha256,
        size=len(made.data),
        installed=2046 * 1024,
        section="libs",
        needs=(
            (Relation("libc6", ">>", "2.36"),),
            (Relation("base"), Relation("other")),
            (Relation("libfoo"),),
        ),
        conflicts=(Relation("old"), Relation("older", "<<", "1")),
        provides=(Relation("ldd"), Relation("getent", "=", "2")),
    )


def test_a_package_without_a_source_field_has_its_own_name_and_version() -> None:
    package = read(MadePackage("bash", "5.2"))
    assert (package.source, package.source_version) == ("bash", "5.2")


def test_a_source_may_have_a_version_of_its_own() -> None:
    package = read(MadePackage("bash", "5.2-1+b3", fields={"Source": "bash (5.2-1)"}))
    assert (package.source, package.source_version) == ("bash", "5.2-1")


def test_a_package_may_not_say_how_large_it_is_installed() -> None:
    assert read(MadePackage("bash"), Installed_Size="").installed == 0


@pytest.mark.parametrize("field", ["Version", "Architecture", "Filename", "Size", "SHA256"])
def test_a_missing_field_is_named(field: str) -> None:
    with pytest.raises(FormatError, match=f"{field} of bash"):
        read(MadePackage("bash"), **{field: ""})


@pytest.mark.parametrize("size", ["many", "1.5", "-1", "0x10"])
def test_a_size_that_is_none_is_refused(size: str) -> None:
    with pytest.raises(FormatError, match="bash"):
        read(MadePackage("bash"), Size=size)


@pytest.mark.parametrize("path", ["/pool/a.deb", "../a.deb", "pool/../../a.deb", "pool/.."])
def test_a_path_out_of_the_archive_is_refused(path: str) -> None:
    with pytest.raises(FormatError, match="leaves the archive"):
        read(MadePackage("bash"), Filename=path)


@pytest.mark.parametrize("digest", ["0" * 63, "g" * 64, "../" * 21 + "x", "d41d8cd98f00b204e9800998ecf8427e"])
def test_a_digest_that_is_no_sha_256_is_refused(digest: str) -> None:
    # It becomes the name of a file, and a lock with it could not be read again.
    with pytest.raises(FormatError, match="SHA256"):
        read(MadePackage("bash"), SHA256=digest)


def test_a_malformed_relation_is_told() -> None:
    with pytest.raises(FormatError):
        read(MadePackage("bash"), Depends="libc6 (2.36)")


def test_the_newest_version_of_all_suites_is_taken() -> None:
    index = index_of(MadePackage("bash", "5.2-1"))
    security = "http://security.example.org"
    index.add(index_text([MadePackage("bash", "5.2-1+deb12u1")]), security)
    index.add(index_text([MadePackage("bash", "5.2-1~rc1")]), ARCHIVE)
    package = index.package("bash")
    assert package is not None
    assert (package.version, package.archive) == ("5.2-1+deb12u1", security)
    assert [one.version for one in index.versions("bash")] == ["5.2-1", "5.2-1+deb12u1", "5.2-1~rc1"]


def test_what_is_added_later_counts_though_the_package_was_looked_at() -> None:
    index = index_of(MadePackage("bash", "1"))
    assert index.providers("sh") == ()
    assert index.package("bash") == index.versions("bash")[0]
    index.add(index_text([MadePackage("bash", "2", fields={"Provides": "sh"})]), ARCHIVE)
    package = index.package("bash")
    assert package is not None
    assert package.version == "2"
    assert index.providers("sh") == ("bash",)


def test_a_package_that_there_is_not_is_none() -> None:
    index = index_of(MadePackage("bash"))
    assert index.package("bas") is None
    assert index.versions("bas") == ()
    assert index.package("") is None


def test_a_package_is_found_by_its_own_name_only() -> None:
    # A field of another one, or a line of a description, that looks like a name.
    index = PackageIndex()
    index.add("Package: a\nDescription: x\n Package: b\nX-Package: c\n\nX-Package: d\n", ARCHIVE)
    assert list(index.paragraphs) == ["a"]


@pytest.mark.parametrize("text", ["", "\n", "\n\n\n"])
def test_an_empty_index_has_no_packages(text: str) -> None:
    index = PackageIndex()
    index.add(text, ARCHIVE)
    assert index.paragraphs == {}


def test_more_than_one_empty_line_may_stand_between_packages() -> None:
    index = PackageIndex()
    index.add(f"\n{MadePackage('a').paragraph()}\n\n\n{MadePackage('b').paragraph()}\n\n", ARCHIVE)
    assert [index.package(name) is not None for name in ("a", "b")] == [True, True]


def test_a_value_needs_no_space_before_it() -> None:
    index = PackageIndex()
    index.add(MadePackage("bash", fields={"Provides": "sh"}).paragraph().replace(": ", ":"), ARCHIVE)
    assert index.package("bash") is not None
    assert index.providers("sh") == ("bash",)


def test_providers_come_in_the_order_of_their_names_and_once() -> None:
    index = index_of(
        MadePackage("mawk", fields={"Provides": "awk"}),
        MadePackage("gawk", "1", fields={"Provides": "awk (= 1), other"}),
        MadePackage("gawk", "2", fields={"Provides": "awk"}),
        MadePackage("none", fields={"Description": "Provides: awk"}),
    )
    assert index.providers("awk") == ("gawk", "mawk")
    assert index.providers("other") == ("gawk",)
    assert index.providers("gawk") == ()


@pytest.mark.parametrize(
    ("relation", "offered"),
    [
        (Relation("gawk"), True),
        (Relation("gawk", ">=", "5"), True),
        (Relation("gawk", ">>", "5"), False),
        (Relation("awk"), True),
        (Relation("awk", ">=", "1"), False),  # provided without a version
        (Relation("posix-awk", "=", "3"), True),
        (Relation("posix-awk", ">>", "3"), False),
        (Relation("mawk"), False),
    ],
)
def test_a_package_offers_its_name_and_what_it_provides(relation: Relation, offered: bool) -> None:
    package = read(MadePackage("gawk", "5", fields={"Provides": "awk, posix-awk (= 3)"}))
    assert package.offers(relation) is offered
