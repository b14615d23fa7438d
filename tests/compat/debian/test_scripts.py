"""What is read from scripts of packages. Sources: Debian Policy, chapter 6; dpkg-divert(1); deb-triggers(5)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcrop.compat.debian.scripts import POSTINST, PREINST, TRIGGERS, Diversion, Effect, diversions_of, effects_of

SHELL = "#!/bin/sh\nset -e\n"

HARMLESS = """
# adduser munge
if which update-thing >/dev/null; then echo "adduser is there"; fi
case "$1" in
    install | update-mime )
        rm -f /etc/old
        ;;
esac
cat <<EOF
adduser somebody
EOF
sed -e s/a/b/ /etc/passwd | grep -v install
dpkg-divert --listpackage /bin/sh
update-alternatives --remove awk /usr/bin/mawk
update-alternatives --install /usr/bin/awk awk /usr/bin/mawk 5
exit 0
"""

EFFECTS = """
if [ "$1" = configure ]; then adduser --system \\
    munge; fi
    chown munge:munge /etc/munge  # its own
LC_ALL=C /usr/sbin/update-thing --quiet || true
update-alternatives --install /usr/bin/automake automake /usr/bin/automake-$ver 5
sed -i s/a/b/ /etc/conf
result=$(py3compile -p thing)
adduser --system munge
"""


def test_a_script_that_does_nothing_to_the_machine_has_no_effects() -> None:
    assert effects_of({PREINST: SHELL + HARMLESS, POSTINST: "#! /bin/bash -e\n" + HARMLESS}) == ()


def test_literal_commands_are_told_once_with_their_words() -> None:
    assert [(one.command, one.text) for one in effects_of({POSTINST: SHELL + EFFECTS})] == [
        ("adduser", "adduser --system munge"),
        ("chown", "chown munge:munge /etc/munge # its own"),
        ("update-thing", "update-thing --quiet"),
        ("update-alternatives", "update-alternatives --install /usr/bin/automake automake /usr/bin/automake-$ver 5"),
        ("sed", "sed -i s/a/b/ /etc/conf"),
        ("py3compile", "py3compile -p thing"),
    ]


def test_what_is_run_before_unpacking_counts() -> None:
    assert effects_of({PREINST: SHELL + "ln -s a b\n"}) == (Effect("ln", "ln -s a b"),)


def test_a_trigger_that_is_set_off_is_an_effect() -> None:
    text = "# a comment\nactivate-noawait ldconfig\ninterest /usr/share/thing\nactivate other # why\n"
    assert [one.command for one in effects_of({TRIGGERS: text})] == ["trigger ldconfig", "trigger other"]


def test_a_script_in_another_language_is_told_as_a_whole() -> None:
    assert effects_of({POSTINST: "#!/usr/bin/perl\nadduser();\n"}) == (Effect("postinst", "#!/usr/bin/perl"),)


@pytest.mark.parametrize(
    "words",
    [
        "--package mine --rename --divert /usr/bin/tool.real --add /usr/bin/tool",
        "--add --rename --package mine --divert /usr/bin/tool.real '/usr/bin/tool'",
        "--rename --package mine \\\n    --divert /usr/bin/tool.real /usr/bin/tool",
    ],
)
def test_a_literal_diversion_is_read_and_done(words: str) -> None:
    scripts = {PREINST: f"{SHELL}if [ $1 = install ]; then dpkg-divert {words}; fi\n"}
    assert diversions_of(scripts) == (Diversion("/usr/bin/tool", "/usr/bin/tool.real"),)
    assert effects_of(scripts) == ()


def test_a_diversion_has_a_name_of_its_own_if_none_is_given() -> None:
    scripts = {PREINST: f"{SHELL}dpkg-divert --rename --add /usr/bin/tool\n"}
    assert diversions_of(scripts) == (Diversion("/usr/bin/tool", "/usr/bin/tool.distrib"),)


@pytest.mark.parametrize(
    "words",
    [
        "--package mine --no-rename --divert /usr/bin/tool.real --add /usr/bin/tool",
        "--package mine --rename --divert $there --add /usr/bin/tool",
        "--package mine --rename --divert /usr/../etc/passwd --add /usr/bin/tool",
        "--package mine --rename --divert /usr/bin/tool.real --add /usr/bin/$tool",
    ],
)
def test_a_diversion_that_is_not_done_is_told(words: str) -> None:
    scripts = {PREINST: f"{SHELL}dpkg-divert {words}\n"}
    assert diversions_of(scripts) == ()
    assert [one.command for one in effects_of(scripts)] == ["dpkg-divert"]


def test_taking_a_diversion_back_is_nothing() -> None:
    scripts = {PREINST: f"{SHELL}dpkg-divert --package mine --remove --rename /usr/bin/tool\n"}
    assert (diversions_of(scripts), effects_of(scripts)) == ((), ())


@pytest.mark.property
@given(st.text(), st.text())
def test_no_text_is_too_odd(script: str, triggers: str) -> None:
    scripts = {PREINST: SHELL + script, POSTINST: script, TRIGGERS: triggers}
    effects_of(scripts)
    diversions_of(scripts)
