"""Large catalogs are split and useless ones merged: which, how far, and that nothing goes to and fro."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outcrop.cvmfs.paths import ROOT, RepositoryPath, ancestors, is_below, parent
from outcrop.errors import FormatError, InvalidValue
from outcrop.stratum0.catalogs.catalog_limits import DEFAULT_MAXIMUM_ENTRIES, DEFAULT_MINIMUM_ENTRIES, CatalogLimits
from outcrop.stratum0.catalogs.directory_sizes import Directory, Part, SplitPlan, directories, plan_split
from outcrop.stratum0.settings import RepositorySettings
from tests.stratum0.conftest import Publisher
from tests.stratum0.settling import SMALL, SettledRepository, files


@pytest.fixture
def repository(publisher: Publisher) -> SettledRepository:
    return SettledRepository(publisher)


def found(own_rows: dict[bytes, int], *, unsplittable: Sequence[bytes] = ()) -> list[Directory]:
    """The directories of a root catalog by the files in each; those that lead there come by themselves."""
    children: dict[RepositoryPath, list[RepositoryPath]] = {ROOT: []}
    for each in own_rows:
        for path in [*ancestors(each), RepositoryPath(each)]:
            if path not in children:
                children[path] = []
                children[parent(path)].append(path)
    waiting = [ROOT]
    listed = []
    for path in waiting:
        first = len(waiting)
        waiting += sorted(children[path])
        rows = own_rows.get(path, 0) + len(children[path])
        is_splittable = path != ROOT and path not in unsplittable
        listed.append(Directory(path, rows, range(first, len(waiting)), is_splittable))
    return listed


def split(own_rows: dict[bytes, int], limits: CatalogLimits = SMALL, **more: Sequence[bytes]) -> SplitPlan:
    return plan_split(found(own_rows, **more), limits)


def test_a_catalog_of_the_right_size_stays_whole() -> None:
    assert split({b"/a": 17, b"/b": 0}) == SplitPlan((), Part(ROOT, 20))


def test_the_largest_directories_leave_until_half_is_left() -> None:
    plan = split({b"/a": 6, b"/b": 9, b"/c": 7, b"/d": 1})
    assert [(part.path, part.entries) for part in plan.parts] == [(b"/b", 10), (b"/c", 8), (b"/a", 7)]
    assert plan.left == Part(ROOT, 6)


def test_a_directory_that_alone_is_too_large_is_split_itself() -> None:
    plan = split({b"/s": 2, b"/s/a": 9, b"/s/b": 9, b"/x": 3})
    assert [part.path for part in plan.parts] == [b"/s/a", b"/s/b"]
    assert plan.left == Part(ROOT, 10)


def test_a_flat_directory_leaves_whole_however_large() -> None:
    plan = split({b"/flat": 50, b"/x": 6})
    assert plan == SplitPlan((Part(RepositoryPath(b"/flat"), 51),), Part(ROOT, 9))


def test_what_cannot_be_split_stays() -> None:
    assert split({ROOT: 50, b"/a": 3}) == SplitPlan((), Part(ROOT, 55))
    assert split({f"/d{number:02}".encode(): 1 for number in range(30)}) == SplitPlan((), Part(ROOT, 61))
    assert split({b"/a": 30}, unsplittable=[b"/a"]) == SplitPlan((), Part(ROOT, 32))


def test_what_is_split_off_has_room_for_its_markers() -> None:
    assert split({b"/a/b": 9, b"/a/c": 6, b"/x": 6}) == SplitPlan((Part(RepositoryPath(b"/a"), 18),), Part(ROOT, 9))
    # One entry more, and with its markers /a would be larger than it may be.
    plan = split({b"/a/b": 9, b"/a/c": 7, b"/x": 6})
    assert plan == SplitPlan((Part(RepositoryPath(b"/a/b"), 10),), Part(ROOT, 18))


def test_a_chain_deeper_than_any_stack_is_split_at_its_end() -> None:
    path = RepositoryPath(b"/d" * 1200)
    plan = split({path: 60}, CatalogLimits(50, 5))
    assert plan.parts[0] == Part(path, 61)
    assert plan.left.entries <= 50
    assert all(part.entries <= 50 for part in plan.parts[1:])


def test_many_directories_cost_little_time() -> None:
    wide = found({b"/s/d%d" % number: 3 for number in range(30_000)} | {b"/s/d7": 2000})
    began = time.monotonic()
    plan = plan_split(wide, CatalogLimits())
    assert time.monotonic() - began < 2
    assert [part.path for part in plan.parts] == [b"/s/d7", b"/s"]
    assert plan.parts[1].entries > CatalogLimits().maximum
    assert plan.left == Part(ROOT, 2)


@pytest.mark.property
@given(
    st.dictionaries(
        st.lists(st.sampled_from([b"a", b"b", b"c"]), max_size=4).map(lambda parts: b"".join(b"/" + p for p in parts)),
        st.integers(0, 30),
        max_size=15,
    ),
    st.integers(2, 60).flatmap(lambda top: st.builds(CatalogLimits, st.just(top), st.integers(1, top // 2))),
)
def test_every_plan_keeps_what_the_limits_promise(own_rows: dict[bytes, int], limits: CatalogLimits) -> None:
    listed = found({RepositoryPath(path): rows for path, rows in own_rows.items()})
    plan = plan_split(listed, limits)
    total = 1 + sum(directory.rows for directory in listed)
    parts = {part.path: part.entries for part in plan.parts}
    assert len(parts) == len(plan.parts)
    assert ROOT not in parts
    # Nothing is lost: each part stays behind as one row, its mountpoint.
    assert plan.left.entries + sum(entries - 1 for entries in parts.values()) == total
    assert (total <= limits.maximum) <= (not parts)
    assert all(entries >= limits.minimum for entries in parts.values())
    order = [part.path for part in plan.parts]
    assert all(not is_below(later, earlier) for at, earlier in enumerate(order) for later in order[at + 1 :])
    for part in (*plan.parts, plan.left):
        if part.entries + (2 if part.path else 0) > limits.maximum:
            assert all(entries < limits.minimum for entries in left_inside(listed, plan, part.path))


def left_inside(listed: list[Directory], plan: SplitPlan, top: bytes) -> list[int]:
    """How many entries are at and below each directory within the part at `top`, other than `top`."""
    roots = {part.path for part in plan.parts} | {ROOT}

    def owner(path: RepositoryPath) -> RepositoryPath:
        return next(each for each in [path, *reversed(ancestors(path))] if each in roots)

    inside = [one for one in listed if owner(one.path) == top and one.path != top]
    return [1 + sum(one.rows for one in inside if is_below(one.path, place.path)) for place in inside]


def test_a_catalog_that_grows_too_large_is_split(repository: SettledRepository) -> None:
    done = repository.put(*files("/a", 9), *files("/b", 9), *files("/c", 3))
    assert repository.nested() == {b"/a": True, b"/b": True}
    assert repository.sizes() == {b"": 7, b"/a": 12, b"/b": 12}
    assert done.notes == ()
    assert done.emptied == 1
    assert {change.path for change in done.summary.changes} >= {b"/a/.cvmfscatalog", b"/a/.cvmfsautocatalog"}
    assert repository.violations() == []


def test_the_same_tree_again_changes_nothing(repository: SettledRepository) -> None:
    paths = [*files("/s/a", 9), *files("/s/b", 9), *files("/s/c", 3)]
    repository.put(*paths)
    before = repository.entries()
    assert any(repository.nested().values())
    assert not repository.put(*paths).published
    assert not repository.replace(b"/s", *paths).published
    assert repository.entries() == before


def test_a_catalog_that_shrank_is_merged_and_loses_both_markers(repository: SettledRepository) -> None:
    repository.put(*files("/a", 9), *files("/b", 9), *files("/c", 3))
    done = repository.remove(*files("/a", 9)[1:])
    assert repository.nested() == {b"/b": True}
    assert {b"/a/.cvmfscatalog", b"/a/.cvmfsautocatalog"}.isdisjoint(repository.entries())
    assert done.summary.removed == 10
    assert repository.violations() == []


def test_what_somebody_marked_is_never_merged_or_given_up(repository: SettledRepository) -> None:
    repository.put(b"/mine/.cvmfscatalog", b"/mine/x", rules=b"/ruled")
    repository.put(b"/ruled/x", b"/y")
    repository.remove(b"/mine/x", b"/ruled/x")
    assert repository.nested() == {b"/mine": False, b"/ruled": False}


def test_an_automatic_catalog_where_a_rule_wants_one_stays(repository: SettledRepository) -> None:
    repository.put(*files("/a", 9), *files("/b", 9), *files("/c", 3))
    repository.put(rules=b"/a")
    repository.remove(*files("/a", 9))
    assert b"/a" in repository.nested()
    assert repository.violations() == []


def test_what_one_marked_is_split_where_it_is_too_large(repository: SettledRepository) -> None:
    repository.put(b"/mine/.cvmfscatalog", *files("/mine/a", 12), *files("/mine/b", 12))
    assert repository.nested() == {b"/mine": False, b"/mine/a": True, b"/mine/b": True}
    assert repository.violations() == []


def test_nothing_is_merged_into_a_catalog_that_would_be_too_large(repository: SettledRepository) -> None:
    repository.put(*files("/a", 9), *files("/b", 9), *files("/c", 3))
    repository.put(*files("", 9))
    assert repository.sizes()[b""] == 16
    repository.remove(*files("/a", 9)[1:])
    assert b"/a" in repository.nested()


def test_one_file_to_and_fro_moves_no_catalog(repository: SettledRepository) -> None:
    repository.put(*files("/a", 8), *files("/b", 8), *files("", 1))
    assert repository.sizes()[b""] == 20
    repository.put(b"/one-more")
    settled = repository.nested()
    assert any(settled.values())
    for _ in range(3):
        repository.remove(b"/one-more")
        assert repository.nested() == settled
        repository.put(b"/one-more")
        assert repository.nested() == settled


def test_one_file_below_the_minimum_does_not_flap(repository: SettledRepository) -> None:
    repository.put(*files("/a", 9), *files("/b", 9), *files("/c", 3))
    shrunk = files("/a", 9)[1:]
    repository.remove(*shrunk[1:])
    assert repository.nested() == {b"/a": True, b"/b": True}
    repository.put(*shrunk)
    repository.remove(*shrunk)
    merged = repository.nested()
    assert merged == {b"/b": True}
    for _ in range(3):
        repository.put(shrunk[0])
        assert repository.nested() == merged
        repository.remove(shrunk[0])
        assert repository.nested() == merged


def test_a_flat_directory_is_reported_and_split_off_once(repository: SettledRepository) -> None:
    done = repository.put(*files("/flat", 40), *files("/other", 3))
    assert done.notes == (
        "the catalog /flat has 41 entries, more than 20, and no directory in it has the 5 entries for a catalog of "
        "its own",
    )
    assert repository.nested() == {b"/flat": True}
    again = repository.put(b"/flat/one-more")
    assert len(again.notes) == 1
    assert repository.nested() == {b"/flat": True}
    assert repository.put(b"/other/one-more").notes == ()


def test_without_automatic_catalogs_nothing_happens(repository: SettledRepository) -> None:
    repository.limits = None
    assert repository.put(*files("/a", 40), *files("/b", 40)).notes == ()
    assert repository.nested() == {}


def test_only_catalogs_on_changed_paths_are_read(repository: SettledRepository) -> None:
    repository.put(*[path for number in range(8) for path in files(f"/s/p{number}", 9)])
    catalogs = len(repository.nested())
    assert catalogs >= 6
    repository.put(b"/s/p0/x")
    assert len(repository.loaded) == 1
    assert catalogs == len(repository.nested())


def test_growth_a_publish_at_a_time_keeps_every_catalog_small(repository: SettledRepository) -> None:
    for version in range(12):
        repository.put(*files(f"/software/v{version}", 6))
    assert max(repository.sizes().values()) <= SMALL.maximum
    assert len(repository.nested()) <= 13
    assert repository.violations() == []


def test_sizes_count_what_a_catalog_itself_holds(repository: SettledRepository) -> None:
    repository.limits = None
    repository.put(*files("/a/é", 3), *files("/a/n", 4), b"/a/n/.cvmfscatalog", b"/b/")
    tree = repository.tree()
    assert [(one.path, one.rows) for one in directories(tree._inside(ROOT).catalog, ROOT)] == [
        (b"", 2),
        (b"/a", 2),
        (b"/b", 0),
        (b"/a/n", 0),
        ("/a/é".encode(), 3),
    ]
    nested = RepositoryPath(b"/a/n")
    assert [(one.path, one.rows) for one in directories(tree._inside(nested).catalog, nested)] == [(nested, 5)]
    tree.close()


def test_limits_that_cannot_be_kept_are_refused() -> None:
    assert CatalogLimits() == CatalogLimits(DEFAULT_MAXIMUM_ENTRIES, DEFAULT_MINIMUM_ENTRIES)
    for maximum, minimum in ((10, 6), (10, 0), (0, 0)):
        with pytest.raises(InvalidValue):
            CatalogLimits(maximum, minimum)
    record = b'name = "test.example.org"\nstorage = "/s"\nmaximum_catalog_entries = 10\n'
    with pytest.raises((InvalidValue, FormatError)):
        RepositorySettings.parse(record, "the record")
    settings = RepositorySettings.parse(b'name = "test.example.org"\nstorage = "/s"\n', "the record")
    assert settings.catalog_limits == CatalogLimits()
    off = RepositorySettings(name="test.example.org", storage="/s", automatic_catalogs=False)
    assert off.catalog_limits is None
    assert RepositorySettings.parse(off.encode().encode(), "the record") == off


@pytest.mark.property
@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    st.lists(
        st.tuples(st.sampled_from(["/a", "/b", "/a/x", "/a/y", "/a/x/z", "/b/x"]), st.integers(0, 30)),
        min_size=1,
        max_size=8,
    )
)
def test_whatever_grows_and_shrinks_stays_whole(publisher: Publisher, history: list[tuple[str, int]]) -> None:
    repository = SettledRepository(publisher)
    repository.remove(*[path for path in repository.paths() if path.count(b"/") == 1])
    sizes: dict[str, int] = {}
    for place, count in history:
        before = sizes.get(place, 0)
        if count > before:
            repository.put(*files(place, count))
        else:
            repository.remove(*files(place, before)[count:])
        sizes[place] = count
        expected = {path for each, number in sizes.items() for path in files(each, number)}
        assert {path for path in repository.paths() if b"/file" in path} == expected
    assert repository.violations() == []
