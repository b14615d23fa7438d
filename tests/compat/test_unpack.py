"""Packages into a tree. A tree is built by people with rights, from packages that many hands made: whatever a package
holds, nothing outside the tree may change."""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from outcrop.compat.debian.alternatives import Alternative
from outcrop.compat.left_out import Drop, DropRules, LeftOut
from outcrop.compat.unpack import MERGED, PackageFile, UnpackedPackage, merged_path, unpack
from outcrop.errors import FormatError, IntegrityError, OutcropError, StorageError
from tests.compat.debian.packages_made_here import MTIME, NONE, Entry, MadePackage, directory, file, hard_link, link

NOTHING = DropRules.of(())


@dataclass(frozen=True)
class Place:
    """Where a test unpacks: `tree`, beside `outside`, whose contents are to stay."""

    root: Path

    @property
    def tree(self) -> Path:
        return self.root / "tree"

    @property
    def outside(self) -> Path:
        return self.root / "outside"

    def unpack(
        self, *packages: MadePackage, dropped: DropRules = NOTHING, workers: int = 1
    ) -> tuple[UnpackedPackage, ...]:
        files = []
        for package in packages:
            path = self.root / f"{package.name}.deb"
            path.write_bytes(package.data)
            files.append(PackageFile(package.name, path))
        return unpack(files, self.tree, dropped, workers)

    def one(self, *entries: Entry, dropped: DropRules = NOTHING) -> UnpackedPackage:
        """Unpacks a package with `entries`."""
        (unpacked,) = self.unpack(MadePackage("made", entries=entries), dropped=dropped)
        return unpacked


def seen(directory: Path) -> dict[str, tuple[object, ...]]:
    """Every path below `directory` with all that could have been changed of it."""
    found: dict[str, tuple[object, ...]] = {}
    for path in (directory, *directory.rglob("*")):
        facts = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(facts.st_mode) else b""
        found[str(path)] = (facts.st_mode, facts.st_nlink, facts.st_mtime_ns, content)
    return found


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A place; the test fails if anything outside the tree is not as it was."""
    made = Place(tmp_path)
    made.outside.mkdir()
    (made.outside / "secret").write_text("secret")
    (made.outside / "secret").chmod(0o600)
    os.utime(made.outside / "secret", (1, 1))
    before = seen(made.outside)
    yield made
    assert seen(made.outside) == before, "something outside the tree was changed"


def test_files_directories_and_links_are_unpacked(place: Place) -> None:
    unpacked = place.one(
        directory("."),
        directory("usr"),
        directory("usr/bin"),
        file("usr/bin/a", b"program", 0o755),
        file("usr/share/a/data", b"data"),
        link("usr/bin/b", "a"),
        link("usr/absolute", "/usr/bin/a"),
        hard_link("usr/bin/c", "usr/bin/a"),
        directory("var/empty"),
    )
    assert unpacked.name == "made"
    assert set(unpacked.paths) == {"usr/bin/a", "usr/share/a/data", "usr/bin/b", "usr/absolute", "usr/bin/c"}
    assert unpacked.left_out == ()
    tree = place.tree
    assert (tree / "usr/bin/a").read_bytes() == b"program"
    assert (tree / "usr/share/a/data").read_bytes() == b"data"
    assert os.readlink(tree / "usr/bin/b") == "a"
    assert os.readlink(tree / "usr/absolute") == "/usr/bin/a"
    assert (tree / "usr/bin/c").samefile(tree / "usr/bin/a")
    assert (tree / "var/empty").is_dir()


def test_a_file_keeps_its_time_and_of_its_mode_whether_it_is_a_program(place: Place) -> None:
    modes = {"a": 0o755, "b": 0o644, "c": 0o600, "d": 0o700, "e": 0o444, "f": 0o777}
    place.one(*(file(f"usr/{name}", b"", mode, MTIME + 7) for name, mode in modes.items()))
    found = {name: stat.S_IMODE((place.tree / "usr" / name).stat().st_mode) for name in modes}
    assert found == {"a": 0o755, "b": 0o644, "c": 0o644, "d": 0o755, "e": 0o644, "f": 0o755}
    assert {(place.tree / "usr" / name).stat().st_mtime for name in modes} == {MTIME + 7}


def test_special_permissions_are_not_unpacked(place: Place) -> None:
    place.one(
        file("usr/bin/sudo", b"", 0o4755),
        file("usr/bin/wall", b"", 0o2755),
        file("usr/bin/sticky", b"", 0o1755),
        directory("var/shared", 0o2775),
        directory("usr/tmp", 0o1777),
    )
    for path in place.tree.rglob("*"):
        assert not stat.S_IMODE(path.lstat().st_mode) & 0o7000 or path.is_symlink(), path


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices_and_pipes_are_not_unpacked(place: Place, kind: bytes) -> None:
    unpacked = place.one(Entry("usr/null", kind, mode=0o666), file("usr/a"))
    assert unpacked.paths == ("usr/a",)
    assert not os.path.lexists(place.tree / "usr/null")


def test_directories_of_the_root_are_below_usr_with_links_in_their_places(place: Place) -> None:
    unpacked = place.one(
        directory("bin"),
        file("bin/sh", b"", 0o755),
        file("sbin/ldconfig"),
        file("lib/x86_64-linux-gnu/libc.so.6"),
        file("lib64/ld.so"),
        file("etc/shells"),
        link("lib/absolute", "/lib/x86_64-linux-gnu"),
        hard_link("bin/dash", "bin/sh"),
        file("usr/lib/a"),
    )
    assert "usr/bin/sh" in unpacked.paths
    assert "usr/lib/x86_64-linux-gnu/libc.so.6" in unpacked.paths
    tree = place.tree
    assert {path.name: os.readlink(path) for path in tree.iterdir() if path.is_symlink()} == {
        "bin": "usr/bin",
        "sbin": "usr/sbin",
        "lib": "usr/lib",
        "lib64": "usr/lib64",
    }
    assert (tree / "usr/bin/dash").samefile(tree / "bin/sh")


def test_a_package_may_bring_the_links_of_a_merged_root_itself(place: Place) -> None:
    # base-files does, since trixie.
    links = [link(name, f"usr/{name}") for name in MERGED]
    place.unpack(
        MadePackage("base-files", entries=(*links, file("usr/lib/a"))), MadePackage("b", entries=(file("lib/b"),))
    )
    assert {path.name for path in (place.tree / "lib").iterdir()} == {"a", "b"}


@pytest.mark.parametrize(
    ("path", "merged"),
    [
        ("bin/sh", "usr/bin/sh"),
        ("lib64/ld.so", "usr/lib64/ld.so"),
        ("bin", "bin"),
        ("etc/bin/x", "etc/bin/x"),
        ("usr/bin/sh", "usr/bin/sh"),
        ("library/x", "library/x"),
    ],
)
def test_a_path_has_one_place(path: str, merged: str) -> None:
    assert merged_path(path) == merged
    assert merged_path(merged) == merged


def test_what_is_dropped_is_told_and_not_there(place: Place) -> None:
    unpacked = place.one(
        directory("usr/share/man"),
        file("usr/share/man/a", b"manual"),
        link("usr/share/man/b", "a"),
        file("lib/systemd/x"),
        file("usr/share/kept"),
        dropped=DropRules.of(
            [
                Drop(("usr/share/man", "usr/share/man/**"), "a reason", "manual-pages"),
                Drop(("usr/lib/systemd/*",), "a reason"),
            ]
        ),
    )
    assert unpacked.paths == ("usr/share/kept",)
    assert unpacked.left_out == (
        LeftOut("manual-pages", "usr/share/man/a", 6),
        LeftOut("manual-pages", "usr/share/man/b", 0),
        LeftOut("-", "usr/lib/systemd/x", 0),
    )
    assert not (place.tree / "usr/share/man").exists()
    assert not (place.tree / "usr/lib/systemd").exists()


def test_a_hard_link_to_a_file_that_is_dropped_has_its_contents(place: Place) -> None:
    place.one(
        file("usr/a", b"contents"), hard_link("usr/b", "usr/a"), dropped=DropRules.of([Drop(("usr/a",), "a reason")])
    )
    assert (place.tree / "usr/b").read_bytes() == b"contents"


def test_a_hard_link_to_nothing_is_told_as_the_package_s_trouble(place: Place) -> None:
    with pytest.raises(OutcropError, match="made"):
        place.one(hard_link("usr/b", "usr/a"))


def test_a_script_s_links_are_told_and_it_is_not_run(place: Place) -> None:
    script = "touch /outcrop-was-here\nupdate-alternatives --install /usr/bin/awk awk /usr/bin/mawk 5\n"
    (unpacked,) = place.unpack(MadePackage("mawk", entries=(file("usr/bin/mawk"),), script=script))
    assert unpacked.alternatives == (Alternative("/usr/bin/awk", "/usr/bin/mawk", 5),)
    assert not os.path.lexists(place.tree / "usr/bin/awk")
    assert not os.path.lexists("/outcrop-was-here")


@pytest.mark.parametrize("workers", [1, 8])
def test_packages_come_back_in_their_order(place: Place, workers: int) -> None:
    packages = [
        MadePackage(f"p{number}", entries=(file(f"usr/share/p{number}/{number}", b"x" * number * 999),))
        for number in range(20)
    ]
    unpacked = place.unpack(*packages, workers=workers)
    assert [one.name for one in unpacked] == [package.name for package in packages]
    assert len([path for path in place.tree.rglob("*") if path.is_file()]) == 20


@pytest.mark.parametrize("workers", [1, 8])
def test_packages_may_share_directories(place: Place, workers: int) -> None:
    packages = [
        MadePackage(f"p{number}", entries=(directory("usr/share/doc"), file(f"usr/share/doc/p{number}")))
        for number in range(20)
    ]
    place.unpack(*packages, workers=workers)
    assert len(list((place.tree / "usr/share/doc").iterdir())) == 20


SAME = {
    "two files": (file("usr/x", b"1"), file("usr/x", b"2")),
    "by a merged directory": (file("bin/x", b"1"), file("usr/bin/x", b"2")),
    "two links": (link("usr/x", "a"), link("usr/x", "a")),
    "a link and a file": (link("usr/x", "a"), file("usr/x")),
    "a file and a link": (file("usr/x"), link("usr/x", "a")),
}


@pytest.mark.parametrize("entries", SAME.values(), ids=SAME)
def test_two_packages_with_the_same_file_are_told_by_their_names(place: Place, entries: tuple[Entry, Entry]) -> None:
    with pytest.raises(FormatError, match="first") as raised:
        place.unpack(MadePackage("first", entries=entries[:1]), MadePackage("second", entries=entries[1:]))
    assert "second" in raised.value.message
    assert "x is in" in raised.value.message


@pytest.mark.parametrize("name", ["../planted", "usr/../../outside/planted", "./../planted", "..", "usr/.."])
def test_a_path_with_steps_upwards_is_refused(place: Place, name: str) -> None:
    with pytest.raises(FormatError, match="leaves the tree"):
        place.one(Entry(f"./{name}", data=b"x"))
    assert {path.name for path in place.root.iterdir()} <= {"tree", "outside", "made.deb"}


@pytest.mark.parametrize("start", ["", "./", "/"])
def test_an_absolute_path_is_refused(place: Place, start: str) -> None:
    with pytest.raises(FormatError, match="leaves the tree"):
        place.one(Entry(f"{start}{place.outside}/planted", data=b"x"))


def planted_link(place: Place, target: str) -> str:
    """Another way to write the path of `outside`, for a link at `usr/way`."""
    return str(place.outside) if target == "absolute" else "../../outside"


@pytest.mark.parametrize("target", ["absolute", "relative"])
@pytest.mark.parametrize(
    "last",
    [
        file("usr/way/planted", b"x"),
        file("usr/way/deeper/planted", b"x"),
        file("usr/way/secret", b"x", 0o755),
        directory("usr/way/planted"),
        link("usr/way/planted", "/etc/passwd"),
        hard_link("usr/way/planted", "usr/mine"),
    ],
    ids=lambda entry: f"{entry.name} {entry.kind!r}",
)
def test_an_entry_through_a_planted_link_does_not_leave_the_tree(place: Place, target: str, last: Entry) -> None:
    with pytest.raises(OutcropError):
        place.one(file("usr/mine"), link("usr/way", planted_link(place, target)), last)


@pytest.mark.parametrize("target", ["absolute", "relative"])
def test_an_entry_through_a_link_of_another_package_does_not_leave_the_tree(place: Place, target: str) -> None:
    first = MadePackage("first", entries=(link("usr/way", planted_link(place, target)),))
    second = MadePackage("second", entries=(file("usr/way/planted", b"x"),))
    with pytest.raises(OutcropError):
        place.unpack(first, second)


@pytest.mark.fault
def test_a_link_that_another_package_plants_at_the_same_time_leads_nothing_out_of_the_tree(tmp_path: Path) -> None:
    # Between looking at a path and writing to it another worker may put a link there: about one round in twenty does.
    outside = tmp_path / "outside"
    outside.mkdir()
    links = tuple(link(f"usr/{number}", str(outside)) for number in range(60))
    files = tuple(file(f"usr/{number}/planted{number}", b"x") for number in range(60))
    packages = []
    for name, entries in (("links", links), ("files", files)):
        packages.append(PackageFile(name, tmp_path / name))
        packages[-1].path.write_bytes(MadePackage(name, entries=entries, compression=NONE).data)
    for number in range(250):
        with suppress(OutcropError):
            unpack(packages[:: -1 if number % 2 else 1], tmp_path / str(number), NOTHING, 2)
        assert list(outside.iterdir()) == []


def test_an_entry_through_links_to_links_does_not_leave_the_tree(place: Place) -> None:
    with pytest.raises(OutcropError):
        place.one(link("usr/one", str(place.root)), link("usr/two", "one/outside"), file("usr/two/planted", b"x"))


def test_a_merged_directory_that_is_a_link_does_not_leave_the_tree(place: Place) -> None:
    with pytest.raises(OutcropError):
        place.one(link("usr/bin", str(place.outside)), file("bin/planted", b"x"))


def test_a_file_over_a_planted_link_does_not_write_through_it(place: Place) -> None:
    with pytest.raises(OutcropError):
        place.one(link("usr/way", str(place.outside / "secret")), file("usr/way", b"x", 0o755))


@pytest.mark.parametrize("name", ["absolute", "upwards", "through a link"])
def test_a_hard_link_takes_no_file_from_outside(place: Place, name: str) -> None:
    secret = str(place.outside / "secret")
    targets = {"absolute": secret, "upwards": "../outside/secret", "through a link": "usr/way/secret"}
    with pytest.raises(OutcropError):
        place.one(link("usr/way", str(place.outside)), hard_link("usr/mine", targets[name]))
    assert not os.path.lexists(place.tree / "usr/mine")


def test_a_hard_link_to_a_link_is_that_link(place: Place) -> None:
    place.one(link("usr/way", str(place.outside / "secret")), hard_link("usr/mine", "usr/way"))
    assert (place.tree / "usr/mine").is_symlink()


@pytest.mark.parametrize("data", [b"", b"rubbish", MadePackage("a", entries=(file("usr/a", b"x" * 999),)).data[:-40]])
def test_a_damaged_package_is_told(place: Place, data: bytes) -> None:
    path = place.root / "a.deb"
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match=r"a\.deb"):
        unpack([PackageFile("a", path)], place.tree, NOTHING, 1)


def test_a_package_that_is_not_there_is_told(place: Place) -> None:
    with pytest.raises(StorageError, match=r"gone\.deb"):
        unpack([PackageFile("gone", place.root / "gone.deb")], place.tree, NOTHING, 1)


def test_a_tree_that_cannot_be_made_is_told_by_its_own_name(place: Place) -> None:
    with pytest.raises(StorageError, match="secret"):
        unpack([], place.outside / "secret" / "tree", NOTHING, 1)


def test_nothing_to_unpack_makes_an_empty_tree(place: Place) -> None:
    assert place.unpack() == ()
    assert [path.name for path in place.tree.iterdir()] == ["usr"]


def test_what_is_there_already_is_not_unpacked_into(place: Place) -> None:
    place.one(file("usr/a", b"1"))
    with pytest.raises(StorageError):
        place.one(file("usr/b", b"1"))
    assert not (place.tree / "usr/b").exists()


def diverting(name: str = "mine", path: str = "/usr/bin/tool", to: str = "/usr/bin/tool.real") -> MadePackage:
    """A package that has `path` itself, and moves everybody else's away."""
    preinst = f"#!/bin/sh\ndpkg-divert --package {name} --rename --divert {to} --add {path}\n"
    return MadePackage(name, entries=(file(path.lstrip("/"), b"mine", 0o755),), preinst=preinst)


@pytest.mark.parametrize("mine_first", [True, False])
def test_a_file_that_a_package_moves_out_of_its_way_is_moved(place: Place, mine_first: bool) -> None:
    theirs = MadePackage(
        "theirs",
        entries=(
            file("usr/bin/tool", b"theirs", 0o755),
            hard_link("usr/bin/also", "usr/bin/tool"),
            link("usr/bin/named", "tool"),
        ),
    )
    packages = [diverting(), theirs] if mine_first else [theirs, diverting()]
    unpacked = {one.name: one for one in place.unpack(*packages, workers=2)}
    assert (place.tree / "usr/bin/tool").read_bytes() == b"mine"
    assert (place.tree / "usr/bin/tool.real").read_bytes() == b"theirs"
    assert (place.tree / "usr/bin/also").samefile(place.tree / "usr/bin/tool.real")
    assert os.readlink(place.tree / "usr/bin/named") == "tool"
    assert set(unpacked["theirs"].paths) == {"usr/bin/tool.real", "usr/bin/also", "usr/bin/named"}
    assert unpacked["theirs"].diverted == {"usr/bin/tool": "usr/bin/tool.real"}
    assert (unpacked["mine"].paths, unpacked["mine"].diverted) == (("usr/bin/tool",), {})


def test_a_diversion_speaks_of_merged_directories(place: Place) -> None:
    theirs = MadePackage("theirs", entries=(link("bin/tool", "other"),))
    place.unpack(diverting(path="/usr/bin/tool", to="/bin/tool.real"), theirs)
    assert os.readlink(place.tree / "usr/bin/tool.real") == "other"


def test_a_hard_link_to_a_moved_file_that_is_left_out_gets_its_contents(place: Place) -> None:
    theirs = MadePackage("theirs", entries=(file("usr/bin/tool", b"theirs"), hard_link("usr/also", "usr/bin/tool")))
    place.unpack(diverting(), theirs, dropped=DropRules.of([Drop(("usr/bin/tool.real",), "a reason")]))
    assert (place.tree / "usr/also").read_bytes() == b"theirs"


def test_two_packages_that_move_the_same_file_are_refused(place: Place) -> None:
    with pytest.raises(FormatError, match="is moved out of the way by mine too"):
        place.unpack(diverting(), diverting("other", to="/usr/bin/tool.other"))


def test_what_scripts_would_do_comes_with_their_package(place: Place) -> None:
    made = MadePackage("made", script="#!/bin/sh\nadduser me\n", triggers="activate ldconfig\n")
    (unpacked,) = place.unpack(made)
    assert [one.command for one in unpacked.effects] == ["trigger ldconfig", "adduser"]
