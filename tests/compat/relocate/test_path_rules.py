"""Which paths in a text are the layer's."""

from __future__ import annotations

import pytest

from outcrop.compat.relocate.path_rules import PathRules

P = b"/cvmfs/software.example.org/versions/2026.06/compat/linux/x86_64"
PRESENT = frozenset({b"/bin/sh", b"/usr/bin/sh", b"/lib/x86_64-linux-gnu", b"/lib64/ld-linux-x86-64.so.2"})
RULES = PathRules(P, PRESENT, (b"/var/tmp",))


@pytest.mark.parametrize(
    "text",
    [
        b"/usr",
        b"/usr/share/terminfo",
        b"/etc/ssl/certs",
        b"/var/lib/dpkg/status",
        b"/bin/sh",
        b"/lib/x86_64-linux-gnu/%s.so",
        b"/usr/lib/%s/x",
    ],
)
def test_a_path_of_the_layer_gets_the_prefix(text: bytes) -> None:
    assert RULES.moved(text) == P + text


@pytest.mark.parametrize(
    "text",
    [
        b"/proc/self/exe",
        b"/dev/null",
        b"/tmp/x",
        b"/home/user",
        b"/var/tmp/x",
        b"/var/run/x",
        b"/bin/of-another-host",
        b"/lib/python3",
        b"/bin",
        b"$prefix/usr/bin",
        b"${DESTDIR}/etc/x",
        b"../usr/include",
        b"%{_prefix}/lib/x",
        b"http://example.org/usr/x",
        b"/usrlocal/x",
        b"/etcetera",
        b"name/usr/x",
    ],
)
def test_what_is_not_of_the_layer_stays(text: bytes) -> None:
    assert RULES.moved(text) == text


@pytest.mark.parametrize(
    ("text", "moved"),
    [
        (b"#!/bin/sh -e", b"#!" + P + b"/bin/sh -e"),
        (b"PATH=/usr/bin:/bin", b"PATH=" + P + b"/usr/bin:" + P + b"/bin"),
        (b"-I/usr/include -L/usr/lib", b"-I" + P + b"/usr/include -L" + P + b"/usr/lib"),
        (b"${IBPATH:-/usr/sbin}/ibhosts", b"${IBPATH:-" + P + b"/usr/sbin}/ibhosts"),
        (b"'/etc/x','/proc/x'", b"'" + P + b"/etc/x','/proc/x'"),
        (b"cat </etc/x >/dev/null", b"cat <" + P + b"/etc/x >/dev/null"),
        (b"/usr//share", P + b"/usr//share"),
    ],
)
def test_paths_are_found_in_texts(text: bytes, moved: bytes) -> None:
    assert RULES.moved(text) == moved


def test_what_has_moved_is_not_moved_again() -> None:
    assert RULES.moved(RULES.moved(b"/usr/bin:/etc/x")) == RULES.moved(b"/usr/bin:/etc/x")
