"""Which files of the autotools stay as they are, since they go into the sources of others, and which move."""

from __future__ import annotations

import pytest

from outcrop.compat.relocate.programs import UNTOUCHED


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
