"""`.cvmfsdirtab`: which directories it matches, what of it is refused, and where a search for matches may end."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcrop.cvmfs.dirtab import MAXIMUM_DIRTAB_BYTES, NO_RULES, Dirtab, rule_for
from outcrop.errors import FormatError

DOCUMENTED = b"""
# Nested catalogs for every platform
/software/*
# Nested catalogs for every version
/software/*/*
! */common
/grid-certificates
"""


def matched(rules: bytes, *paths: bytes) -> list[bytes]:
    dirtab = Dirtab.parse(rules)
    return [path for path in paths if dirtab.matches(path)]


def test_the_documented_example_gives_the_documented_catalogs() -> None:
    wanted = [
        b"/software/i686",
        b"/software/i686/1.0",
        b"/software/i686/2.0",
        b"/software/x86_64",
        b"/software/x86_64/1.0",
        b"/grid-certificates",
    ]
    others = [b"", b"/software", b"/software/i686/common", b"/software/x86_64/common", b"/scripts", b"/software/a/b/c"]
    assert matched(DOCUMENTED, *wanted, *others) == wanted


def test_a_star_stays_within_a_name_and_stands_for_nothing_too() -> None:
    assert matched(b"/a/b*c", b"/a/bc", b"/a/bxc", b"/a/b/c", b"/a/bx/c", b"/a/bcd") == [b"/a/bc", b"/a/bxc"]


def test_names_that_begin_with_a_dot_are_names_like_others() -> None:
    assert matched(b"/*", b"/.hidden", b"/seen") == [b"/.hidden", b"/seen"]


def test_a_question_mark_is_one_byte() -> None:
    assert matched(b"/b?g", b"/bg", b"/bug", b"/bigg", b"/b\xffg", "/bög".encode(), b"/b/g") == [b"/bug", b"/b\xffg"]


def test_brackets_are_one_byte_of_a_set() -> None:
    paths = [b"/a", b"/b", b"/c", b"/-", b"/]", b"/*", b"/ab"]
    assert matched(b"/[ab]", *paths) == [b"/a", b"/b"]
    assert matched(b"/[a-c]", *paths) == [b"/a", b"/b", b"/c"]
    assert matched(b"/[!a-c]", *paths) == matched(b"/[^a-c]", *paths) == [b"/-", b"/]", b"/*"]
    assert matched(b"/[]a]", *paths) == [b"/a", b"/]"]
    assert matched(b"/[a\\]]", *paths) == [b"/a", b"/]"]
    assert matched(b"/[a-]", *paths) == [b"/a", b"/-"]
    assert matched(b"/[*]", *paths) == [b"/*"]


def test_an_open_bracket_that_nothing_closes_is_itself() -> None:
    assert matched(b"/a[b\n/[c/d]", b"/a[b", b"/ab", b"/[c/d]") == [b"/a[b", b"/[c/d]"]


def test_a_backslash_takes_the_meaning_away() -> None:
    assert matched(b"/a\\*", b"/a*", b"/ab") == [b"/a*"]
    assert matched(b"/\\?\\[x\\]", b"/?[x]", b"/ax") == [b"/?[x]"]
    assert matched(b"/a\\\\b", b"/a\\b") == [b"/a\\b"]


def test_what_regular_expressions_would_read_is_plain_text() -> None:
    assert matched(b"/moep+/t(e){2}^s$t.x|y", b"/moep+/t(e){2}^s$t.x|y", b"/moepp/t(e){2}^s$t.x|y") == [
        b"/moep+/t(e){2}^s$t.x|y"
    ]


def test_blanks_slashes_and_line_ends_around_rules_do_not_count() -> None:
    text = b"  /a/ \r\n\t/b//c\t\n#/d\n  # /e\n\n ! \n/with space/x # y"
    paths = [b"/a", b"/b/c", b"/d", b"/e", b"/with space/x # y"]
    assert matched(text, *paths) == [b"/a", b"/b/c", b"/with space/x # y"]


def test_names_need_not_be_utf8() -> None:
    assert matched(b"/caf\xe9/*", b"/caf\xe9/\xff", "/café/x".encode()) == [b"/caf\xe9/\xff"]
    assert matched(b"/*", b"/two\nlines") == [b"/two\nlines"]


@pytest.mark.parametrize(
    ("exclusion", "excluded"),
    [
        (b"!/a/b", {b"/a/b"}),
        (b"! /a/*", {b"/a/b", b"/a/b/c", b"/a/b/x.git"}),
        (b"!*.git", {b"/a/b/x.git"}),
        (b"!*/b", {b"/a/b", b"/b"}),
        (b"!*/b/*", {b"/a/b/c", b"/a/b/x.git"}),
        (b"!b", {b"/a/b", b"/b"}),
        (b"!b/c", {b"/a/b/c"}),
        (b"!?", {b"/a/b", b"/a/b/c", b"/b", b"/a"}),
        (b"!/?", {b"/b", b"/a"}),
        (b"![ac]", {b"/a", b"/a/b/c"}),
        (b"!.git", set()),
    ],
)
def test_exclusions(exclusion: bytes, excluded: set[bytes]) -> None:
    paths = {b"/a", b"/b", b"/a/b", b"/a/b/c", b"/a/b/x.git"}
    rules = b"/*\n/*/*\n/*/*/*\n"
    assert set(matched(rules + exclusion, *paths)) == paths - excluded
    assert set(matched(exclusion + b"\n" + rules, *paths)) == paths - excluded


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"software", 1),
        (b"\n# x\n*/a\n/b", 3),
        (b"/", 1),
        (b"/a\n! //", 2),
        (b"/a\\b", 1),
        (b"/a\\", 1),
        (b"!/a\\b", 1),
        (b"/a/../b", 1),
        (b"/./b", 1),
        (b"/[[:alpha:]]", 1),
        (b"/[z-a]", 1),
        (b"/x\n/a/*\n!/a/*/", 3),
        (b"!/a\n/a", 1),
    ],
)
def test_a_wrong_line_is_named(text: bytes, line: int) -> None:
    with pytest.raises(FormatError) as caught:
        Dirtab.parse(text)
    assert str(caught.value).startswith(f"/.cvmfsdirtab is malformed: line {line} ")
    assert f"line {line}" in caught.value.hint


def test_a_file_that_is_too_long_is_refused() -> None:
    with pytest.raises(FormatError):
        Dirtab.parse(b"#" * (MAXIMUM_DIRTAB_BYTES + 1))


def test_no_rules_match_nothing() -> None:
    assert not NO_RULES.matches(b"/a")
    assert not NO_RULES.leads_to(b"")
    assert not Dirtab.parse(b"!*").leads_to(b"")


def test_a_search_goes_only_where_a_rule_leads() -> None:
    dirtab = Dirtab.parse(DOCUMENTED + b"/versions/*/software/linux/x86_64")
    leading = [b"", b"/software", b"/software/i686", b"/versions", b"/versions/1", b"/versions/1/software"]
    ends = [b"/scripts", b"/grid-certificates", b"/software/i686/1.0", b"/versions/1/compat", b"/a/b/c/d/e/f/g"]
    assert [path for path in leading + ends if dirtab.leads_to(path)] == leading


def test_many_stars_cost_no_time() -> None:
    dirtab = Dirtab.parse(b"/" + b"*a" * 40 + b"b\n/x*\n!" + b"*/a" * 40 + b"b")
    began = time.monotonic()
    assert not dirtab.matches(b"/" + b"a" * 255)
    assert dirtab.matches(b"/x")
    assert not dirtab.matches(b"/x" + b"/a" * 2000)
    assert time.monotonic() - began < 1


# What follows compares with a matcher that knows nothing of the parser: it is given what the text was made from.


@dataclass(frozen=True)
class Piece:
    """What one place of a pattern stands for: `text` is how it is written, `bytes_` None for a star."""

    text: bytes
    bytes_: frozenset[int] | None


LETTERS = b"ab.*[\xe9"
PIECES = [
    Piece(b"*", None),
    Piece(b"?", frozenset(range(256)) - {ord("/")}),
    Piece(b"[ab]", frozenset(b"ab")),
    Piece(b"[!a]", frozenset(range(256)) - frozenset(b"a/")),
    Piece(b"[[-b*]", frozenset(range(ord("["), ord("b") + 1)) | {ord("*")}),
    *[
        Piece(b"\\" + bytes([letter]) if letter in b"*[" else bytes([letter]), frozenset([letter]))
        for letter in LETTERS
    ],
]
Component = tuple[Piece, ...]


@dataclass(frozen=True)
class Rule:
    components: tuple[Component, ...]
    excludes: bool
    absolute: bool

    @property
    def text(self) -> bytes:
        path = b"/".join(b"".join(piece.text for piece in component) for component in self.components)
        return (b"! " if self.excludes else b"") + (b"/" if self.absolute else b"") + path


def slowly_fits(pieces: tuple[Piece, ...], text: bytes, crosses: bool) -> bool:
    """Whether `pieces` fit the whole of `text`, by trying everything."""
    if not pieces:
        return not text
    first, rest = pieces[0], pieces[1:]
    if first.bytes_ is not None:
        return bool(text) and text[0] in first.bytes_ and slowly_fits(rest, text[1:], crosses)
    longest = len(text) if crosses or b"/" not in text else text.index(b"/")
    return any(slowly_fits(rest, text[taken:], crosses) for taken in range(longest + 1))


SLASH = Piece(b"/", frozenset(b"/"))


def slowly_applies(rule: Rule, path: bytes) -> bool:
    joined = tuple(piece for component in rule.components for piece in (SLASH, *component))
    if not rule.excludes:
        return slowly_fits(joined, path, crosses=False)
    if rule.absolute:
        return slowly_fits(joined, path, crosses=True)
    ends = [path[at:] for at in range(len(path)) if path[at : at + 1] == b"/"]
    return any(slowly_fits(joined, end, crosses=True) for end in ends) or slowly_fits(joined[1:], path, crosses=True)


def slowly_matches(rules: list[Rule], path: bytes) -> bool:
    applying = [rule for rule in rules if slowly_applies(rule, path)]
    return any(not rule.excludes for rule in applying) and not any(rule.excludes for rule in applying)


components = st.lists(st.sampled_from(PIECES), min_size=1, max_size=4).map(tuple)
written_components = components.filter(lambda one: b"".join(piece.text for piece in one) not in (b".", b".."))
rules = st.builds(
    Rule,
    st.lists(written_components, min_size=1, max_size=3).map(tuple),
    excludes=st.booleans(),
    absolute=st.booleans(),
).map(lambda rule: rule if rule.excludes else Rule(rule.components, excludes=False, absolute=True))
names = st.lists(st.sampled_from([bytes([letter]) for letter in LETTERS]), min_size=1, max_size=3).map(b"".join)
paths = st.lists(names, min_size=1, max_size=4).map(lambda parts: b"".join(b"/" + part for part in parts))


def parsed(written: list[Rule]) -> Dirtab | None:
    try:
        return Dirtab.parse(b"\n".join(rule.text for rule in written))
    except FormatError as error:
        if "excludes exactly" not in str(error):
            raise
        return None


@pytest.mark.property
@given(st.lists(rules, max_size=6), st.lists(paths, min_size=1, max_size=20))
def test_matches_what_a_slow_matcher_matches(written: list[Rule], tried: list[bytes]) -> None:
    dirtab = parsed(written)
    if dirtab is not None:
        assert [dirtab.matches(path) for path in tried] == [slowly_matches(written, path) for path in tried]


@pytest.mark.property
@given(st.lists(rules, max_size=6), st.lists(names, min_size=1, max_size=3, unique=True))
def test_a_search_that_ends_early_misses_nothing(written: list[Rule], used: list[bytes]) -> None:
    dirtab = parsed(written)
    if dirtab is None:
        return
    for depth in (1, 2, 3):
        for parts in product(used, repeat=depth):
            path = b"".join(b"/" + part for part in parts)
            if dirtab.matches(path):
                above = [b"".join(b"/" + part for part in parts[:length]) for length in range(depth)]
                assert all(dirtab.leads_to(each) for each in above)


anything = st.lists(
    st.binary(min_size=1, max_size=5).filter(lambda name: not set(name) & set(b"/\n") and name not in (b".", b"..")),
    min_size=1,
    max_size=3,
).map(lambda parts: b"".join(b"/" + part for part in parts))


@pytest.mark.property
@given(anything, anything)
def test_the_rule_for_a_path_matches_that_path_alone(path: bytes, other: bytes) -> None:
    rule = rule_for(path)
    assert rule is not None
    dirtab = Dirtab.parse(b"# before\n" + rule)
    assert dirtab.matches(path)
    assert dirtab.matches(other) == (path == other)


def test_no_rule_stands_for_what_no_line_can_hold() -> None:
    assert rule_for(b"") is None
    assert rule_for(b"/two\nlines") is None
