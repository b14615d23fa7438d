"""Packs of the tests' own repositories, and how they are unpacked to be looked at."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from outcrop.client.pack.formats import Format, form_of
from outcrop.client.pack.image import PackImage
from outcrop.client.pack.packing import PackRequest, pack
from outcrop.client.pack.selection import SelectionOptions, select_paths
from outcrop.client.pack.staging import Relocation
from outcrop.cvmfs.paths import RepositoryPath, repository_path
from tests.client.published import Published
from tests.client.reading import tree_of

AT = RepositoryPath(b"/cvmfs/books.example.org")

NAMES = ("x", "x.tar", "x.tar.gz", "x.tar.zst", "x.squashfs", "x.erofs", "x.oci", "x.oci.tar")
"""A pack of each form."""

_PROGRAMS = {".squashfs": ("unsquashfs", "sqfstar"), ".erofs": ("mkfs.erofs", "fsck.erofs"), ".zst": ("zstd",)}


def need_programs(name: str) -> None:
    """Skips the test where the programs for a pack called `name` are missing."""
    missing = [program for program in _PROGRAMS.get(Path(name).suffix, ()) if shutil.which(program) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not installed")


def made(
    published: Published,
    output: Path,
    paths: Iterable[str] = ("/",),
    *,
    at: RepositoryPath = AT,
    cache: Path | None = None,
    owner: bool = False,
    told: list[str] | None = None,
    wanted: Format | None = None,
    relocation: Relocation | None = None,
) -> Path:
    """A pack of what was published, in the form that its name says."""
    tell = (told if told is not None else []).append
    with tree_of(published, cache or output.parent / "cache") as (tree, contents):
        options = SelectionOptions(owner=owner)
        selection = select_paths(tree, map(repository_path, paths), options)
        request = PackRequest(PackImage(selection, at), form_of(output, wanted), owner=owner, relocation=relocation)
        pack(request, tree, contents, output, tell=tell)
    return output


@contextmanager
def unpacked(pack: Path, scratch: Path) -> Iterator[Path]:
    """The root of the image `pack` as a directory: unpacked, or mounted if it can only be looked at so."""
    place = scratch / f"unpacked {pack.name}"
    suffix = pack.suffix
    if pack.name.endswith(".oci.tar"):
        layout = scratch / f"layout of {pack.name}"
        extract(pack, layout)
        extract(layer_of(layout), place)
    elif suffix == ".oci":
        extract(layer_of(pack), place)
    elif suffix == ".squashfs":
        run("unsquashfs", "-quiet", "-no-progress", "-dest", str(place), str(pack))
    elif suffix == ".erofs":
        with mounted_erofs(pack, place):
            yield place
        return
    elif suffix == ".zst":
        plain = scratch / f"{pack.name}.plain"
        run("zstd", "-dq", str(pack), "-o", str(plain))
        extract(plain, place)
    elif pack.is_dir():
        place = pack
    else:
        extract(pack, place)
    yield place


def layer_of(layout: Path) -> Path:
    """The only layer of an OCI layout: by far its largest blob, or the one that is no JSON."""
    blobs = (layout / "blobs" / "sha256").iterdir()
    return next(blob for blob in blobs if not blob.read_bytes().startswith(b"{"))


def extract(archive: Path, place: Path) -> None:
    place.mkdir()
    if shutil.which("tar") is None:
        with tarfile.open(archive, errors="surrogateescape", encoding="utf-8") as opened:
            opened.extractall(place, filter="fully_trusted")
        return
    compressed = archive.read_bytes()[:2] == b"\x1f\x8b"
    options = ["--xattrs", "--xattrs-include=*", "-p", "--same-owner" if os.geteuid() == 0 else "--no-same-owner"]
    run("tar", *options, "-C", str(place), *(["-z"] if compressed else []), "-xf", str(archive))


@contextmanager
def mounted_erofs(image: Path, place: Path) -> Iterator[None]:
    """The kernel's view of an EROFS image where this user may mount; else what fsck.erofs extracts."""
    place.mkdir()
    if os.geteuid() == 0:
        done = subprocess.run(["mount", "-t", "erofs", "-o", "ro", image, place], capture_output=True, check=False)
        if done.returncode == 0:
            try:
                yield
            finally:
                run("umount", str(place))
            return
    pytest.skip("EROFS images cannot be mounted here")


def run(*arguments: str) -> None:
    done = subprocess.run(arguments, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
