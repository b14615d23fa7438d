from __future__ import annotations

from pathlib import Path

from outcrop.software.sources.apt_sources import (
    AptSource,
    package_mirrors,
    parse_deb822,
    parse_one_line,
    read_apt_sources,
)

ONE_LINE = """
# a comment
deb http://mirror.example.org/debian/ bookworm main contrib   # trailing words
deb [arch=amd64 signed-by=/etc/keys/a.gpg] https://other.example.org/debian bookworm-updates main
deb-src http://mirror.example.org/debian bookworm main
deb http://security.example.org/debian-security bookworm-security main
deb http://flat.example.org/packages ./
rpm http://not.example.org x y
deb incomplete
"""

DEB822 = """
# comment
Types: deb
URIs: http://mirror.example.org/debian http://second.example.org/debian/
Suites: bookworm
 bookworm-updates
# a comment within
Components: main
Signed-By: /usr/share/keyrings/x.gpg

Types: deb
URIs: http://off.example.org/debian
Suites: bookworm
Components: main
Enabled: no
"""


def test_the_one_line_form() -> None:
    assert parse_one_line(ONE_LINE) == (
        AptSource("http://mirror.example.org/debian", ("bookworm",), ("main", "contrib")),
        AptSource("https://other.example.org/debian", ("bookworm-updates",), ("main",)),
        AptSource("http://mirror.example.org/debian", ("bookworm",), ("main",)),
        AptSource("http://security.example.org/debian-security", ("bookworm-security",), ("main",)),
        AptSource("http://flat.example.org/packages", ("./",), ()),
    )


def test_the_stanza_form() -> None:
    assert parse_deb822(DEB822) == (
        AptSource("http://mirror.example.org/debian", ("bookworm", "bookworm-updates"), ("main",)),
        AptSource("http://second.example.org/debian", ("bookworm", "bookworm-updates"), ("main",)),
    )


def test_mirrors_are_whole_distributions_each_once() -> None:
    sources = (*parse_one_line(ONE_LINE), AptSource("cdrom:[Debian]", ("bookworm",), ("main",)))
    assert package_mirrors(sources) == ("http://mirror.example.org/debian", "https://other.example.org/debian")


def test_both_forms_are_found_where_apt_keeps_them(tmp_path: Path) -> None:
    lists = tmp_path / "sources.list.d"
    lists.mkdir()
    (tmp_path / "sources.list").write_text("deb http://a.example.org/debian trixie main\n")
    (lists / "b.sources").write_text(DEB822)
    (lists / "ignored.list.save").write_text("deb http://old.example.org/debian sid main\n")
    mirrors = package_mirrors(read_apt_sources(tmp_path))
    assert mirrors == (
        "http://a.example.org/debian",
        "http://mirror.example.org/debian",
        "http://second.example.org/debian",
    )


def test_a_machine_without_apt_has_no_mirrors(tmp_path: Path) -> None:
    assert read_apt_sources(tmp_path / "none") == ()
