"""Nested catalogs by the rules of `.cvmfsdirtab`, and what a change may cost and must leave alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outcrop.cvmfs.dirtab import MAXIMUM_DIRTAB_BYTES, NO_RULES, Dirtab
from outcrop.cvmfs.entry import Mark
from outcrop.cvmfs.paths import RepositoryPath, ancestors, is_below, name
from outcrop.errors import FormatError, IntegrityError
from outcrop.stratum0.catalogs.catalog_limits import CatalogLimits
from outcrop.stratum0.catalogs.nesting import read_dirtab
from tests.stratum0.conftest import Publisher
from tests.stratum0.settling import SMALL, Edit, SettledRepository, directory_entry, files


@pytest.fixture
def repository(publisher: Publisher) -> SettledRepository:
    """A repository in which only rules and markers make catalogs."""
    return SettledRepository(publisher, limits=None)


def added(paths: list[bytes]) -> set[bytes]:
    return {path + b"/.cvmfscatalog" for path in paths}


def test_rules_make_catalogs_of_what_is_there_and_of_what_comes(repository: SettledRepository) -> None:
    repository.put(b"/software/a/1/bin", b"/software/a/common/x", b"/data/x")
    done = repository.put(rules=b"/software/*\n/software/*/*\n! */common\n")
    assert repository.nested() == {b"/software/a": False, b"/software/a/1": False}
    assert {change.path for change in done.summary.changes} == {
        b"/.cvmfsdirtab",
        *added([b"/software/a", b"/software/a/1"]),
    }
    assert done.summary.added == 3
    assert done.emptied == 1

    repository.put(b"/software/a/2/bin", b"/software/b/1/")
    assert set(repository.nested()) == {
        b"/software/a",
        b"/software/a/1",
        b"/software/a/2",
        b"/software/b",
        b"/software/b/1",
    }
    assert repository.violations() == []


def test_markers_belong_to_the_owner_of_their_directory(repository: SettledRepository) -> None:
    repository.put(b"/a/x", rules=b"/a")
    marker = repository.entries()[b"/a/.cvmfscatalog"]
    assert (marker.uid, marker.gid, marker.mode, marker.size) == (7, 8, 0o100644, 0)
    assert marker.mtime == int(repository.publisher.now.timestamp())


def test_a_rule_that_goes_takes_no_catalog_along(repository: SettledRepository) -> None:
    repository.put(b"/a/x", b"/b/x", rules=b"/*")
    repository.put(rules=b"/b")
    repository.remove(b"/.cvmfsdirtab")
    assert set(repository.nested()) == {b"/a", b"/b"}
    repository.put(b"/c/x")
    assert set(repository.nested()) == {b"/a", b"/b"}


def test_a_marker_that_is_taken_from_a_place_with_a_rule_comes_back(repository: SettledRepository) -> None:
    repository.put(b"/a/x", b"/b/x", b"/b/.cvmfscatalog", rules=b"/a")
    repository.remove(b"/a/.cvmfscatalog", b"/b/.cvmfscatalog")
    assert set(repository.nested()) == {b"/a"}
    assert repository.violations() == []


def test_nothing_changes_where_nothing_comes_in(repository: SettledRepository) -> None:
    paths = [b"/a/x", b"/b/c/x"]
    repository.put(*paths, rules=b"/a\n/b/*")
    before = repository.entries()
    again = repository.put(*paths, rules=b"/a\n/b/*")
    assert not again.published
    assert again.emptied == 0
    assert repository.entries() == before


def test_a_tree_that_replaces_itself_keeps_the_markers_of_rules(repository: SettledRepository) -> None:
    paths = [b"/s/a/x", b"/s/b/x", b"/s/own/.cvmfscatalog"]
    repository.put(*paths, rules=b"/s/[ab]")
    assert not repository.replace(b"/s", *paths).published
    assert set(repository.nested()) == {b"/s/a", b"/s/b", b"/s/own"}
    assert repository.replace(b"/s", b"/s/a/x", b"/s/own/").published
    assert set(repository.nested()) == {b"/s/a"}
    assert repository.violations() == []


def test_only_directories_match(repository: SettledRepository) -> None:
    repository.put(b"/file", b"/dir/x", rules=b"/*")
    assert set(repository.nested()) == {b"/dir"}


def test_what_stands_where_the_marker_would_be_is_left_alone(repository: SettledRepository) -> None:
    repository.put(b"/a/.cvmfscatalog/x", b"/b/.cvmfsautocatalog/x", b"/c/x", rules=b"/*")
    assert set(repository.entries()) >= {b"/a/.cvmfscatalog/x", b"/b/.cvmfsautocatalog/x"}
    assert not repository.entries()[b"/a"].is_nested_mountpoint
    assert not repository.entries()[b"/b"].is_nested_mountpoint
    assert repository.entries()[b"/c"].is_nested_mountpoint


def test_what_the_publisher_hides_is_left_alone(repository: SettledRepository) -> None:
    hidden = replace(directory_entry(b"/.cvmfs"), marks=Mark.HIDDEN)
    repository.change(lambda edit: edit.entry(RepositoryPath(b"/.cvmfs"), hidden))
    repository.put(b"/.cvmfs/x", b"/a/x", rules=b"/*")
    assert set(repository.nested()) == {b"/a"}


def test_names_need_not_be_utf8(repository: SettledRepository) -> None:
    repository.put(b"/\xff/\xfe/x", b"/caf\xe9/x", rules=b"/\xff/*\n/caf?")
    assert set(repository.nested()) == {b"/\xff/\xfe", b"/caf\xe9"}
    assert repository.violations() == []


def test_only_catalogs_on_changed_paths_are_read(repository: SettledRepository) -> None:
    repository.put(*[f"/s/p{number}/x".encode() for number in range(12)], rules=b"/s/*")
    assert len(repository.nested()) == 12
    repository.put(b"/s/p3/y")
    assert len(repository.loaded) == 1
    repository.put(b"/other/y")
    assert len(repository.loaded) == 0
    # Other rules are followed only where they lead.
    repository.put(rules=b"/other/*\n/s/*\n/s/p1/*")
    assert len(repository.loaded) == 1


def test_a_directory_on_a_changed_path_gets_the_catalog_that_it_lacks(repository: SettledRepository) -> None:
    def unsettled(edit: Edit) -> None:
        edit.put([b"/s/p/deep/x", b"/s/q/x"], b"/s/*")

    repository.change(unsettled, settle=False)
    assert repository.nested() == {}
    repository.put(b"/s/p/deep/y")
    assert set(repository.nested()) == {b"/s/p"}


def test_wrong_rules_are_refused_with_their_line(repository: SettledRepository) -> None:
    revision = repository.publisher.repository.manifest(repository.publisher.repository.signing_key()).revision
    with pytest.raises(FormatError, match=r"/\.cvmfsdirtab is malformed: line 2 "):
        repository.put(rules=b"/a\nb")
    key = repository.publisher.repository.signing_key()
    assert repository.publisher.repository.manifest(key).revision == revision


def test_rules_are_read_whole_or_not_at_all(repository: SettledRepository) -> None:
    repository.put(rules=b"/a")
    tree = repository.tree()
    with pytest.raises(IntegrityError):
        read_dirtab(tree, lambda path: b"other bytes")
    tree.close()
    with pytest.raises(FormatError):
        repository.put(rules=b"#" * (MAXIMUM_DIRTAB_BYTES + 1))


def test_rules_that_are_no_file_are_no_rules(repository: SettledRepository) -> None:
    repository.put(b"/.cvmfsdirtab/x", b"/a/x")
    assert repository.nested() == {}
    tree = repository.tree()
    assert read_dirtab(tree, lambda path: b"") is NO_RULES
    tree.close()


def test_a_marker_of_ones_own_makes_an_automatic_catalog_ones_own(publisher: Publisher) -> None:
    repository = SettledRepository(publisher)
    repository.put(*files("/big", 30), *files("/other", 3))
    assert repository.nested() == {b"/big": True}
    repository.change(lambda edit: edit.file(RepositoryPath(b"/big/.cvmfscatalog"), b"mine"))
    assert repository.nested() == {b"/big": False}
    repository.replace(b"/big", b"/big/.cvmfscatalog")
    assert repository.nested() == {b"/big": False}
    assert repository.violations() == []


def test_an_automatic_marker_does_not_outlive_the_other(publisher: Publisher) -> None:
    repository = SettledRepository(publisher)
    repository.put(*files("/big", 30), *files("/other", 3))
    repository.limits = CatalogLimits(100, 5)
    repository.remove(b"/big/.cvmfscatalog")
    assert repository.nested() == {}
    assert b"/big/.cvmfsautocatalog" not in repository.entries()
    assert repository.violations() == []


NAMES = [b"a", b"b", b".c", b"\xff"]
PATTERNS = [b"a", b"b", b"*", b"?", b"[ab]", b".*", b"\xff", b"c*"]
places = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4).map(lambda parts: b"/" + b"/".join(parts))
rules = st.builds(
    lambda sign, parts: sign + b"/" + b"/".join(parts),
    st.sampled_from([b"", b"", b"! "]),
    st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=3),
)
changes = st.one_of(
    st.tuples(st.just("put"), st.lists(places, min_size=1, max_size=12)),
    st.tuples(st.just("rules"), st.lists(rules, max_size=5)),
    st.tuples(st.just("remove"), st.lists(places, min_size=1, max_size=1)),
    st.tuples(st.just("replace"), st.lists(places, min_size=1, max_size=6)),
)
limits = st.sampled_from([None, CatalogLimits(6, 2), CatalogLimits(8, 4), SMALL])


@pytest.mark.property
@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(history=st.lists(changes, min_size=1, max_size=6), limit=limits)
def test_a_settled_tree_differs_by_its_markers_only(
    publisher: Publisher, history: list[tuple[str, list[bytes]]], limit: CatalogLimits | None
) -> None:
    repository = SettledRepository(publisher, limits=limit)
    repository.remove(*[path for path in repository.paths() if path.count(b"/") == 1])
    expected: set[bytes] = set()
    asked_for = NO_RULES
    for kind, what in history:
        if kind == "rules":
            if (parsed := rules_of(what)) is not None:
                repository.put(rules=b"\n".join(what))
                asked_for = parsed
                expected.add(b"/.cvmfsdirtab")
        elif kind == "remove":
            there = [path for path in what if path in expected]
            repository.remove(*there)
            expected -= {path for path in expected for gone in there if is_below(path, gone)}
        else:
            # All files are called `f`, so that no path is both a file and a directory.
            wanted = [path + b"/f" for path in what]
            if kind == "replace":
                repository.replace(what[0], *[path for path in wanted if is_below(path, what[0])])
                expected -= {path for path in expected if is_below(path, what[0]) and path not in with_parents(wanted)}
                wanted = [path for path in wanted if is_below(path, what[0])]
            else:
                repository.put(*wanted)
            expected |= with_parents(wanted)
        assert repository.paths() == expected
        nested = repository.nested()
        directories = {path for path in expected if name(path) not in (b"f", b".cvmfsdirtab")}
        assert {path for path in directories if asked_for.matches(path)} <= nested.keys()
        assert limit is not None or not any(nested.values())
    assert repository.violations() == []
    assert_settled(repository, expected, asked_for)


def rules_of(lines: list[bytes]) -> Dirtab | None:
    """What `lines` say, None where one contradicts another."""
    try:
        return Dirtab.parse(b"\n".join(lines))
    except FormatError:
        return None


def with_parents(paths: list[bytes]) -> set[bytes]:
    return {each for path in paths for each in (*ancestors(path)[1:], path)}


def assert_settled(repository: SettledRepository, expected: set[bytes], rules: Dirtab) -> None:
    """Publishing once more what is there, either way, publishes nothing; but a tree that comes in the place of the old
    one without the marker of a rule that is gone takes that marker away."""
    before = repository.entries()
    there = sorted(path if name(path) == b"f" else path + b"/" for path in expected - {b"/.cvmfsdirtab"})
    assert not repository.put(*there).published
    was_asked_for = {
        path for path, automatic in repository.nested().items() if not automatic and not rules.matches(path)
    }
    for top in {path.split(b"/")[1] for path in there}:
        below = [path for path in there if is_below(path, b"/" + top)]
        lost = any(is_below(path, b"/" + top) for path in was_asked_for)
        assert repository.replace(b"/" + top, *below).published == lost
    if was_asked_for:
        return
    assert repository.entries() == before
