"""What comes in waits in any order and comes out a directory at a time, as a plain dictionary would have it."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outcrop.cvmfs.digest import Algorithm, Digest
from outcrop.cvmfs.entry import Chunk, Entry, Mark, encode_entry
from outcrop.cvmfs.paths import ROOT, RepositoryPath, join, name, parent
from outcrop.errors import InvalidValue
from outcrop.stratum0.publishing.staging import Staged, Staging

MANY = 2500
"""More entries than are written at once, twice over."""


@pytest.fixture
def staging() -> Iterator[Staging]:
    staging = Staging()
    yield staging
    staging.close()


def path(text: str) -> RepositoryPath:
    return RepositoryPath(text.encode())


def file(text: str, content: str = "x", *, mode: int = 0o644, mtime: int = 7) -> Entry:
    digest = Digest.of(content.encode())
    return Entry(name(text.encode()), stat.S_IFREG | mode, size=len(content), mtime=mtime, digest=digest)


def folder(text: str, *, mode: int = 0o755, mtime: int = 7) -> Entry:
    return Entry(name(text.encode()), stat.S_IFDIR | mode, size=4096, mtime=mtime, linkcount=2)


def add(staging: Staging, *texts: str, tree: int = 0) -> None:
    """Files, and directories where the path ends with `/`."""
    for text in texts:
        entry = folder(text.rstrip("/")) if text.endswith("/") else file(text)
        staging.add(path(text.rstrip("/")), encode_entry(entry), tree=tree)


def listed(staging: Staging) -> list[tuple[bytes, list[bytes]]]:
    return [(directory, [one.row.name for one in staged]) for directory, staged in staging.directories()]


def by_path(staging: Staging) -> dict[bytes, Staged]:
    found: dict[bytes, Staged] = {}
    for directory, staged in staging.directories():
        for one in staged:
            found[join(directory, one.row.name) if one.row.name else ROOT] = one
    return found


def groups(staging: Staging) -> dict[bytes, frozenset[bytes]]:
    """Every path that is one of several names of a file in its directory, with all of them."""
    members: dict[tuple[bytes, int], set[bytes]] = {}
    found = by_path(staging)
    for one_path, one in found.items():
        if one.links:
            members.setdefault((parent(one_path), one.links), set()).add(one_path)
    for group in members.values():
        assert {found[member].row.hardlinks for member in group} == {len(group)}
    return {member: frozenset(group) for group in members.values() for member in group}


def test_parents_come_before_what_they_hold_whatever_the_order_was(staging: Staging) -> None:
    add(staging, "/b/c/d/file", "/b/c/d/", "/a-b/x", "/a/x", "/b/c/", "/a-b/", "/b/", "/a/")
    assert listed(staging) == [
        (b"", [b"a", b"a-b", b"b"]),
        (b"/a", [b"x"]),
        (b"/a-b", [b"x"]),
        (b"/b", [b"c"]),
        (b"/b/c", [b"d"]),
        (b"/b/c/d", [b"file"]),
    ]


def test_the_root_is_the_one_entry_without_a_name(staging: Staging) -> None:
    add(staging, "/a", "/")
    assert listed(staging) == [(b"", [b"", b"a"])]
    root = staging.get(ROOT)
    assert root is not None
    assert root.is_directory


def test_what_comes_in_is_found_before_and_after_it_was_written_away(staging: Staging) -> None:
    add(staging, "/d/", "/d/f")
    assert staging.get(path("/d/f")) is not None
    assert staging.get(path("/d/g")) is None
    add(staging, *(f"/d/n{number}" for number in range(MANY)))
    for text in ("/d/f", "/d/n0", f"/d/n{MANY - 1}"):
        found = staging.get(path(text))
        assert found is not None
        assert found.row.name == name(path(text))


def test_an_entry_comes_out_as_it_went_in(staging: Staging) -> None:
    chunks = tuple(Chunk(offset, 5, Digest(Algorithm.SHAKE128, bytes([offset]) * 20)) for offset in (0, 5, 10))
    entry = Entry(
        b"\xff latin", stat.S_IFREG | 0o640, 15, -3, 999_999_999, 2**32 - 1, 5, marks=Mark.CHUNKED,
        algorithm=Algorithm.SHAKE128,
    )  # fmt: skip
    staging.add(RepositoryPath(b"/\xff latin"), encode_entry(entry), chunks)
    ((_, (one,)),) = staging.directories()
    assert (one.row.name, one.row.mode, one.row.size) == (b"\xff latin", stat.S_IFREG | 0o640, 15)
    assert (one.row.mtime, one.row.mtimens, one.row.uid, one.row.gid) == (-3, 999_999_999, 2**32 - 1, 5)
    assert (one.row.hash, one.chunks, one.links, one.implied) == (None, chunks, 0, False)


@pytest.mark.parametrize("between", [0, MANY])
class TestTwice:
    """The same path twice, with `between` other entries between the two."""

    def put_twice(self, staging: Staging, between: int, first: Entry, second: Entry, *trees: int) -> Staged:
        staging.add(path("/f"), encode_entry(first), tree=trees[0] if trees else 0)
        add(staging, *(f"/filler/{number}" for number in range(between)))
        staging.add(path("/f"), encode_entry(second), tree=trees[1] if trees else 0)
        return by_path(staging)[b"/f"]

    def test_a_member_that_stands_twice_alike_comes_in_once(self, staging: Staging, between: int) -> None:
        assert self.put_twice(staging, between, file("/f"), file("/f")).row.size == 1

    @pytest.mark.parametrize(
        "other",
        [file("/f", "other"), file("/f", mode=0o600), file("/f", mtime=8), folder("/f")],
        ids=["content", "mode", "time", "type"],
    )
    def test_members_that_disagree_are_refused(self, staging: Staging, between: int, other: Entry) -> None:
        with pytest.raises(InvalidValue, match=r"/f stands twice"):
            self.put_twice(staging, between, file("/f"), other)

    @pytest.mark.parametrize("other", [file("/f", "other"), folder("/f")])
    def test_the_last_tree_counts(self, staging: Staging, between: int, other: Entry) -> None:
        found = self.put_twice(staging, between, file("/f"), other, 0, 1)
        assert (found.row.mode, found.row.hash) == (other.mode, other.digest.raw if other.digest else None)

    def test_an_implied_directory_gives_way_to_what_is_said_of_it(self, staging: Staging, between: int) -> None:
        said = folder("/d", mode=0o700, mtime=99)
        staging.add(path("/d"), encode_entry(folder("/d")), implied=True)
        add(staging, *(f"/filler/{number}" for number in range(between)))
        staging.add(path("/d"), encode_entry(said))
        assert by_path(staging)[b"/d"].row.mode == said.mode
        assert not by_path(staging)[b"/d"].implied

    @pytest.mark.parametrize("tree", [0, 1])
    def test_an_implied_directory_takes_nothing_back(self, staging: Staging, between: int, tree: int) -> None:
        staging.add(path("/d"), encode_entry(folder("/d", mode=0o700, mtime=99)))
        add(staging, *(f"/filler/{number}" for number in range(between)))
        staging.add(path("/d"), encode_entry(folder("/d")), tree=tree, implied=True)
        found = by_path(staging)[b"/d"]
        assert (found.row.mode, found.row.mtime, found.implied) == (stat.S_IFDIR | 0o700, 99, False)

    def test_a_directory_that_a_later_tree_needs_takes_the_place_of_a_file(
        self, staging: Staging, between: int
    ) -> None:
        staging.add(path("/d"), encode_entry(file("/d")))
        add(staging, *(f"/filler/{number}" for number in range(between)))
        staging.add(path("/d"), encode_entry(folder("/d")), tree=1, implied=True)
        assert by_path(staging)[b"/d"].is_directory

    def test_a_hard_link_takes_part_in_its_target(self, staging: Staging, between: int) -> None:
        add(staging, "/d/", "/d/a")
        add(staging, *(f"/filler/{number}" for number in range(between)))
        staging.add_link(path("/d/b"), path("/d/a"))
        staging.add_link(path("/d/c"), path("/d/b"))
        assert groups(staging) == dict.fromkeys((b"/d/a", b"/d/b", b"/d/c"), frozenset({b"/d/a", b"/d/b", b"/d/c"}))

    def test_a_hard_link_that_stands_twice_is_one(self, staging: Staging, between: int) -> None:
        add(staging, "/a")
        staging.add_link(path("/b"), path("/a"))
        add(staging, *(f"/filler/{number}" for number in range(between)))
        staging.add_link(path("/b"), path("/a"))
        staging.add(path("/a"), encode_entry(file("/a")))
        assert set(groups(staging)) == {b"/a", b"/b"}


def test_groups_are_told_apart(staging: Staging) -> None:
    add(staging, "/a", "/c")
    staging.add_link(path("/b"), path("/a"))
    staging.add_link(path("/d"), path("/c"))
    assert set(groups(staging).values()) == {frozenset({b"/a", b"/b"}), frozenset({b"/c", b"/d"})}


def test_a_group_spans_one_directory(staging: Staging) -> None:
    add(staging, "/d/", "/d/a", "/e/")
    for text in ("/d/b", "/e/c", "/e/d", "/f"):
        staging.add_link(path(text), path("/d/a"))
    assert set(groups(staging).values()) == {frozenset({b"/d/a", b"/d/b"}), frozenset({b"/e/c", b"/e/d"})}
    alone = by_path(staging)[b"/f"]
    assert (alone.links, alone.row.hardlinks) == (0, 1)


def test_a_file_whose_twin_a_later_tree_replaces_stands_alone(staging: Staging) -> None:
    add(staging, "/a")
    staging.add_link(path("/b"), path("/a"))
    staging.add(path("/b"), encode_entry(file("/b", "other")), tree=1)
    assert groups(staging) == {}


@pytest.mark.parametrize("target", ["/later", "/none", "/d", "/self", "/of-another-tree"])
def test_a_hard_link_to_what_is_no_file_before_it_is_refused(staging: Staging, target: str) -> None:
    add(staging, "/of-another-tree")
    add(staging, "/d/", tree=1)
    with pytest.raises(InvalidValue, match=f"is a hard link to {target}, which is no file before it"):
        staging.add_link(path("/self"), path(target), tree=1)


def test_a_hard_link_may_lead_to_a_symbolic_link(staging: Staging) -> None:
    staging.add(path("/s"), encode_entry(Entry(b"s", stat.S_IFLNK | 0o777, size=1, symlink=b"x")))
    staging.add_link(path("/t"), path("/s"))
    assert {one.row.symlink for one in by_path(staging).values()} == {b"x"}


NAMES = st.sampled_from(["a", "b", "c", "a-b", "ä", "x" * 255])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(lambda names: "".join("/" + one for one in names))


@dataclass(frozen=True)
class Step:
    """What happens to one path; a hard link leads to one of the paths before it, counted from the last."""

    path: str
    content: str
    kind: str
    tree: int
    target: int


STEPS = st.lists(
    st.builds(
        Step, PATHS, st.sampled_from(["x", "y"]), st.sampled_from(["file", "folder", "implied", "link"]),
        st.integers(0, 2), st.integers(0, 5),
    ),
    max_size=40,
)  # fmt: skip


@pytest.mark.property
@given(STEPS)
@settings(max_examples=300)
def test_it_is_a_dictionary(steps: list[Step]) -> None:
    """Of what several trees say of a path the last counts; what one tree says twice must be the same."""
    staging = Staging()
    model = Model()
    for step in sorted(steps, key=lambda step: step.tree):
        target = model.target(step)
        if step.kind == "link" and target is None:
            continue
        if not model.take(step, target):
            with pytest.raises(InvalidValue):
                put(staging, step, target, read=True)
            break
        put(staging, step, target)
    else:
        found = by_path(staging)
        assert list(found) == sorted(model.said, key=lambda one: (parent(one), name(one)))
        for raw, said in model.said.items():
            assert (found[raw].is_directory, found[raw].implied) == (said.kind != "file", said.kind == "implied")
            if said.kind == "file":
                assert found[raw].row.hash == Digest.of(said.content.encode()).raw
                assert found[raw].row.hardlinks == len(model.group(raw))
        assert groups(staging) == {raw: model.group(raw) for raw in model.said if len(model.group(raw)) > 1}
    staging.close()


def put(staging: Staging, step: Step, target: RepositoryPath | None, *, read: bool = False) -> None:
    raw, shown = path(step.path), step.path
    if target is not None:
        staging.add_link(raw, target, tree=step.tree)
    elif step.kind == "file":
        staging.add(raw, encode_entry(file(shown, step.content)), tree=step.tree)
    else:
        staging.add(raw, encode_entry(folder(shown)), tree=step.tree, implied=step.kind == "implied")
    if read:
        by_path(staging)


@dataclass(frozen=True)
class Said:
    """What a tree says of a path. Names of one file have the same `inode`."""

    tree: int
    kind: str
    content: str
    inode: int


class Model:
    """A dictionary of what comes in."""

    def __init__(self) -> None:
        self.said: dict[RepositoryPath, Said] = {}
        self._inodes = count()

    def target(self, step: Step) -> RepositoryPath | None:
        """Where a link of `step` leads, if there is anything."""
        known = list(self.said)
        return known[-1 - step.target] if step.kind == "link" and step.target < len(known) else None

    def take(self, step: Step, target: RepositoryPath | None) -> bool:
        """Notes what `step` says; False if that must be refused."""
        raw = path(step.path)
        old = self.said.get(raw)
        new = Said(step.tree, step.kind, step.content, next(self._inodes))
        if target is not None:
            new = self.said[target]
            if (new.tree, new.kind) != (step.tree, "file") or target == raw:
                return False
        if old is not None and new.kind == "implied" and (old.tree == new.tree or old.kind != "file"):
            return True
        if old is not None and old.tree == new.tree and old.kind != "implied":
            if old.kind != new.kind or (old.kind == "file" and old.content != new.content):
                return False
            if target is None:
                return True
        self.said[raw] = new
        return True

    def group(self, raw: RepositoryPath) -> frozenset[bytes]:
        """The names in the directory of `raw` that the same file has."""
        inode = self.said[raw].inode
        return frozenset(one for one, said in self.said.items() if said.inode == inode and parent(one) == parent(raw))
