"""Repositories with other digests, without compression and with external files read the same by every way."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest

from outcrop.cli.app import run
from outcrop.client.repository import OpenRepository
from outcrop.client.tree import Tree
from outcrop.cvmfs.compression import Compression
from outcrop.cvmfs.digest import Algorithm
from outcrop.cvmfs.entry import Entry, Mark
from outcrop.cvmfs.objects import ObjectKind, ObjectName
from outcrop.cvmfs.paths import is_below, parent
from tests.client.alike import seen
from tests.client.alike.archives import archived, only_layer
from tests.client.alike.every_entry import AS_ROOT, ENVIRONMENT, LARGE, LONGEST, NESTED, THINGS, TIMES
from tests.client.alike.making import MAKES, Made, publish_external, served, write_outside
from tests.client.alike.running import run_alone
from tests.client.alike.seen import Seen, View, of_bytes
from tests.client.mount.private_place import play
from tests.client.pack.packs import mounted_erofs, need_programs
from tests.client.reading import Reader

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("alike")]

_SETTINGS = {name.encode(): value.encode() for name, value in ENVIRONMENT.items()}

only_root = pytest.mark.skipif(not AS_ROOT, reason="only root can mount an image")
gives_files_away = pytest.mark.skipif(not AS_ROOT, reason="only root can give files away")


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Made]]:
    directory = tmp_path_factory.mktemp("alike")
    with served(directory) as made:
        yield made


@pytest.fixture(params=MAKES)
def made(request: pytest.FixtureRequest, repositories: Mapping[str, Made]) -> Made:
    """A repository of each make."""
    return repositories[request.param]


def without_owners(view: View) -> View:
    return {path: replace(one, uid=0, gid=0) for path, one in view.items()}


def in_seconds(view: View) -> View:
    return {path: replace(one, mtime_ns=one.mtime_ns // 10**9) for path, one in view.items()}


def same(found: View, known: View, *reductions: Callable[[View], View]) -> None:
    """Fails with everything that differs, once what a way cannot keep is taken out of both."""
    for reduce in reductions:
        found, known = reduce(found), reduce(known)
    assert sorted(found) == sorted(known)
    assert {path: one for path, one in found.items() if one != known[path]} == {
        path: one for path, one in known.items() if one != found[path]
    }


@pytest.fixture
def outcrop(capsysbinary: pytest.CaptureFixture[bytes], tmp_path: Path) -> Callable[..., bytes]:
    """A function that calls a command line in this process, and returns what it says. Cache and memory are the test's.

    The environment is put back by the fixture that makes a home for every test."""
    os.environ |= {**ENVIRONMENT, "OUTCROP_CACHE_DIR": f"{tmp_path}/cache", "OUTCROP_STATE_DIR": f"{tmp_path}/state"}

    def call(*arguments: str) -> bytes:
        capsysbinary.readouterr()
        code = run(arguments)
        out, err = capsysbinary.readouterr()
        assert code == 0, err.decode(errors="replace")
        return out

    return call


# The library.


@pytest.mark.parametrize("make", MAKES)
def test_repository_is_of_the_make_that_is_meant(repositories: Mapping[str, Made], tmp_path: Path, make: str) -> None:
    made = repositories[make]
    with _opened(tmp_path, made) as repository:
        tree = repository.tree
        assert tree.nested_mountpoints() == (NESTED,)
        assert tree.entry(b"/twins/a").hardlink_group
        assert len(tree.pieces(LARGE, tree.entry(LARGE))) > 1
        objects = [piece.object for path, entry in tree.walk() if entry.is_file for piece in tree.pieces(path, entry)]
        if make == "shake128":
            assert repository.root.digest.algorithm is Algorithm.SHAKE128
            assert {one.digest.algorithm for one in objects} == {Algorithm.SHAKE128}
        elif make == "none":
            compressions = {entry.compression for _, entry in tree.walk() if entry.is_file}
            assert compressions == {Compression.NONE}
            name = ObjectName(tree.pieces(b"/random", tree.entry(b"/random"))[0].object.digest, ObjectKind.FILE)
            assert (made.directory / name.path).read_bytes() == THINGS[b"/random"].data
        else:
            assert Mark.EXTERNAL in tree.entry(LARGE).marks
            assert not any((made.directory / one.path).exists() for one in objects if one.kind is ObjectKind.CHUNK)


def _opened(directory: Path, made: Made, *, url: str = "", external: str = "") -> OpenRepository:
    reader = Reader(directory / "reader", now=datetime.now(UTC))
    outside = external or made.external
    return reader.open(url or made.url, name=made.name, key=made.key, external=[outside] if outside else [])


def _library_view(directory: Path, made: Made, *, url: str = "", external: str = "") -> View:
    groups: dict[object, list[str]] = {}
    found: dict[str, Seen] = {}
    group_of: dict[str, object] = {}
    with _opened(directory, made, url=url, external=external) as repository:
        tree = repository.tree
        for located, entry in tree.walk():
            path = os.fsdecode(located)
            size, digest, middle = 0, "", ""
            if entry.is_file:
                data = b"".join(
                    repository.contents.local_file(piece).read_bytes() for piece in tree.pieces(located, entry)
                )
                assert entry.size == len(data)
                size, digest, middle = of_bytes(data)
            if not entry.is_directory:
                group_of[path] = _group(tree, located, entry)
                groups.setdefault(group_of[path], []).append(path)
            found[path] = Seen(
                mode=entry.mode,
                mtime_ns=entry.mtime * 10**9 + (entry.mtime_ns or 0),
                uid=entry.uid,
                gid=entry.gid,
                size=size,
                digest=digest,
                middle=middle,
                target=os.fsdecode(tree.symlink_target(entry, _SETTINGS)) if entry.is_symlink else "",
                links=1 if entry.is_directory else entry.linkcount,
                xattrs=tuple((key.decode(), value.hex()) for key, value in entry.xattrs),
            )
    return {
        path: replace(one, names=tuple(sorted(groups[group_of[path]]))) if path in group_of else one
        for path, one in found.items()
    }


def _group(tree: Tree, path: bytes, entry: Entry) -> object:
    return (tree.mountpoint(parent(path)).path, entry.hardlink_group) if entry.hardlink_group else path


def test_library(made: Made, tmp_path: Path) -> None:
    same(_library_view(tmp_path, made), made.truth(filled_in=True))


def test_library_without_a_server(made: Made, tmp_path: Path) -> None:
    outside = ""
    if made.external:
        write_outside(publish_external(tmp_path), tmp_path / "outside")
        outside = f"file://{tmp_path}/outside"
    same(_library_view(tmp_path, made, url=f"file://{made.directory}", external=outside), made.truth(filled_in=True))


# Commands.


def _text(document: Mapping[str, str], member: str) -> str:
    """A name or target of a JSON document, whatever its bytes."""
    raw = document.get(f"{member}_bytes")
    return document[member] if raw is None else os.fsdecode(unquote_to_bytes(raw))


def test_find_lists_everything(made: Made, outcrop: Callable[..., bytes]) -> None:
    found = json.loads(outcrop("find", made.url, *made.reading, "--json"))
    known = made.truth(filled_in=True)
    assert sorted(_text(one, "path") for one in found) == sorted(path or "/" for path in known)
    for one in found:
        path = _text(one, "path").rstrip("/")
        answer = known[path]
        assert int(one["mode"], 8) == stat.S_IMODE(answer.mode), path
        assert (one["uid"], one["gid"]) == (answer.uid, answer.gid), path
        assert one["mtime"] * 10**9 + (one["mtime_ns"] or 0) == answer.mtime_ns, path
        if stat.S_ISREG(answer.mode):
            assert (one["size"], one["links"]) == (answer.size, answer.links), path
        assert (_text(one, "target") if one["type"] == "symlink" else "") == answer.target, path


def test_ls_lists_directories_of_odd_names(made: Made, outcrop: Callable[..., bytes]) -> None:
    for directory in (b"/names", b"/names/d\xe9", NESTED):
        found = json.loads(outcrop("ls", made.url, os.fsdecode(directory), *made.reading, "--all", "--json"))
        known = [os.fsdecode(path.rpartition(b"/")[2]) for path in THINGS if path and parent(path) == directory]
        assert sorted(_text(one, "path") for one in found) == sorted(known)


def test_cat_writes_every_file(made: Made, outcrop: Callable[..., bytes]) -> None:
    files = [path for path, thing in THINGS.items() if stat.S_ISREG(thing.mode)]
    known = b"".join(THINGS[path].data for path in files)
    for _ in range(2):  # with an empty cache, and with a full one
        written = outcrop("cat", made.url, *map(os.fsdecode, files), *made.reading)
        assert hashlib.sha256(written).digest() == hashlib.sha256(known).digest()


# Copies.


@pytest.mark.parametrize("filled_in", [False, True], ids=["as-published", "filled-in"])
def test_checkout(made: Made, outcrop: Callable[..., bytes], tmp_path: Path, filled_in: bool) -> None:
    more = [*(["--owner"] if AS_ROOT else []), *(["--expand-links"] if filled_in else [])]
    outcrop("checkout", made.url, str(tmp_path / "copy"), *made.reading, *more)
    same(seen.look(tmp_path / "copy"), made.truth(filled_in=filled_in), *([] if AS_ROOT else [without_owners]))


# Mounts.


@pytest.mark.parametrize("by", ["fuse", pytest.param("layers", marks=only_root)])
def test_mount(made: Made, tmp_path: Path, by: str) -> None:
    output = tmp_path / "seen.json"
    play(
        "writes_down_what_it_shows", tmp_path, by, str(output), made.url, *made.reading,
        environment=ENVIRONMENT, module="tests.client.alike.scenarios",
    )  # fmt: skip
    same(seen.read(output), made.truth(filled_in=True))


def seen_in_a_run(made: Made, directory: Path, way: str) -> View:
    """What a command sees that `outcrop run` shows the repository by `way`."""
    output = directory / "seen.json"
    command = [sys.executable, "-m", "tests.client.alike.seen", f"/cvmfs/{made.name}", str(output)]
    run_alone(way, *made.reading, made.url, "--", *command, directory=directory, environment=ENVIRONMENT)
    return seen.read(output)


def test_run_by_images(made: Made, tmp_path: Path) -> None:
    same(seen_in_a_run(made, tmp_path, "erofs"), made.truth(filled_in=True))


def test_run_by_an_overlay(made: Made, tmp_path: Path) -> None:
    # In a user namespace, a command sees only itself and nobody.
    same(seen_in_a_run(made, tmp_path, "overlay"), made.truth(filled_in=True), without_owners)


def test_run_on_a_copy(made: Made, tmp_path: Path) -> None:
    # The copy belongs to whoever reads.
    same(seen_in_a_run(made, tmp_path, "checkout"), made.truth(filled_in=True), without_owners)


# Packs.

ODD = {".erofs": (LONGEST, TIMES), ".squashfs": (TIMES,)}
"""What goes into packs of these forms by a test of its own."""


@dataclass(frozen=True)
class Packing:
    """Packs of one repository."""

    made: Made
    directory: Path
    outcrop: Callable[..., bytes]

    def pack(self, name: str, *paths: bytes) -> Path:
        """The pack called `name` of `paths`, or of everything but what is odd for its form."""
        need_programs(name)
        output = self.directory / name
        odd = ODD.get(output.suffix, ())
        tops = [path for path in THINGS if path.count(b"/") == 1 and path not in odd]
        chosen = paths or (tops if odd else [b"/"])
        wanted = [os.fsdecode(path) for path in chosen]
        self.outcrop("pack", self.made.url, *wanted, "--output", str(output), "--owner", *self.made.reading)
        return output

    @property
    def place(self) -> str:
        """Where the repository is in a pack."""
        return f"/cvmfs/{self.made.name}"

    def known(self, name: str) -> View:
        """What is seen in the pack called `name`."""
        odd = ODD.get(Path(name).suffix, ())
        view = self.made.truth(filled_in=False)
        return {path: one for path, one in view.items() if not any(is_below(os.fsencode(path), top) for top in odd)}


@pytest.fixture
def packing(made: Made, tmp_path: Path, outcrop: Callable[..., bytes]) -> Packing:
    return Packing(made, tmp_path, outcrop)


one_make = pytest.mark.parametrize("made", ["none"], indirect=True)
"""For what does not depend on how a repository is made."""


@gives_files_away
def test_pack_to_a_directory(packing: Packing) -> None:
    place = Path(f"{packing.pack('x')}{packing.place}")
    same(seen.look(place), packing.known("x"))


def test_pack_to_an_archive(packing: Packing) -> None:
    same(archived(packing.pack("x.tar"), packing.place), packing.known("x.tar"))


def test_pack_to_a_container_image(packing: Packing) -> None:
    same(archived(only_layer(packing.pack("x.oci")), packing.place), packing.known("x.oci"))


def unsquashed(image: Path, place: Path) -> Path:
    """Where the squashfs image is unpacked."""
    line = ["unsquashfs", "-quiet", "-no-progress", "-dest", str(place), str(image)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return place


@gives_files_away
def test_pack_to_squashfs(packing: Packing, tmp_path: Path) -> None:
    place = unsquashed(packing.pack("x.squashfs"), tmp_path / "unpacked")
    same(seen.look(f"{place}{packing.place}"), packing.known("x.squashfs"), in_seconds)


@one_make
@gives_files_away
def test_pack_to_squashfs_of_a_file_that_is_newer_than_2038(packing: Packing, tmp_path: Path) -> None:
    path = TIMES + b"/after 2038"
    place = unsquashed(packing.pack("x.squashfs", path), tmp_path / "unpacked")
    status = os.stat(f"{place}{packing.place}{path.decode()}")
    assert status.st_mtime == THINGS[path].mtime_ns // 10**9


@only_root
def test_pack_to_erofs_as_the_kernel_shows_it(packing: Packing, tmp_path: Path) -> None:
    with mounted_erofs(packing.pack("x.erofs"), tmp_path / "place"):
        same(seen.look(f"{tmp_path}/place{packing.place}"), packing.known("x.erofs"))


def unpacked_by_fsck(image: Path, place: Path) -> Path:
    """Where the tool that comes with EROFS unpacks the image."""
    line = ["fsck.erofs", f"--extract={place}", str(image)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return place


@gives_files_away
def test_pack_to_erofs_as_its_own_tool_unpacks_it(packing: Packing, tmp_path: Path) -> None:
    place = unpacked_by_fsck(packing.pack("x.erofs"), tmp_path / "unpacked")
    same(seen.look(f"{place}{packing.place}"), packing.known("x.erofs"), as_fsck_unpacks)


def as_fsck_unpacks(view: View) -> View:
    """The tool leaves attributes out, may make a copy of a file for each of its names, and gives files away only after
    it has set their modes, which takes set-ID bits from them."""
    lost = stat.S_ISUID | stat.S_ISGID
    return {
        path: replace(one, xattrs=(), names=(), links=1, mode=one.mode & ~(0 if stat.S_ISDIR(one.mode) else lost))
        for path, one in view.items()
    }


@one_make
@gives_files_away
def test_pack_to_erofs_of_a_file_with_the_longest_name(packing: Packing, tmp_path: Path) -> None:
    try:
        image = packing.pack("x.erofs", LONGEST)
    except AssertionError as refused:
        # The program of Debian 12 makes no such image; then it is said which name is too long.
        assert "n" * 255 in str(refused)  # noqa: PT017
        assert [path.name for path in tmp_path.glob("x.erofs*")] == []
    else:
        place = unpacked_by_fsck(image, tmp_path / "unpacked")
        assert os.listdir(f"{place}{packing.place}{LONGEST.decode()}") == ["n" * 255]


@one_make
@gives_files_away
def test_pack_to_erofs_of_files_with_far_times(packing: Packing, tmp_path: Path) -> None:
    place = unpacked_by_fsck(packing.pack("x.erofs", TIMES), tmp_path / "unpacked")
    found = {
        path: os.stat(f"{place}{packing.place}{path.decode()}").st_mtime_ns for path in THINGS if is_below(path, TIMES)
    }
    assert found == {path: THINGS[path].mtime_ns for path in found}
