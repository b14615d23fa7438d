"""Whose files are shown, and what a map of owners may say."""

from __future__ import annotations

import pytest

from outcrop.client.owners import (
    AS_PUBLISHED,
    AS_THEY_ARE,
    LARGEST_OWNER,
    MappedOwners,
    OwnerMap,
    Ownership,
    parse_owner_map,
)
from outcrop.errors import FormatError

SWAPPED = OwnerMap({101: 5, 5: 101})


def shown(owners: MappedOwners, user: int, group: int) -> tuple[int, int]:
    return owners.uid(user), owners.gid(group)


def test_published_owners_stay_unless_the_site_wants_others() -> None:
    owners = AS_PUBLISHED.for_reader(1000, 100)
    assert owners == AS_THEY_ARE
    assert owners.change_nothing
    assert shown(owners, 137, 42) == (137, 42)


def test_whoever_claims_owns_everything() -> None:
    owners = Ownership(claimed=True).for_reader(1000, 100)
    assert not owners.change_nothing
    assert {shown(owners, user, group) for user, group in ((0, 0), (137, 42), (1000, 100))} == {(1000, 100)}


def test_a_claim_comes_before_maps_except_for_who_asks_for_owners() -> None:
    ownership = Ownership(claimed=True, users=SWAPPED)
    assert shown(ownership.for_reader(1000, 100), 101, 7) == (1000, 100)
    assert shown(ownership.mapped, 101, 7) == (5, 7)


def test_numbers_are_swapped_by_rules_and_the_rest_goes_to_the_default() -> None:
    owners = Ownership(users=SWAPPED, groups=OwnerMap({1: 2}, 65534)).for_reader(0, 0)
    assert [shown(owners, number, number) for number in (101, 5, 1, 7)] == [
        (5, 65534),
        (101, 65534),
        (1, 2),
        (7, 65534),
    ]


def test_a_map_has_comments_blanks_rules_and_a_default() -> None:
    text = "# users of the old cluster\n\n 137\t1000 \n138  1000 # the other one\n* 0\n"
    assert parse_owner_map(text, "uid.map") == OwnerMap({137: 1000, 138: 1000}, 0)
    assert parse_owner_map("", "uid.map") == OwnerMap()
    assert parse_owner_map(f"1 {LARGEST_OWNER}", "uid.map").shown(1) == LARGEST_OWNER


def test_the_last_of_several_rules_holds() -> None:
    assert parse_owner_map("1 2\n1 3\n* 4\n* 5\n", "uid.map") == OwnerMap({1: 3}, 5)


@pytest.mark.parametrize("line", ["1", "1 2 3", "a 1", "1 *", "-1 2", "1 -2", "1.5 2", "1 4294967295", "* *", "٣ 1"])
def test_a_malformed_line_is_named_with_its_file(line: str) -> None:
    with pytest.raises(FormatError, match=r"/etc/uid\.map is malformed: line 2 ") as caught:
        parse_owner_map(f"1 2\n{line}\n", "/etc/uid.map")
    assert "line 2 of /etc/uid.map" in caught.value.hint


def test_all_malformed_lines_are_named() -> None:
    with pytest.raises(FormatError, match=r"line 1 \(and 3, 4, 5, 6 and 2 more\)"):
        parse_owner_map("x\n1 2\n" + "y\n" * 6, "uid.map")
    with pytest.raises(FormatError, match=r"line 1 \(and 2\)"):
        parse_owner_map("x\ny\n", "uid.map")
