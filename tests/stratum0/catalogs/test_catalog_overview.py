"""The overview of catalogs: its numbers are those of the tree, its verdicts those of the limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from outcrop.cvmfs.catalog import CatalogReference
from outcrop.cvmfs.dirtab import Dirtab
from outcrop.cvmfs.paths import ROOT, RepositoryPath, is_below, parent
from outcrop.errors import NotFound
from outcrop.stratum0.catalogs.catalog_overview import CatalogKind, CatalogSummary, Verdict, catalog_overview
from tests.stratum0.conftest import Publisher
from tests.stratum0.settling import SMALL, SettledRepository, files

PATHS = [*files("/a", 9), *files("/b", 9), *files("/a/in", 4), b"/a/in/.cvmfscatalog", *files("/c", 1)]


@pytest.fixture
def repository(new_publisher: Callable[..., Publisher]) -> SettledRepository:
    publisher = new_publisher(maximum_catalog_entries=SMALL.maximum, minimum_catalog_entries=SMALL.minimum)
    return SettledRepository(publisher)


def overview(repository: SettledRepository, path: bytes = ROOT, depth: int | None = None) -> list[CatalogSummary]:
    owned = repository.publisher.repository
    manifest = owned.manifest(owned.signing_key())
    root = CatalogReference(ROOT, manifest.root_catalog, manifest.root_catalog_size)
    return catalog_overview(owned, root, path=RepositoryPath(path), depth=depth)


def test_every_catalog_is_told_with_its_numbers(repository: SettledRepository) -> None:
    repository.put(*PATHS, b"/a/n/.cvmfscatalog")
    told = overview(repository)
    assert [(one.path, one.level, one.kind.value) for one in told] == [
        (b"", 0, "root"),
        (b"/a", 1, "automatic"),
        (b"/a/in", 2, "marker"),
        (b"/a/n", 2, "marker"),
        (b"/b", 1, "automatic"),
    ]
    assert {bytes(one.path): one.entries for one in told} == repository.sizes()
    root, inner = told[0], told[1]
    assert root.entries_below == sum(one.entries for one in told[1:])
    assert (root.catalogs_below, inner.catalogs_below) == (4, 2)
    assert root.content_bytes + root.content_bytes_below == sum(one.content_bytes for one in told)
    assert inner.content_bytes == 9 * len("file0000")
    everything = len(repository.entries()) + 1
    assert root.entries + root.entries_below - root.catalogs_below == everything


def test_a_depth_counts_what_it_does_not_show(repository: SettledRepository) -> None:
    repository.put(*PATHS)
    assert [one.path for one in overview(repository, depth=1)] == [b"", b"/a", b"/b"]
    (root,) = overview(repository, depth=0)
    assert root == overview(repository)[0]


def test_a_path_begins_at_the_catalog_that_has_it(repository: SettledRepository) -> None:
    repository.put(*PATHS)
    assert [one.path for one in overview(repository, b"/a")] == [b"/a", b"/a/in"]
    assert [one.path for one in overview(repository, b"/a/in/file0000")] == [b"/a/in"]
    assert [one.path for one in overview(repository, b"/c")] == [b""]
    assert [one.level for one in overview(repository, b"/a/in")] == [0]
    for missing in (b"/d", b"/a/in/no", b"/a/inner"):
        with pytest.raises(NotFound):
            overview(repository, missing)


def test_verdicts_and_the_rules_that_would_mend_them(repository: SettledRepository) -> None:
    repository.limits = None
    many = [path for number in range(5) for path in files(f"/sets/s{number}", 6)]
    odd = [path for place in ("/odd/a*b", "/odd/c d ") for path in files(place, 9)]
    repository.put(*many, *odd, *files("/flat", 30), rules=b"/sets\n/odd\n/flat\n/tiny")
    repository.put(*files("/tiny", 1))
    told = {bytes(one.path): one for one in overview(repository)}
    assert {path: one.verdict for path, one in told.items()} == {
        b"": Verdict.FINE,
        b"/flat": Verdict.LARGE,
        b"/odd": Verdict.LARGE,
        b"/sets": Verdict.LARGE,
        b"/tiny": Verdict.SMALL,
    }
    assert told[b"/flat"].rules == ()
    assert told[b"/sets"].rules == (b"/sets/*",)
    assert told[b"/odd"].rules == (rb"/odd/a\*b", b"/odd/c[ ]d[ ]")
    mending = Dirtab.parse(b"\n".join(rule for one in told.values() for rule in one.rules))
    assert all(mending.matches(path) for path in (b"/sets/s3", b"/odd/a*b", b"/odd/c d "))


def test_rules_that_the_overview_tells_mend_what_they_are_told_for(repository: SettledRepository) -> None:
    repository.limits = None
    repository.put(*[path for number in range(5) for path in files(f"/sets/s{number}", 6)])
    (root,) = overview(repository)
    assert root.verdict is Verdict.LARGE
    repository.put(rules=b"\n".join(root.rules))
    assert {one.verdict for one in overview(repository)} == {Verdict.FINE}


def test_a_catalog_with_others_in_it_is_not_small(repository: SettledRepository) -> None:
    repository.put(b"/s/.cvmfscatalog", b"/s/a/.cvmfscatalog", *files("/s/a", 5))
    assert [(one.path, one.verdict) for one in overview(repository)] == [
        (b"", Verdict.FINE),
        (b"/s", Verdict.FINE),
        (b"/s/a", Verdict.FINE),
    ]


def test_the_reference_bears_more_below_than_at_the_root(repository: SettledRepository) -> None:
    from outcrop.stratum0.catalogs.catalog_limits import REFERENCE_NESTED_LIMIT, REFERENCE_ROOT_LIMIT
    from outcrop.stratum0.catalogs.catalog_overview import _verdict

    place = RepositoryPath(b"/a")
    assert _verdict(ROOT, REFERENCE_ROOT_LIMIT + 1, 0, SMALL) is Verdict.TOO_LARGE
    assert _verdict(ROOT, REFERENCE_ROOT_LIMIT, 0, SMALL) is Verdict.LARGE
    assert _verdict(place, REFERENCE_NESTED_LIMIT, 0, SMALL) is Verdict.LARGE
    assert _verdict(place, REFERENCE_NESTED_LIMIT + 1, 0, SMALL) is Verdict.TOO_LARGE


def test_parents_come_before_children_whatever_the_shape(repository: SettledRepository) -> None:
    deep = [b"/d" * depth + b"/.cvmfscatalog" for depth in range(1, 25)]
    wide = [b"/w%02d/\xff/.cvmfscatalog" % number for number in range(25)]
    repository.limits = None
    repository.put(*deep, *wide)
    told = overview(repository)
    assert len(told) == 1 + len(deep) + len(wide)
    seen: list[CatalogSummary] = []
    for one in told:
        above = [each for each in seen if is_below(parent(one.path), each.path)]
        assert one.level == len(above)
        seen.append(one)
    assert replace(told[0]).kind is CatalogKind.ROOT
