"""Texts of which something is known by name: what goes into the sources of others stays as it is, and Perl and the
autotools look for nothing on the host."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from outcrop.compat.family import this_family
from outcrop.compat.relocate.path_rules import PathRules
from outcrop.compat.relocate.programs import UNTOUCHED
from outcrop.compat.relocate.tree import TreeRules, relocate_file

SEPARATOR = """\
PATH_SEPARATOR=:
(PATH='/bin;/bin'; FPATH=$PATH; sh -c :) >/dev/null 2>&1 && PATH_SEPARATOR=';'
echo "$PATH_SEPARATOR"
"""
RULES = TreeRules(PathRules(b"/prefix", {b"/bin/sh"}), this_family().machine, "", b"", (), UNTOUCHED)


@pytest.mark.parametrize(
    "path",
    [
        "usr/share/autoconf/m4sugar/m4sh.m4",
        "usr/share/autoconf/m4sugar/m4sh.m4f",
        "usr/share/autoconf/build-aux/install-sh",
        "usr/share/aclocal/lib-prefix.m4",
        "usr/share/aclocal-1.16/python.m4",
        "usr/share/automake-1.16/install-sh",
        "usr/share/automake-1.16/am/texinfos.am",
        "usr/share/gettext/config.rpath",
        "usr/share/gettext/po/Makefile.in.in",
        "usr/share/intltool/Makefile.in.in",
        "usr/share/misc/config.guess",
    ],
)
def test_what_goes_into_the_sources_of_others_stays(path: str) -> None:
    assert UNTOUCHED.fullmatch(path)


@pytest.mark.parametrize(
    "path",
    [
        "usr/bin/autoconf",
        "usr/share/autoconf/autom4te.cfg",
        "usr/share/autoconf/Autom4te/General.pm",
        "usr/share/automake-1.16/Automake/Config.pm",
        "usr/share/gettext/projects/GNOME/trigger",
        "usr/share/misc/magic.mgc",
    ],
)
def test_what_runs_in_the_layer_moves(path: str) -> None:
    assert not UNTOUCHED.fullmatch(path)


def test_autoconf_finds_the_separator_of_paths_without_the_host(tmp_path: Path) -> None:
    (tmp_path / "usr/bin").mkdir(parents=True)
    script = tmp_path / "usr/bin/autoconf"
    script.write_text(f"#! /bin/sh\n{SEPARATOR}")
    changes = relocate_file(tmp_path, "usr/bin/autoconf", RULES)
    assert changes is not None
    assert script.read_text().startswith("#! /prefix/bin/sh\n")
    assert "/bin;/bin" not in script.read_text()
    ended = subprocess.run(["sh", str(script)], capture_output=True, text=True, check=True)
    assert ended.stdout == ":\n"


@pytest.mark.parametrize("path", ["perl-base/Config.pm", "perl/5.36.0/Config.pm", "perl/5.36.0/Config_heavy.pl"])
def test_perl_looks_for_libraries_in_the_layer_only(tmp_path: Path, path: str) -> None:
    place = tmp_path / "usr/lib/x86_64-linux-gnu" / path
    place.parent.mkdir(parents=True)
    place.write_text("libpth='/usr/lib /lib'\nglibpth='/usr/shlib  /lib /usr/lib'\n")
    assert relocate_file(tmp_path, f"usr/lib/x86_64-linux-gnu/{path}", RULES) is not None
    text = place.read_text()
    assert text == text.replace("/prefix", "").replace("/usr", "/prefix/usr")
    assert " /lib" not in text
