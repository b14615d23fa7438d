"""Debian Policy, chapter 7 ("Declaring relationships between packages")."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcrop.compat.debian.packages import PackageIndex
from outcrop.compat.debian.resolve import Resolution, resolve
from outcrop.errors import InvalidValue

ARCHIVE = "http://deb.example.org/debian"


def package(name: str, version: str = "1", **fields: str) -> str:
    """A paragraph; `pre_depends` stands for `Pre-Depends`."""
    further = "".join(f"{key.replace('_', '-').title()}: {value}\n" for key, value in fields.items())
    facts = f"Architecture: amd64\nFilename: pool/{name}.deb\nSize: 1\nSHA256: {'0' * 64}\n"
    return f"Package: {name}\nVersion: {version}\n{facts}{further}"


def resolved(
    texts: Iterable[str],
    *wanted: str,
    excluded: Iterable[str] = (),
    together: Iterable[tuple[str, ...]] = (),
) -> Resolution:
    index = PackageIndex()
    index.add("\n".join(texts), ARCHIVE)
    return resolve(index, wanted, excluded, together, "bookworm")


def names(resolution: Resolution) -> list[str]:
    return list(resolution.chosen)


def test_what_is_needed_comes_with_what_that_needs() -> None:
    resolution = resolved(
        [
            package("a", depends="b (>= 1)", pre_depends="c"),
            package("b", depends="d:any"),
            package("c"),
            package("d"),
            package("e"),
        ],
        "a",
    )
    assert names(resolution) == ["a", "b", "c", "d"]
    assert resolution.path("d") == ("a", "b", "d")
    assert resolution.path("a") == ("a",)
    assert resolution.chosen["a"].needed_by == ""


def test_what_is_wanted_for_building_has_no_say_in_what_ships() -> None:
    index = PackageIndex()
    texts = [package("a", depends="awk, c"), package("mawk", provides="awk"), package("gawk", provides="awk")]
    index.add("\n".join([*texts, package("c"), package("d", depends="c, e"), package("e")]), ARCHIVE)
    resolution = resolve(index, ["a", "mawk"], for_building=["gawk", "d", "c"])
    assert names(resolution) == ["a", "c", "d", "e", "gawk", "mawk"]
    assert resolution.shipped == {"a", "c", "mawk"}
    assert (resolution.path("c"), resolution.path("e")) == (("c",), ("d", "e"))


def test_recommended_and_suggested_packages_do_not_come() -> None:
    texts = [package("a", recommends="b", suggests="c", enhances="d"), package("b"), package("c"), package("d")]
    assert names(resolved(texts, "a")) == ["a"]


def test_packages_that_need_each_other_come_together() -> None:
    assert names(resolved([package("a", depends="b"), package("b", depends="a")], "a")) == ["a", "b"]


def test_nothing_is_wanted_and_nothing_comes() -> None:
    assert names(resolved([package("a")])) == []


def test_the_first_alternative_that_can_be_had_is_taken() -> None:
    texts = [package("a", depends="gone | old (>= 2) | b | c"), package("old"), package("b"), package("c")]
    assert names(resolved(texts, "a")) == ["a", "b"]


@pytest.mark.parametrize("wanted", [("a", "c"), ("c", "a")])
def test_an_alternative_that_is_there_already_is_kept(wanted: tuple[str, str]) -> None:
    texts = [package("a", depends="b | c"), package("b"), package("c")]
    assert names(resolved(texts, *wanted)) == ["a", "c"]


def test_an_alternative_that_is_there_in_a_wrong_version_is_no_alternative() -> None:
    texts = [package("a", depends="b | c (>= 2)"), package("b"), package("c")]
    assert names(resolved(texts, "a", "c")) == ["a", "b", "c"]


def test_a_name_that_is_no_package_comes_by_one_that_provides_it() -> None:
    texts = [package("a", depends="awk"), package("mawk", provides="awk"), package("gawk", provides="awk")]
    assert names(resolved(texts, "a")) == ["a", "gawk"]
    assert names(resolved(texts, "a", "mawk")) == ["a", "mawk"]


def test_a_demand_for_a_version_takes_only_a_provider_that_says_it() -> None:
    texts = [
        package("a", depends="api (>= 2)"),
        package("b", "9", provides="api"),
        package("c", provides="api (= 1)"),
        package("d", provides="api (= 2)"),
    ]
    assert names(resolved(texts, "a")) == ["a", "d"]


def test_a_package_of_the_name_goes_before_one_that_provides_it() -> None:
    texts = [package("a", depends="b"), package("aa", provides="b"), package("b")]
    assert names(resolved(texts, "a")) == ["a", "b"]


def test_a_provider_helps_where_the_package_of_the_name_is_too_old() -> None:
    texts = [package("a", depends="b (>= 2)"), package("b"), package("c", provides="b (= 2)")]
    assert names(resolved(texts, "a")) == ["a", "c"]


def test_a_package_that_does_not_exist_is_told_with_those_of_a_like_name() -> None:
    with pytest.raises(InvalidValue, match="libzstd does not exist in bookworm") as raised:
        resolved([package("libzstd1"), package("libzstd-dev")], "libzstd")
    assert "libzstd1" in raised.value.hint


def test_a_wanted_name_that_is_only_provided_is_told_with_its_providers() -> None:
    with pytest.raises(InvalidValue, match="awk does not exist") as raised:
        resolved([package("mawk", provides="awk")], "awk")
    assert "mawk" in raised.value.hint


@pytest.mark.parametrize("needs", ["gone", "b (>= 2)", "b (<< 1)", "gone | b (= 3)", "api (= 1)"])
def test_a_need_that_nothing_satisfies_is_told_with_who_has_it_and_why_that_is_there(needs: str) -> None:
    texts = [package("set", depends="a"), package("a", depends=needs), package("b", provides="api")]
    with pytest.raises(InvalidValue, match=r"the package a needs .*bookworm.*needed by set") as raised:
        resolved(texts, "set")
    assert needs.partition(" ")[0] in raised.value.message


def test_what_is_left_out_brings_nothing() -> None:
    texts = [package("a", depends="dpkg, b"), package("dpkg", depends="tar"), package("tar"), package("b")]
    resolution = resolved(texts, "a", excluded=["dpkg", "unused"])
    assert names(resolution) == ["a", "b"]
    assert resolution.left_out == {"dpkg"}


def test_what_is_left_out_need_not_exist() -> None:
    resolution = resolved([package("a", depends="gone (>= 7)")], "a", excluded=["gone"])
    assert resolution.left_out == {"gone"}


def test_what_is_left_out_counts_as_there_although_another_alternative_comes_first() -> None:
    texts = [package("a", depends="b | debconf"), package("b"), package("debconf")]
    resolution = resolved(texts, "a", excluded=["debconf"])
    assert names(resolution) == ["a"]
    assert resolution.left_out == {"debconf"}


def test_what_is_left_out_counts_as_there_with_what_it_provides() -> None:
    texts = [
        package("a", depends="debconf-2.0"),
        package("cdebconf", provides="debconf-2.0"),
        package("debconf", provides="debconf-2.0"),
    ]
    assert names(resolved(texts, "a", excluded=["debconf"])) == ["a"]


def test_what_is_left_out_is_chosen_for_no_name_that_it_provides() -> None:
    texts = [package("a", depends="mta"), package("b", provides="mta"), package("c", provides="mta")]
    assert "b" not in names(resolved(texts, "a", excluded=["b"]))


@pytest.mark.parametrize("field", ["conflicts", "breaks"])
def test_packages_that_cannot_stand_each_other_are_told(field: str) -> None:
    texts = [package("a", depends="b"), package("b", **{field: "c"}), package("c")]
    with pytest.raises(InvalidValue, match=r"the packages b and c cannot be in one layer") as raised:
        resolved(texts, "a", "c")
    assert "b is needed by a" in raised.value.message
    assert "c is in a set" in raised.value.message


@pytest.mark.parametrize("field", ["conflicts", "breaks"])
def test_a_conflict_is_told_whichever_of_the_two_declares_it(field: str) -> None:
    for texts in ([package("a", **{field: "b"}), package("b")], [package("a"), package("b", **{field: "a"})]):
        with pytest.raises(InvalidValue, match="cannot be in one layer"):
            resolved(texts, "a", "b")


def test_a_conflict_with_another_version_is_none() -> None:
    texts = [package("a", breaks="b (<< 2)", conflicts="c (>> 1)"), package("b", "2"), package("c")]
    assert names(resolved(texts, "a", "b", "c")) == ["a", "b", "c"]


def test_a_package_may_conflict_with_a_name_that_it_provides_itself() -> None:
    # Policy 7.6.2: so there is only one mail server.
    alone = package("a", provides="mta", conflicts="mta", replaces="mta")
    assert names(resolved([alone], "a")) == ["a"]
    with pytest.raises(InvalidValue, match="a and b cannot"):
        resolved([alone, package("b", provides="mta")], "a", "b")


def test_a_conflict_with_a_version_does_not_concern_what_is_provided_without_one() -> None:
    # Policy 7.5.
    texts = [package("a", conflicts="mta (<< 2)"), package("b", provides="mta")]
    assert names(resolved(texts, "a", "b")) == ["a", "b"]


def test_packages_that_are_declared_to_go_together_may_conflict() -> None:
    texts = [package("lmod", conflicts="environment-modules"), package("environment-modules"), package("c")]
    group = ("lmod", "environment-modules")
    assert names(resolved(texts, *group, together=[group])) == sorted(group)
    with pytest.raises(InvalidValue):
        resolved(texts, *group, together=[("lmod", "c"), ("environment-modules", "c")])


def test_a_conflict_with_what_is_left_out_is_none() -> None:
    texts = [package("a", depends="b", conflicts="b"), package("b")]
    assert names(resolved(texts, "a", excluded=["b"])) == ["a"]


def test_a_conflict_with_what_nobody_wants_is_none() -> None:
    assert names(resolved([package("a", conflicts="b"), package("b")], "a")) == ["a"]


NAMES = st.sampled_from([f"p{number}" for number in range(6)])


@pytest.mark.property
@given(st.dictionaries(NAMES, st.lists(NAMES, max_size=3), min_size=1), st.data())
def test_the_result_holds_all_that_is_needed_and_nothing_else(needs: dict[str, list[str]], data: st.DataObject) -> None:
    needs = {name: [other for other in others if other in needs] for name, others in needs.items()}
    wanted = data.draw(st.lists(st.sampled_from(sorted(needs)), unique=True))
    resolution = resolved([package(name, depends=", ".join(others)) for name, others in needs.items()], *wanted)
    reached, border = set(wanted), set(wanted)
    while border:
        border = {other for name in border for other in needs[name]} - reached
        reached |= border
    assert set(resolution.chosen) == reached
    assert names(resolution) == sorted(reached)
    for name in reached:
        path = resolution.path(name)
        assert path[0] in wanted
        assert path[-1] == name
        assert all(later in needs[earlier] for earlier, later in pairwise(path))
