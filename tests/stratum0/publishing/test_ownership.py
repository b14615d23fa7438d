"""Whose published entries are: maps of numbers, as the reference writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from outcrop.cvmfs.paths import RepositoryPath
from outcrop.errors import FormatError, InvalidValue, StorageError
from outcrop.stratum0.publishing.incoming_tarball import TarballTree
from outcrop.stratum0.publishing.ingest import IngestRequest
from outcrop.stratum0.publishing.ownership import AS_THEY_ARE, KEEP_OWNERS, IdMap, Ownership
from tests.stratum0.archives import Member, directory, write_archive
from tests.stratum0.conftest import Publisher
from tests.stratum0.reading import entries, published_tree

MAP = """\
# users of the build machine
1000 0

  1001\t5   # the second one
* 65534
"""


def test_a_map_has_lines_comments_and_a_rest() -> None:
    users = IdMap.parse(MAP, "a map")
    assert [users(number) for number in (1000, 1001, 7, 0)] == [0, 5, 65534, 65534]


def test_numbers_without_a_line_stay() -> None:
    assert [IdMap.parse("1 2", "a map")(number) for number in (0, 1, 2)] == [0, 2, 2]
    assert AS_THEY_ARE(12) == 12


def test_the_last_line_for_a_number_counts() -> None:
    assert IdMap.parse("1 2\n1 3\n* 4\n* 5\n", "a map")(1) == 3
    assert IdMap.parse("1 2\n1 3\n* 4\n* 5\n", "a map")(9) == 5


@pytest.mark.parametrize(
    "line", ["1", "1 2 3", "a 1", "1 a", "-1 0", "1 -1", "1 *", "1 4294967296", "4294967296 1", "² 1", "* *", "1:2"]
)
def test_a_line_that_maps_nothing_is_named(line: str) -> None:
    with pytest.raises(FormatError, match=r"maps.txt is malformed: line 3 is not of the form FROM TO"):
        IdMap.parse(f"1 2\n\n{line}\n", "maps.txt")


def test_the_largest_number_is_mapped() -> None:
    assert IdMap.parse("4294967295 4294967294", "a map")(4294967295) == 4294967294


def test_a_map_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"map\.txt does not exist"):
        IdMap.load(tmp_path / "map.txt")


@pytest.mark.parametrize("owner", [(-1, 0), (0, -1), (2**32, 0), (0, 2**32)])
def test_an_owner_that_nobody_can_be_is_refused(owner: tuple[int, int]) -> None:
    with pytest.raises(InvalidValue, match="numbers that nobody can have"):
        Ownership.all_to(*owner)


def test_what_the_publisher_makes_belongs_to_root_as_mapped() -> None:
    assert KEEP_OWNERS.newcomer == (0, 0)
    assert Ownership.all_to(7, 8).newcomer == (7, 8)
    assert Ownership(IdMap.parse("0 5", "users"), IdMap.parse("* 6", "groups")).newcomer == (5, 6)


def test_everything_that_comes_in_is_mapped(publisher: Publisher, tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "t.tar", directory("d"), Member("d/f", uid=1000), Member("d/g", uid=3))
    ownership = Ownership(IdMap.parse("1000 7\n0 9", "users"), IdMap.parse("* 6", "groups"))
    publisher.publish(IngestRequest(trees=(TarballTree(archive),), ownership=ownership, at=RepositoryPath(b"/top")))
    found = entries(publisher.repository.store)
    owners = {path: (entry.uid, entry.gid) for path, entry in found.items()}
    assert owners == {b"/top": (9, 6), b"/top/d": (9, 6), b"/top/d/f": (7, 6), b"/top/d/g": (3, 6)}
    assert published_tree(publisher.repository.store).entry(b"").uid == 0


def test_another_map_is_a_change(publisher: Publisher, tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "t.tar", Member("f"))
    first = IngestRequest(trees=(TarballTree(archive),), ownership=Ownership.all_to(5, 5))
    assert publisher.publish(first).published
    assert not publisher.publish(first).published
    outcome = publisher.publish(IngestRequest(trees=(TarballTree(archive),), ownership=Ownership.all_to(6, 5)))
    assert [(change.path, change.content) for change in outcome.summary.changes] == [(b"/f", False)]
