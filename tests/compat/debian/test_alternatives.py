"""update-alternatives(1), and how scripts of packages call it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcrop.compat.debian.alternatives import Alternative, alternatives_of, chosen

MAWK = """\
#!/bin/sh
set -e

case "$1" in
configure|abort-upgrade|abort-remove|abort-deconfigure)
\tupdate-alternatives --quiet --install /usr/bin/awk awk /usr/bin/mawk 5 \\
\t\t--slave /usr/share/man/man1/awk.1.gz awk.1.gz /usr/share/man/man1/mawk.1.gz \\
\t\t--slave /usr/bin/nawk nawk /usr/bin/mawk
\t;;
esac
exit 0
"""


def asked(script: str) -> list[Alternative]:
    return list(alternatives_of(script))


def test_a_script_s_links_are_read_with_those_that_follow_them() -> None:
    assert asked(MAWK) == [
        Alternative("/usr/bin/awk", "/usr/bin/mawk", 5),
        Alternative("/usr/share/man/man1/awk.1.gz", "/usr/share/man/man1/mawk.1.gz", 5, "/usr/bin/awk"),
        Alternative("/usr/bin/nawk", "/usr/bin/mawk", 5, "/usr/bin/awk"),
    ]


CALL = "update-alternatives --install /usr/bin/pager pager /usr/bin/less 77"
PAGER = [Alternative("/usr/bin/pager", "/usr/bin/less", 77)]


@pytest.mark.parametrize(
    "script",
    [
        CALL,
        f"{CALL} || true",
        f"{CALL} && exit 0",
        f"if true; then {CALL}; fi",
        f"{CALL} >/dev/null",
        f"{CALL} > /dev/null 2>&1",
        f"{CALL} # the pager",
        f"\t/usr/bin/{CALL}\n",
        CALL.replace(" /usr/bin/less", ' \\\n  "/usr/bin/less"'),
        CALL.replace("--install", "--quiet --install"),
        CALL.replace("--install", "--verbose --quiet --install"),
        CALL.replace("--install", "--force --install"),
        CALL.replace("--install", "--log /dev/null --install"),
        CALL.replace("--install", "\\\n\t--install"),
    ],
)
def test_a_call_is_read_however_it_is_written(script: str) -> None:
    assert asked(script) == PAGER


def test_a_priority_may_be_below_zero() -> None:
    assert asked("update-alternatives --install /usr/bin/a a /usr/bin/b -10") == [
        Alternative("/usr/bin/a", "/usr/bin/b", -10)
    ]


@pytest.mark.parametrize(
    "script",
    [
        "",
        "echo hello",
        "update-alternatives --remove pager /usr/bin/less",
        "update-alternatives --auto pager",
        "update-alternatives --set pager /usr/bin/less",
        "update-alternatives --install /usr/bin/pager pager",
        'update-alternatives --install "$link" pager "$target" 77',
        "update-alternatives --install /usr/bin/pager pager /usr/bin/less $priority",
        "update-alternatives --install /usr/bin/pager pager /usr/bin/$name 77",
        "update-alternatives --install /usr/bin/pager pager '/usr/bin/less 77",
        "update-alternatives --install /usr/bin/pager pager /usr/bin/less --1",
        "update-alternatives --install /usr/bin/pager pager /usr/bin/less 7-7",
        "update-alternatives --install relative pager /usr/bin/less 77",
    ],
)
def test_what_asks_for_nothing_or_cannot_be_read_gives_nothing(script: str) -> None:
    assert asked(script) == []


AUTOMAKE = """\
ver=1.16
prio=34
update-alternatives --install /usr/bin/automake automake \\
\t/usr/bin/automake-$ver ${prio} --slave /usr/bin/aclocal aclocal "/usr/bin/aclocal-${ver}"
"""


def test_a_variable_that_is_set_once_is_read() -> None:
    assert asked(AUTOMAKE) == [
        Alternative("/usr/bin/automake", "/usr/bin/automake-1.16", 34),
        Alternative("/usr/bin/aclocal", "/usr/bin/aclocal-1.16", 34, "/usr/bin/automake"),
    ]


@pytest.mark.parametrize("other", ["ver=1.17", "  ver=`ls`", "ver=$2", "true; ver=2", "for ver in 1 2; do"])
def test_a_variable_that_is_set_twice_is_not_read(other: str) -> None:
    assert asked(f"{AUTOMAKE}{other}\n") == []


@pytest.mark.parametrize("value", ["", "`ls`", "$(ls)", "$1", "'a'", "a|b"])
def test_a_variable_that_is_computed_is_not_read(value: str) -> None:
    assert asked(AUTOMAKE.replace("=1.16", f"={value}")) == []


@pytest.mark.parametrize("script", [f"# {CALL}\n", f"true\n  # was: {CALL}\nexit 0\n"])
def test_a_call_in_a_comment_asks_for_nothing(script: str) -> None:
    assert asked(script) == []


def test_several_calls_are_read_in_their_order() -> None:
    script = f"{CALL}\nfor one in a b; do update-alternatives --install /usr/bin/$one $one /usr/bin/x 1; done\n"
    second = "update-alternatives --install /usr/bin/editor editor /bin/nano 40\n"
    assert asked(script + second) == [*PAGER, Alternative("/usr/bin/editor", "/bin/nano", 40)]


def test_a_following_link_that_cannot_be_read_does_not_hide_the_others() -> None:
    script = f"{CALL} --slave $x y /usr/bin/z --slave /usr/bin/more more /usr/bin/less"
    assert [one.link for one in asked(script)] == ["/usr/bin/pager", "/usr/bin/more"]


def test_a_path_out_of_the_tree_is_never_asked_for() -> None:
    for link, target in (("/usr/../../etc/x", "/usr/bin/a"), ("/usr/bin/a", "/../../etc/passwd")):
        assert asked(f"update-alternatives --install {link} a {target} 1") == []


def test_the_highest_priority_wins_whatever_the_order() -> None:
    gawk, mawk = Alternative("/usr/bin/awk", "/usr/bin/gawk", 10), Alternative("/usr/bin/awk", "/usr/bin/mawk", 5)
    assert chosen([gawk, mawk]) == chosen([mawk, gawk]) == {"/usr/bin/awk": "/usr/bin/gawk"}


def test_of_equal_priorities_the_first_wins() -> None:
    one, other = Alternative("/usr/bin/awk", "/usr/bin/gawk", 5), Alternative("/usr/bin/awk", "/usr/bin/mawk", 5)
    assert chosen([one, other]) == {"/usr/bin/awk": "/usr/bin/gawk"}
    assert chosen([]) == {}


def test_a_following_link_goes_with_its_own_main_link() -> None:
    # update-alternatives(1): what the chosen alternative does not name among its slaves is not there.
    low = "update-alternatives --install /usr/bin/cc cc /usr/bin/tcc 1 --slave /usr/bin/c89 c89 /usr/bin/tcc89\n"
    high = "update-alternatives --install /usr/bin/cc cc /usr/bin/gcc 20\n"
    assert chosen(asked(low + high)) == {"/usr/bin/cc": "/usr/bin/gcc"}


@pytest.mark.property
@given(st.text())
def test_no_script_is_a_trouble(script: str) -> None:
    asked(script)
    asked(f"update-alternatives --install {script}")
