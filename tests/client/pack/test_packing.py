"""A pack is the same bytes each time, all of it or nothing, and needs nobody afterwards."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from outcrop.client.contents import Contents
from outcrop.client.pack.formats import Encoding, Format, PackForm, form_of
from outcrop.client.pack.image import PackImage
from outcrop.client.pack.packing import PackRequest, pack
from outcrop.client.pack.selection import select_paths
from outcrop.client.pack.verification import verify_pack
from outcrop.client.tree import Tree
from outcrop.cvmfs.entry import EntryKind
from outcrop.cvmfs.paths import ROOT, RepositoryPath
from outcrop.cvmfs.xattrs import Xattrs
from outcrop.errors import AlreadyExists, IntegrityError, InvalidValue, MissingCapability, OutcropError
from tests.client.pack.packs import AT, NAMES, made, need_programs, unpacked
from tests.client.published import CONTENTS, Published, library
from tests.client.reading import contents_of, store_of

each_form = pytest.mark.parametrize("name", NAMES)


def digest(path: Path) -> str:
    """Of everything in a pack: names, bytes, permissions, times."""
    state = hashlib.sha256()
    for one in sorted([path, *path.rglob("*")]):
        status = one.lstat()
        directory = not one.is_symlink() and one.is_dir()
        state.update(f"{one.relative_to(path)} {status.st_mode}".encode())
        if path.is_dir() and not path.name.endswith(".oci"):
            state.update(f"{status.st_mtime_ns}".encode())
        state.update(os.readlink(one).encode() if one.is_symlink() else b"" if directory else one.read_bytes())
    return state.hexdigest()


@each_form
def test_pack_holds_what_was_chosen(tmp_path: Path, name: str) -> None:
    need_programs(name)
    with unpacked(made(library(), tmp_path / name), tmp_path) as root:
        place = root / os.fsdecode(AT[1:])
        for path, data in CONTENTS.items():
            assert (place / os.fsdecode(path[1:])).read_bytes() == data
        assert os.readlink(place / "variant") == "$(BOOK:-README)"
        found = verify_pack(root)
        assert (found.problems, found.files, found.bytes) == ((), 3, 100_019)
        assert sorted(os.listdir(root)) == [".outcrop-pack.json", "cvmfs"]


@each_form
def test_same_input_makes_the_same_bytes(tmp_path: Path, name: str) -> None:
    need_programs(name)
    digests = []
    variable, mask = os.environ["TZ"], os.umask(0o022)
    try:
        for number, (zone, umask, paths) in enumerate(
            [("UTC", 0o022, ["/README", "/shelf"]), ("Asia/Tokyo", 0o077, ["/shelf", "/README"])]
        ):
            os.environ["TZ"] = zone
            time.tzset()
            os.umask(umask)
            (tmp_path / str(number)).mkdir()
            output = made(library(), tmp_path / str(number) / name, paths)
            if output.is_file():
                assert output.stat().st_mode & 0o777 == 0o666 & ~umask
                output.chmod(0o644)
            digests.append(digest(output))
            time.sleep(1.1 if name.endswith(("squashfs", "erofs")) and not number else 0)  # their times are seconds
    finally:
        os.environ["TZ"] = variable
        time.tzset()
        os.umask(mask)
    assert len(set(digests)) == 1


def test_repository_can_be_the_root_of_the_image(tmp_path: Path) -> None:
    output = made(library(), tmp_path / "x", at=ROOT)
    assert (output / "README").read_bytes() == CONTENTS[b"/README"]
    assert verify_pack(output).problems == ()


def test_repository_with_a_file_in_the_manifests_place_is_put_elsewhere(tmp_path: Path) -> None:
    published = Published()
    name = b".outcrop-pack.json"
    published.sign(published.catalog({b"/" + name: published.file(name, b"mine")}))
    with pytest.raises(InvalidValue, match="stands where the image says"):
        made(published, tmp_path / "x", at=ROOT)
    assert verify_pack(made(published, tmp_path / "x", at=RepositoryPath(b"/r"))).problems == ()


@each_form
def test_destination_that_is_taken_is_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "precious").touch()
    with pytest.raises(AlreadyExists):
        made(library(), tmp_path / name)
    assert os.listdir(tmp_path / name) == ["precious"]


@each_form
def test_damaged_object_leaves_nothing(tmp_path: Path, name: str) -> None:
    need_programs(name)
    published = library()
    for path, data in list(published.files.items()):
        if path.endswith("P"):
            published.files[path] = data[:-1] + b"!"
    with pytest.raises(IntegrityError):
        made(published, tmp_path / name)
    assert os.listdir(tmp_path) == ["cache"]


class FullDisk(Contents):
    """Contents that tell of a full disk after a few files."""

    def __init__(self, published: Published, cache: Path) -> None:
        inner = contents_of(store_of(published), cache=cache)
        super().__init__([inner.server], inner._caches)
        self.left = 2

    def open(self, piece: object) -> int:
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().open(piece)  # type: ignore[arg-type]


@pytest.mark.fault
@each_form
def test_full_disk_leaves_nothing_and_says_so(tmp_path: Path, name: str) -> None:
    need_programs(name)
    published = library()
    assert published.root is not None
    contents = FullDisk(published, tmp_path / "cache")
    tree = Tree(contents, published.root, published.name)
    request = PackRequest(PackImage(select_paths(tree, [ROOT]), AT), form_of(tmp_path / name))
    with pytest.raises(OutcropError, match="the disk is full"):
        pack(request, tree, contents, tmp_path / name)
    assert os.listdir(tmp_path) == ["cache"]


@pytest.mark.fault
@pytest.mark.parametrize("name", ["x", "x.tar", "x.erofs"])
def test_pack_that_cannot_fit_is_refused_at_once(tmp_path: Path, name: str) -> None:
    published = library()
    assert published.root is not None
    contents = contents_of(store_of(published), cache=tmp_path / "cache")
    tree = Tree(contents, published.root, published.name)
    selection = select_paths(tree, [ROOT])
    first, *others = selection.names.first
    vast = first._replace(entry=replace(first.entry, size=2**62))
    selection = replace(selection, names=replace(selection.names, first=(vast, *others)))
    with pytest.raises(OutcropError, match="has room for"):
        pack(PackRequest(PackImage(selection, AT), form_of(tmp_path / name)), tree, contents, tmp_path / name)
    assert os.listdir(tmp_path) == ["cache"]


PROGRAM = """
import sys, time
from pathlib import Path
from outcrop.client.checkout_place import unfinished_file
with unfinished_file(Path(sys.argv[1])) as place:
    place.write_bytes(b"half")
    print("begun", flush=True)
    time.sleep(60)
"""


@pytest.mark.fault
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_pack_leaves_nothing_under_its_name_and_the_next_one_cleans_up(tmp_path: Path, number: int) -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM, tmp_path / "x.tar"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(number)
        process.wait(10)
    assert not (tmp_path / "x.tar").exists()
    assert len(os.listdir(tmp_path)) == (number == signal.SIGKILL)
    made(library(), tmp_path / "x.tar", ["/README"])
    assert sorted(os.listdir(tmp_path)) == ["cache", "x.tar"]


def test_what_a_form_cannot_hold_is_told(tmp_path: Path) -> None:
    published = Published()
    socket = replace(published.file(b"s", b""), mode=EntryKind.SOCKET.value | 0o644, digest=None)
    odd = published.file(b"f", b"x", xattrs=Xattrs.of({b"nosuchspace.note": b"1"}))
    published.sign(published.catalog({b"/s": socket, b"/f": odd}))
    told: list[str] = []
    assert verify_pack(made(published, tmp_path / "x.tar", told=told)).problems == ()
    assert told == ["a socket was left out of the copy (1 times): an archive cannot keep it"]
    told.clear()
    assert verify_pack(made(published, tmp_path / "x", told=told)).problems == ()
    assert told[0].startswith("the attribute nosuchspace.note was left out")


@pytest.mark.parametrize(
    ("name", "wanted", "form"),
    [
        ("x", None, PackForm(Format.DIRECTORY)),
        ("x.tar.gz", None, PackForm(Format.TAR, Encoding.GZIP)),
        ("x.tgz", None, PackForm(Format.TAR, Encoding.GZIP)),
        ("x.tar.zst", Format.TAR, PackForm(Format.TAR, Encoding.ZSTD)),
        ("x.img", Format.EROFS, PackForm(Format.EROFS)),
        ("x.oci.tar", None, PackForm(Format.OCI, archived=True)),
        ("x.tar", Format.OCI, PackForm(Format.OCI, archived=True)),
        ("x.tar", Format.DIRECTORY, PackForm(Format.DIRECTORY)),
        ("v1.2", None, PackForm(Format.DIRECTORY)),
    ],
)
def test_name_says_the_form(name: str, wanted: Format | None, form: PackForm) -> None:
    assert form_of(Path(name), wanted) == form


def test_program_that_is_missing_is_said(tmp_path: Path) -> None:
    path, os.environ["PATH"] = os.environ["PATH"], str(tmp_path)
    try:
        for name in ("x.squashfs", "x.erofs", "x.tar.zst"):
            with pytest.raises(MissingCapability) as caught:
                made(library(), tmp_path / name)
            assert caught.value.hint
    finally:
        os.environ["PATH"] = path
    assert os.listdir(tmp_path) == ["cache"]
