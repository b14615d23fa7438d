"""Rules of what a layer leaves out: what their globs mean, whose rule took a file, and what must not be taken."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcrop.compat.declared_files import LAYER_FILE
from outcrop.compat.left_out import RULE_NAME, Drop, DropRules, LeftOut, left_out_text, require_kept
from outcrop.compat.package_sets import LayerDescription, read_description
from outcrop.errors import InvalidValue


def described(directory: Path, layer: str) -> LayerDescription:
    """What a stack's `layer.toml` describes."""
    (directory / LAYER_FILE).write_text(layer)
    return read_description(directory)


# ---- What globs mean ----

PARTS = st.text("ab.[({+$", min_size=1, max_size=3)
PATHS = st.lists(PARTS, min_size=1, max_size=4).map("/".join)
GLOBS = st.lists(
    st.sampled_from(["a", "b", "ab", "*", "?", "**", "*.a", "a**", ".", "[a]", "{a", "+", "(", "$"]),
    min_size=1,
    max_size=4,
)


def matches(glob: str, path: str) -> bool:
    """Whether `glob` matches the whole of `path`, by the words of `Drop`, and slowly."""
    if not glob:
        return not path
    if glob.startswith("**"):
        return any(matches(glob[2:], path[taken:]) for taken in range(len(path) + 1))
    if glob.startswith("*"):
        reach = len(path.partition("/")[0])
        return any(matches(glob[1:], path[taken:]) for taken in range(reach + 1))
    if glob.startswith("?"):
        return path[:1] not in ("", "/") and matches(glob[1:], path[1:])
    return path[:1] == glob[0] and matches(glob[1:], path[1:])


def dropped(paths: Iterable[str], path: str) -> bool:
    return re.fullmatch(Drop(tuple(paths), "a reason").pattern(), path) is not None


@pytest.mark.parametrize(
    ("glob", "path", "matched"),
    [
        ("usr/share/man/**", "usr/share/man/man1/ls.1.gz", True),
        ("usr/share/man/**", "usr/share/manual", False),
        ("usr/share/man/**", "usr/share/man", False),
        ("etc/cron.*/**", "etc/cron.daily/apt", True),
        ("etc/cron.*/**", "etc/crontab", False),
        ("usr/lib/*/libssl.a", "usr/lib/x86_64-linux-gnu/libssl.a", True),
        ("usr/lib/*/libssl.a", "usr/lib/a/b/libssl.a", False),
        ("usr/lib/*/libssl.a", "usr/lib/x/libsslxa", False),
        ("usr/bin/?", "usr/bin/x", True),
        ("usr/bin/?", "usr/bin/xy", False),
        ("**/*.pod", "usr/share/perl/5.36/pod/perl.pod", True),
        ("usr/bin/a", "usr/bin/ab", False),
        ("usr/bin/a", "x/usr/bin/a", False),
    ],
)
def test_a_glob_matches_whole_paths(glob: str, path: str, matched: bool) -> None:
    assert dropped([glob], path) is matched


def test_a_path_that_is_kept_is_kept_whatever_takes_it() -> None:
    paths = ["!usr/share/doc/*/copyright", "usr/share/doc/**"]
    for order in (paths, paths[::-1]):
        assert not dropped(order, "usr/share/doc/bash/copyright")
        assert dropped(order, "usr/share/doc/bash/copyright.gz")
        assert dropped(order, "usr/share/doc/bash/more/copyright")


def test_what_one_entry_keeps_another_may_take(tmp_path: Path) -> None:
    layer = """standard_sets = false
    [[drop]]
    paths = ["a/**", "!a/kept"]
    reason = "one"
    [[drop]]
    paths = ["a/kept"]
    reason = "another"
    """
    assert described(tmp_path, layer).dropped().rule_of("a/kept") == "-"


def test_a_layer_that_drops_nothing_keeps_everything(tmp_path: Path) -> None:
    rules = described(tmp_path, "standard_sets = false\n").dropped()
    assert rules.rule_of("") is None
    assert rules.rule_of("usr/bin/a") is None


@pytest.mark.property
@given(GLOBS.map("/".join), PATHS)
def test_a_glob_is_translated_by_its_rules(glob: str, path: str) -> None:
    assert dropped([glob], path) is matches(glob, path)


@pytest.mark.property
@given(st.lists(GLOBS.map("/".join), min_size=1, max_size=3), st.lists(GLOBS.map("/".join), max_size=2), PATHS)
def test_globs_that_keep_go_before_those_that_take(taken: list[str], kept: list[str], path: str) -> None:
    wanted = any(matches(glob, path) for glob in taken) and not any(matches(glob, path) for glob in kept)
    assert dropped([*taken, *(f"!{glob}" for glob in kept)], path) is wanted


# ---- A stack's own choice ----


def test_a_stack_keeps_what_a_rule_takes_by_naming_it(tmp_path: Path) -> None:
    description = described(tmp_path, 'keep = ["translations", "perl-collation"]\n')
    names = {one.name for one in description.drops}
    assert names == {one.name for one in read_description().drops} - {"translations", "perl-collation"}
    assert description.dropped().rule_of("usr/share/locale/de/LC_MESSAGES/bash.mo") is None


def test_a_rule_of_the_same_name_replaces_one(tmp_path: Path) -> None:
    layer = """
    [[drop]]
    name = "translations"
    paths = ["usr/share/locale/**", "!usr/share/locale/de/**"]
    reason = "ours"
    """
    rules = described(tmp_path, layer).dropped()
    assert rules.rule_of("usr/share/locale/fr/LC_MESSAGES/bash.mo") == "translations"
    assert rules.rule_of("usr/share/locale/de/LC_MESSAGES/bash.mo") is None


# ---- What is told ----


def test_the_first_rule_that_takes_a_path_is_told() -> None:
    rules = DropRules.of([Drop(("a/*", "!a/b"), "r", "one"), Drop(("a/**", "!a/c"), "r", "two"), Drop(("x",), "r")])
    assert [rules.rule_of(path) for path in ("a/x", "a/b", "a/c", "a/x/y", "x", "b")] == [
        "one", "two", "one", "two", "-", None
    ]  # fmt: skip


def test_the_record_has_a_line_for_each_file() -> None:
    told = {
        "bash": (LeftOut("manual-pages", "usr/share/man/b", 5), LeftOut("documentation", "usr/share/doc/a", 7)),
        "apt": (LeftOut("manual-pages", "usr/share/man/z", 0),),
    }
    assert left_out_text(told).decode().splitlines() == [
        "documentation 7 bash: usr/share/doc/a",
        "manual-pages 0 apt: usr/share/man/z",
        "manual-pages 5 bash: usr/share/man/b",
    ]


LOST = (LeftOut("perl-in-programs", "usr/lib/x86_64-linux-gnu/libperl.so.5.36", 0),)


def test_a_library_that_is_left_out_and_needed_is_told() -> None:
    needs = [("usr/bin/vim", ["libc.so.6", "libperl.so.5.36"])]
    with pytest.raises(InvalidValue, match=r"needs libperl\.so\.5\.36, which the rule perl-in-") as raised:
        require_kept(LOST, ["usr/bin/vim", "usr/lib/x86_64-linux-gnu/libc.so.6"], needs)
    assert 'keep = ["perl-in-programs"]' in raised.value.hint


def test_a_library_that_is_elsewhere_too_may_be_left_out() -> None:
    require_kept(LOST, ["opt/lib/libperl.so.5.36"], [("usr/bin/vim", ["libperl.so.5.36"])])


# ---- The rules that come with Outcrop ----


def test_every_standard_rule_has_a_name_of_its_own_that_a_stack_can_keep() -> None:
    names = [one.name for one in read_description().drops]
    assert len(set(names)) == len(names)
    assert all(RULE_NAME.fullmatch(name) for name in names)


def test_licences_are_never_left_out() -> None:
    rules = read_description().dropped()
    for path in ("usr/share/doc/perl/copyright", "usr/share/common-licenses/GPL-3", "usr/share/doc/libc6/copyright"):
        assert rules.rule_of(path) is None


def test_globs_of_the_standard_layer_are_written_in_the_signs_that_globs_have() -> None:
    for drop in read_description().drops:
        for path in drop.paths:
            assert not re.search(r"[{}\[\]\\]", path), path


@pytest.mark.parametrize(
    ("path", "is_dropped"),
    [
        ("usr/share/man/man1/bash.1.gz", True),
        ("usr/share/doc/bash/changelog.gz", True),
        ("usr/share/doc/bash/copyright", False),
        ("usr/lib/x86_64-linux-gnu/libmlx5.a", True),
        ("usr/lib/x86_64-linux-gnu/libefa.a", True),
        ("usr/lib/x86_64-linux-gnu/libc.a", False),
        ("usr/lib/x86_64-linux-gnu/libssl.so", False),
        ("usr/lib/x86_64-linux-gnu/libmount.a", True),
        ("usr/lib/x86_64-linux-gnu/libfl.a", False),
        ("usr/share/texmf/tex/texinfo/texinfo.tex", True),
        ("usr/bin/texi2dvi", True),
        ("usr/bin/texi2any", False),
        ("usr/lib/systemd/system/x.service", True),
        ("usr/bin/bash", False),
        ("usr/share/perl/5.36.0/pod/perl.pod", True),
        ("usr/lib/x86_64-linux-gnu/perl/5.36/CORE/perl.h", True),
        ("usr/share/zoneinfo/Europe/Oslo", False),
        ("usr/share/zoneinfo/right/Europe/Oslo", True),
        ("etc/passwd", False),
        ("usr/share/perl/5.36.0/CPAN/Meta/YAML.pm", False),
        ("usr/share/perl/5.36.0/CPAN/Shell.pm", True),
        ("usr/lib/x86_64-linux-gnu/perl/5.36.0/Encode/Guess.pm", False),
        ("usr/lib/x86_64-linux-gnu/perl/5.36.0/auto/Encode/JP/JP.so", True),
        ("usr/bin/perl5.36-x86_64-linux-gnu", True),
        ("usr/bin/perl5.36.0", False),
        ("usr/lib/aarch64-linux-gnu/gconv/IBM037.so", True),
        ("usr/lib/aarch64-linux-gnu/gconv/IBM850.so", False),
        ("usr/lib/aarch64-linux-gnu/gconv/IBM901.so", True),
        ("usr/lib/aarch64-linux-gnu/gconv/EUC-JP.so", False),
        ("usr/lib/aarch64-linux-gnu/gconv/libJIS.so", False),
        ("usr/lib/python3.11/unittest/case.py", False),
        ("usr/lib/python3/dist-packages/pygments/lexers/python.py", False),
        ("usr/lib/python3/dist-packages/pygments/lexers/php.py", True),
        ("usr/bin/7z", False),
    ],
)
def test_the_standard_layer_drops_what_it_says(path: str, is_dropped: bool) -> None:
    assert (read_description().dropped().rule_of(path) is not None) is is_dropped
