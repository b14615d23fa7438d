"""Packages unpacked into one tree: merged `/usr`, no owner, no special permission, nothing that only people read.

What a tree of packages has at its root as directories of their own (`/bin`, `/lib`, …) is below `usr` here, with links
in their places, whatever the release does: so there is one place for each file.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import tarfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from outcrop.compat.debian.alternatives import Alternative, alternatives_of
from outcrop.compat.debian.deb_file import open_package
from outcrop.errors import FormatError, IntegrityError, storage_error
from outcrop.progress import SILENT, Progress

MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
"""The directories of the root that are below `usr`."""

_COPY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class PackageFile:
    """A package, and where its file is."""

    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class UnpackedPackage:
    """What a package brought: its paths below the tree, the links that its script asks for, what was left out."""

    name: str
    paths: tuple[str, ...]
    alternatives: tuple[Alternative, ...]
    dropped: int


def merged_path(path: str) -> str:
    """Where `path` of a package, relative to the root, is in the tree."""
    first, slash, _ = path.partition("/")
    return f"usr/{path}" if slash and first in MERGED else path


def unpack(
    packages: Sequence[PackageFile],
    tree: Path,
    dropped: re.Pattern[str],
    workers: int,
    progress: Progress = SILENT,
) -> tuple[UnpackedPackage, ...]:
    """Unpacks `packages` into the new directory `tree`, without the paths that match `dropped` as a whole.

    IntegrityError for a damaged package, FormatError for one with an unsafe path or where two have the same file,
    StorageError."""
    progress.start("Unpacking packages", total=len(packages), unit="packages")
    tree = Path(os.path.realpath(tree))
    try:
        (tree / "usr").mkdir(parents=True)
        pool = ThreadPoolExecutor(workers, thread_name_prefix="unpack")
        try:
            futures = [pool.submit(_unpack_one, package, tree, dropped) for package in packages]
            unpacked = []
            for future in futures:
                unpacked.append(future.result())
                progress.advance(1, unpacked[-1].name)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        for name in MERGED:
            if (tree / "usr" / name).is_dir():
                (tree / name).symlink_to(f"usr/{name}")
    except OSError as error:
        raise storage_error(error) from error
    finally:
        progress.finish()
    _check_owners(unpacked)
    return tuple(unpacked)


def _check_owners(unpacked: Iterable[UnpackedPackage]) -> None:
    owners: dict[str, str] = {}
    for package in unpacked:
        for path in package.paths:
            before = owners.setdefault(path, package.name)
            if before != package.name:
                raise FormatError(
                    what=f"the package {package.name}",
                    field=path,
                    problem=f"is in {before} too",
                    hint="leave one of the two packages out of the sets",
                )


def _unpack_one(package: PackageFile, tree: Path, dropped: re.Pattern[str]) -> UnpackedPackage:
    paths: list[str] = []
    omitted = 0
    with open_package(package.path) as opened:
        for name, entry in opened.entries():
            _check_name(package, name)
            path = merged_path(name)
            if dropped.fullmatch(path):
                omitted += not entry.isdir()
            elif _extract(package, opened.archive, entry, tree, path):
                paths.append(path)
        script = opened.script
    return UnpackedPackage(package.name, tuple(paths), tuple(alternatives_of(script)), omitted)


def _check_name(package: PackageFile, name: str) -> None:
    if name.startswith("/") or ".." in PurePosixPath(name).parts:
        raise FormatError(what=str(package.path), field=f"the path {name!r}", problem="leaves the tree")


def _extract(package: PackageFile, archive: tarfile.TarFile, entry: tarfile.TarInfo, tree: Path, path: str) -> bool:
    """Whether `entry` is now a file or link at `path`."""
    place = tree / path
    if not os.path.realpath(place.parent).startswith(f"{tree}{os.sep}") and place.parent != tree:
        # An earlier entry is a link there: what follows it would be written somewhere else.
        raise FormatError(what=str(package.path), field=f"the path {path!r}", problem="leaves the tree")
    if entry.isdir():
        if path not in MERGED:
            place.mkdir(parents=True, exist_ok=True)
        return False
    if path in MERGED:
        return False
    place.parent.mkdir(parents=True, exist_ok=True)
    if entry.issym():
        place.symlink_to(entry.linkname)
    elif entry.islnk():
        os.link(tree / merged_path(entry.linkname.removeprefix("./")), place, follow_symlinks=False)
    elif entry.isfile():
        source = archive.extractfile(entry)
        assert source is not None
        with place.open("xb") as file:
            shutil.copyfileobj(source, file, _COPY_BYTES)
            if file.tell() != entry.size:
                raise IntegrityError(what=str(package.path), problem=f"{entry.name} is cut off")
        place.chmod(0o755 if entry.mode & stat.S_IXUSR else 0o644)
        os.utime(place, (entry.mtime, entry.mtime))
    else:
        return False  # a device or a pipe: no package of a layer needs one
    return True
