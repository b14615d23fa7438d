"""deb822(5), and the relations of Debian Policy, section 7.1."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcrop.compat.debian.control import Relation, alternatives, paragraph, relations
from outcrop.errors import FormatError

NAMES = st.from_regex(r"[a-z0-9][a-z0-9+.-]{1,8}", fullmatch=True)
VERSIONS = st.from_regex(r"(?:[0-9]:)?[0-9][A-Za-z0-9.+~]{0,5}(?:-[0-9A-Za-z+.~]{1,3})?", fullmatch=True)
OPERATORS = st.sampled_from(["<<", "<=", "=", ">=", ">>"])
RELATIONS = st.builds(Relation, NAMES) | st.builds(Relation, NAMES, OPERATORS, VERSIONS)


def test_a_field_is_a_name_and_a_value_without_the_space_around_it() -> None:
    assert paragraph("Package: bash\nVersion:5.2\nSection: \t shells \t\n") == {
        "Package": "bash",
        "Version": "5.2",
        "Section": "shells",
    }


def test_a_value_may_hold_colons() -> None:
    assert paragraph("Homepage: https://example.org/a:b\n") == {"Homepage": "https://example.org/a:b"}


def test_lines_that_begin_with_space_or_tab_continue_a_value() -> None:
    text = "Description: short\n long\n .\n\tmore\nSection: shells\n"
    assert paragraph(text) == {"Description": "short\nlong\n.\nmore", "Section": "shells"}


def test_a_value_may_begin_on_the_line_after_its_name() -> None:
    assert paragraph("SHA256:\n aa 1 x\n bb 2 y\n")["SHA256"].splitlines() == ["", "aa 1 x", "bb 2 y"]


def test_a_comment_is_no_field_and_ends_no_value() -> None:
    assert paragraph("# Author: nobody\nDepends: a,\n# b,\n c\n") == {"Depends": "a,\nc"}


def test_only_a_line_feed_ends_a_line() -> None:
    # Licences have form feeds in them.
    text = "License: GPL-2\n page one\n \x0cFiles: are\n line\u2028separator\x85Files: next\n"
    assert set(paragraph(text)) == {"License"}


def test_lines_of_a_repeated_field_are_not_added_to_the_first() -> None:
    # deb822(5): a name stands once in a paragraph.
    try:
        fields = paragraph("A: 1\nB: 2\nA: 3\n 4\n")
    except FormatError:
        return
    assert fields["A"] in ("1", "3\n4")


@pytest.mark.parametrize(
    ("text", "relation"),
    [
        ("libc6", Relation("libc6")),
        ("libc6 (>= 2.36)", Relation("libc6", ">=", "2.36")),
        ("libc6(>=2.36)", Relation("libc6", ">=", "2.36")),
        ("libc6  ( =  1:2.36-9+deb12u1 )", Relation("libc6", "=", "1:2.36-9+deb12u1")),
        ("g++ (<< 4:13~)", Relation("g++", "<<", "4:13~")),
        ("python3:any (>> 3.11)", Relation("python3", ">>", "3.11")),
        ("perl:any", Relation("perl")),
        ("libfoo (<= 1) [amd64 arm64]", Relation("libfoo", "<=", "1")),
        ("debhelper <!nocheck> <!stage1>", Relation("debhelper")),
        ("old (< 1)", Relation("old", "<=", "1")),
        ("old (> 1)", Relation("old", ">=", "1")),
    ],
)
def test_a_relation_is_read(text: str, relation: Relation) -> None:
    assert relations(text) == (relation,)


def test_a_field_demands_each_of_its_clauses_by_one_of_their_alternatives() -> None:
    assert list(alternatives("a (>= 1) | b,\n c|d | e, f")) == [
        (Relation("a", ">=", "1"), Relation("b")),
        (Relation("c"), Relation("d"), Relation("e")),
        (Relation("f"),),
    ]


@pytest.mark.parametrize("text", ["", " ", ",", "\n"])
def test_an_empty_field_demands_nothing(text: str) -> None:
    assert list(alternatives(text)) == []


@pytest.mark.parametrize("text", ["a (1)", "a (>= )", "a (=> 1)", "a b", "a |", "| a", "a (>= 1", "${shlibs:Depends}"])
def test_what_is_no_relation_is_told(text: str) -> None:
    with pytest.raises(FormatError):
        list(alternatives(text))


@pytest.mark.parametrize(
    ("operator", "accepted"),
    [
        ("<<", ["1.0~rc1"]),
        ("<=", ["1.0~rc1", "1.0", "1.0-0"]),
        ("=", ["1.0", "1.0-0"]),
        (">=", ["1.0", "1.0-0", "1.0-1", "1:0"]),
        (">>", ["1.0-1", "1:0"]),
        ("", ["1.0~rc1", "1.0", "1.0-0", "1.0-1", "1:0"]),
    ],
)
def test_a_relation_accepts_the_versions_of_its_operator(operator: str, accepted: list[str]) -> None:
    relation = Relation("a", operator, "1.0" if operator else "")
    versions = ["1.0~rc1", "1.0", "1.0-0", "1.0-1", "1:0"]
    assert [version for version in versions if relation.accepts(version)] == accepted


def test_what_is_provided_without_a_version_satisfies_no_demand_for_one() -> None:
    assert Relation("awk").accepts("")
    assert not Relation("awk", ">=", "0").accepts("")
    assert not Relation("awk", "<<", "9").accepts("")


@pytest.mark.property
@given(RELATIONS)
def test_a_relation_is_read_back_as_it_was_written(relation: Relation) -> None:
    assert relations(str(relation)) == (relation,)


@pytest.mark.property
@given(st.lists(st.lists(RELATIONS, min_size=1, max_size=3), max_size=4), st.sampled_from([", ", ",", ",\n ", " , "]))
def test_a_field_is_read_back_as_it_was_written(clauses: list[list[Relation]], comma: str) -> None:
    text = comma.join(" | ".join(map(str, clause)) for clause in clauses)
    assert list(alternatives(text)) == [tuple(clause) for clause in clauses]


@pytest.mark.property
@given(st.text())
def test_rubbish_is_read_or_told_as_such(text: str) -> None:
    with suppress(FormatError):
        paragraph(text)
    with suppress(FormatError):
        list(alternatives(text))
