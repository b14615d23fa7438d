"""Images of metadata, looked at by the programs that come with EROFS."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outcrop.client.layers.erofs_image import BLOCK_BYTES, erofs_image
from outcrop.client.layers.metadata import AttributeSpace, Inode, Listing, Metadata
from outcrop.errors import MissingCapability

MTIME, MTIME_NS = 1_500_000_000, 123_456_789
DIRECTORY = Inode(stat.S_IFDIR | 0o755, mtime=MTIME, mtime_ns=MTIME_NS, nlink=2)
FILE = Inode(stat.S_IFREG | 0o640, mtime=MTIME, mtime_ns=MTIME_NS, size=3, redirect=b"/ab/" + b"c" * 38)

needs_erofs = pytest.mark.skipif(shutil.which("fsck.erofs") is None, reason="erofs-utils is not installed")


def link(target: bytes) -> Inode:
    return Inode(stat.S_IFLNK | 0o777, mtime=MTIME, mtime_ns=MTIME_NS, target=target)


def flat(entries: dict[bytes, Inode]) -> Metadata:
    """One directory with `entries`."""
    names = sorted(entries)
    return Metadata([DIRECTORY, *(entries[name] for name in names)], [Listing(0, 0, names, range(1, len(names) + 1))])


def extracted(metadata: Metadata, directory: Path) -> Path:
    """What the programs of EROFS find in the image of `metadata`; they check it on the way."""
    image, place = directory / "image", directory / "extracted"
    image.write_bytes(erofs_image(metadata))
    shutil.rmtree(place, ignore_errors=True)
    ended = subprocess.run(
        ["fsck.erofs", f"--extract={place}", "--preserve-perms", image], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return place


@needs_erofs
def test_entries_of_all_kinds_are_found_as_they_were_given(tmp_path: Path) -> None:
    place = extracted(
        flat({b"file": FILE, b"empty": FILE._replace(size=0, redirect=b""), b"link": link(b"file"),
              b"pipe": Inode(stat.S_IFIFO | 0o600, mtime=MTIME, mtime_ns=MTIME_NS)}),
        tmp_path,
    )  # fmt: skip
    assert sorted(os.listdir(place)) == ["empty", "file", "link", "pipe"]
    assert stat.S_IMODE((place / "file").stat().st_mode) == 0o640
    assert (place / "file").stat().st_mtime_ns == MTIME * 10**9 + MTIME_NS
    assert os.readlink(place / "link") == "file"
    assert stat.S_ISFIFO((place / "pipe").stat().st_mode)


@needs_erofs
def test_names_of_any_bytes_and_of_every_length_are_found(tmp_path: Path) -> None:
    # Names that sort before and behind the dots, enough of them for many blocks, and some that fill a block exactly.
    names = [b"-before", b"...", b"\xff\xfe", b"caf\xe9", *(b"x" * length for length in range(1, 256))]
    place = extracted(flat(dict.fromkeys(names, FILE)), tmp_path)
    assert sorted(os.listdir(os.fsencode(place))) == sorted(names)


@needs_erofs
@pytest.mark.parametrize("length", [1, 3900, 4031, 4032, 4033, 4095])
def test_long_targets_of_links_are_kept(tmp_path: Path, length: int) -> None:
    target = b"t" * length
    place = extracted(flat({b"before": FILE, b"link": link(target), b"z": link(b"short")}), tmp_path)
    assert os.readlink(os.fsencode(place / "link")) == target
    assert os.readlink(place / "z") == "short"


@needs_erofs
@pytest.mark.parametrize("count", [1, 2, 50, 5000])
def test_a_tree_of_directories_is_found(tmp_path: Path, count: int) -> None:
    inodes = [DIRECTORY] * (count + 1)
    names = [b"d%05d" % number for number in range(count)]
    listings = [Listing(0, 0, names, range(1, count + 1)), *(Listing(n, 0, [], []) for n in range(1, count + 1))]
    place = extracted(Metadata(inodes, listings), tmp_path)
    assert len(os.listdir(place)) == count


@needs_erofs
def test_two_names_of_one_file_are_one_file(tmp_path: Path) -> None:
    image = tmp_path / "image"
    linked = FILE._replace(nlink=2)
    image.write_bytes(erofs_image(Metadata([DIRECTORY, linked], [Listing(0, 0, [b"a", b"b"], [1, 1])])))
    told = [
        subprocess.run(["dump.erofs", f"--path=/{name}", image], capture_output=True, text=True, check=True).stdout
        for name in ("a", "b")
    ]
    numbers = [re.findall(r"NID: (\d+)\s+Links: 2", text) for text in told]
    assert len(numbers[0]) == 1, told
    assert numbers[0] == numbers[1]


@needs_erofs
@pytest.mark.property
@settings(max_examples=30, deadline=None)
@given(st.dictionaries(
    st.binary(min_size=1, max_size=255).filter(lambda name: not {0, 47} & set(name) and name not in (b".", b"..")),
    st.one_of(
        st.just(FILE),
        st.binary(min_size=1, max_size=300).filter(lambda target: 0 not in target).map(link),
        st.binary(max_size=200).map(lambda value: FILE._replace(xattrs=((b"user.note", value),))),
    ),
    max_size=60,
))  # fmt: skip
def test_whatever_is_in_a_directory_is_found(
    tmp_path_factory: pytest.TempPathFactory, entries: dict[bytes, Inode]
) -> None:
    place = os.fsencode(extracted(flat(entries), tmp_path_factory.mktemp("image")))
    assert sorted(os.listdir(place)) == sorted(entries)
    for name, inode in entries.items():
        if inode.target:
            assert os.readlink(place + b"/" + name) == inode.target


def test_the_same_metadata_makes_the_same_bytes() -> None:
    metadata = flat({b"file": FILE, b"link": link(b"x" * 4090)})
    image = erofs_image(metadata)
    assert image == erofs_image(metadata)
    assert len(image) % BLOCK_BYTES == 0


def test_attributes_that_overlayfs_would_take_for_its_own_are_escaped() -> None:
    name = b"trusted.overlay.redirect"
    image = erofs_image(flat({b"file": FILE._replace(xattrs=((name, b"/elsewhere"),))}))
    assert b"overlay.overlay.redirect/elsewhere" in image
    assert AttributeSpace.TRUSTED.escaped(b"user.note") == b"user.note"
    assert AttributeSpace.USER.escaped(b"user.overlay.opaque") == b"user.overlay.overlay.opaque"


@pytest.mark.parametrize("name", [b"strange.note", b"user." + b"x" * 256])
def test_an_attribute_that_the_format_cannot_keep_is_refused(name: bytes) -> None:
    with pytest.raises(MissingCapability, match="cannot be shown by layers"):
        erofs_image(flat({b"file": FILE._replace(xattrs=((name, b""),))}))
