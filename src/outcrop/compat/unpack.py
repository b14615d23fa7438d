"""Packages unpacked into one tree: merged `/usr`, no owner, no special permission, nothing that only people read.

What a tree of packages has at its root as directories of their own (`/bin`, `/lib`, …) is below `usr` here, with links
in their places, whatever the release does: so there is one place for each file.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from outcrop.compat.debian.alternatives import Alternative, alternatives_of
from outcrop.compat.debian.deb_file import OpenPackage, open_package, read_scripts
from outcrop.compat.debian.scripts import POSTINST, Effect, diversions_of, effects_of
from outcrop.compat.left_out import DropRules, LeftOut
from outcrop.errors import FormatError, storage_error
from outcrop.progress import SILENT, Progress

MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
"""The directories of the root that are below `usr`."""


@dataclass(frozen=True, slots=True)
class PackageFile:
    """A package, and where its file is."""

    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class UnpackedPackage:
    """What a package brought: its paths below the tree, the links that its script asks for, what was left out, what
    its scripts would do besides, and which of its files another package had moved, by their own places."""

    name: str
    paths: tuple[str, ...]
    alternatives: tuple[Alternative, ...]
    left_out: tuple[LeftOut, ...]
    effects: tuple[Effect, ...] = ()
    diverted: Mapping[str, str] = field(default_factory=dict)


def merged_path(path: str) -> str:
    """Where `path` of a package, relative to the root, is in the tree."""
    first, slash, _ = path.partition("/")
    return f"usr/{path}" if slash and first in MERGED else path


def unpack(
    packages: Sequence[PackageFile],
    tree: Path,
    dropped: DropRules,
    workers: int,
    progress: Progress = SILENT,
) -> tuple[UnpackedPackage, ...]:
    """Unpacks `packages` into the new directory `tree`, without the paths that `dropped` takes.

    IntegrityError for a damaged package, FormatError for one with an unsafe path or where two have the same file,
    StorageError."""
    progress.start("Unpacking packages", total=len(packages), unit="packages")
    try:
        (tree / "usr").mkdir(parents=True)
        pool = ThreadPoolExecutor(workers, thread_name_prefix="unpack")
        try:
            scripts = list(pool.map(lambda package: read_scripts(package.path), packages))
            unpacking = _Unpacking(Path(os.path.realpath(tree)), dropped, _diversions(packages, scripts))
            futures = [pool.submit(unpacking.files_of, package) for package in packages]
            parts = []
            for future in futures:
                parts.append(future.result())
                progress.advance(1, parts[-1].package.name)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        for part in parts:
            unpacking.make_hard_links(part)
        for part in parts:
            unpacking.make_links(part)
        for name in MERGED:
            if (tree / "usr" / name).is_dir():
                (tree / name).symlink_to(f"usr/{name}")
    except OSError as error:
        raise storage_error(error) from error
    finally:
        progress.finish()
    return tuple(
        UnpackedPackage(
            part.package.name,
            tuple(part.paths),
            tuple(alternatives_of(texts.get(POSTINST, ""))),
            tuple(part.left_out),
            effects_of(texts),
            part.diverted,
        )
        for part, texts in zip(parts, scripts, strict=True)
    )


def _diversions(packages: Sequence[PackageFile], scripts: Iterable[Mapping[str, str]]) -> dict[str, tuple[str, str]]:
    """Where each file goes that a package moves out of its way, and which package that is. FormatError where two move
    the same."""
    found: dict[str, tuple[str, str]] = {}
    for package, texts in zip(packages, scripts, strict=True):
        for one in diversions_of(texts):
            path, to = merged_path(one.path.lstrip("/")), merged_path(one.to.lstrip("/"))
            if found.setdefault(path, (to, package.name)) != (to, package.name):
                raise FormatError(
                    what=f"the package {package.name}",
                    field=path,
                    problem=f"is moved out of the way by {found[path][1]} too",
                    hint="leave one of the two packages out of the sets",
                )
    return found


@dataclass(slots=True)
class _Part:
    """What is known of a package whose files are unpacked, and whose links are not made yet: by path, what they lead
    to."""

    package: PackageFile
    paths: list[str] = field(default_factory=list)
    hard_links: dict[str, str] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)
    diverted: dict[str, str] = field(default_factory=dict)


class _Unpacking:
    """All files come first, then hard links, then symbolic ones: as long as files are written there is no link that one
    could be written through."""

    def __init__(self, tree: Path, dropped: DropRules, diversions: Mapping[str, tuple[str, str]]) -> None:
        self._tree = tree
        self._dropped = dropped
        self._diversions = diversions
        self._owners: dict[str, str] = {}

    def files_of(self, package: PackageFile) -> _Part:
        """Unpacks the directories and files of `package`."""
        part = _Part(package)
        with open_package(package.path) as opened:
            for name, entry in opened.entries():
                _check_name(package, name)
                path = merged_path(name) if entry.isdir() else self._place(part, name)
                rule = self._dropped.rule_of(path)
                if rule is not None:
                    if not entry.isdir():
                        part.left_out.append(LeftOut(rule, path, entry.size if entry.isfile() else 0))
                elif entry.isdir() or path in MERGED:
                    if path not in MERGED:
                        self._make_directory(package, path)
                else:
                    self._take(part, opened, entry, path)
        return part

    def _place(self, part: _Part, name: str) -> str:
        """Where the file `name` of the package goes."""
        path = merged_path(name)
        to, by = self._diversions.get(path, (path, part.package.name))
        if by == part.package.name:
            return path
        part.diverted[path] = to
        return to

    def _take(self, part: _Part, opened: OpenPackage, entry: tarfile.TarInfo, path: str) -> None:
        if not (entry.isfile() or entry.issym() or entry.islnk()):
            return  # a device or a pipe: no package of a layer needs one
        self._own(part, path)
        if entry.issym():
            part.links[path] = entry.linkname
        elif entry.islnk():
            name = entry.linkname.removeprefix("./")
            _check_name(part.package, name)
            part.hard_links[path] = self._place(part, name)
        else:
            self._make_directory(part.package, os.path.dirname(path))
            self._write(opened, entry, path)

    def _own(self, part: _Part, path: str) -> None:
        owner = self._owners.setdefault(path, part.package.name)
        if owner != part.package.name or path in part.links or path in part.hard_links:
            first, second = sorted((owner, part.package.name))
            raise FormatError(
                what=f"the package {second}",
                field=path,
                problem=f"is in {first} too" if first != second else "is in it twice",
                hint="leave one of the two packages out of the sets",
            )
        part.paths.append(path)

    def _make_directory(self, package: PackageFile, path: str) -> None:
        try:
            (self._tree / path).mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise FormatError(
                what=f"the package {package.name}", field=path, problem="is a directory, and a file elsewhere"
            ) from error

    def _write(self, opened: OpenPackage, entry: tarfile.TarInfo, path: str) -> None:
        place = self._tree / path
        with place.open("xb") as file:
            for data in opened.contents(entry):
                file.write(data)
        place.chmod(0o755 if entry.mode & stat.S_IXUSR else 0o644)
        os.utime(place, (entry.mtime, entry.mtime))

    def make_hard_links(self, part: _Part) -> None:
        """Gives files their further names. One whose file is left out gets its contents."""
        for path, target in part.hard_links.items():
            self._make_directory(part.package, os.path.dirname(path))
            if target in part.links:
                part.links[path] = part.links[target]
            elif target in part.paths:
                os.link(self._tree / target, self._tree / path, follow_symlinks=False)
            else:
                self._copy_from_package(part, target, path)

    def _copy_from_package(self, part: _Part, target: str, path: str) -> None:
        package = part.package
        with open_package(package.path) as opened:
            for name, entry in opened.entries():
                if entry.isfile() and self._place(part, name) == target:
                    self._write(opened, entry, path)
                    return
        raise FormatError(
            what=f"the package {package.name}", field=path, problem=f"is a link to {target}, which it has not"
        )

    def make_links(self, part: _Part) -> None:
        """Makes the symbolic links of a package, each where nothing is yet."""
        for path, target in part.links.items():
            parent = self._tree / os.path.dirname(path)
            # A link of another package may be on the way by now.
            if not _is_below(os.path.realpath(parent), self._tree):
                raise FormatError(what=str(part.package.path), field=f"the path {path!r}", problem="leaves the tree")
            self._make_directory(part.package, os.path.dirname(path))
            try:
                (self._tree / path).symlink_to(target)
            except FileExistsError as error:
                raise FormatError(
                    what=f"the package {part.package.name}", field=path, problem="is a link, and a directory elsewhere"
                ) from error


def _is_below(place: str, tree: Path) -> bool:
    return place == str(tree) or place.startswith(f"{tree}{os.sep}")


def _check_name(package: PackageFile, name: str) -> None:
    if name.startswith("/") or ".." in PurePosixPath(name).parts:
        raise FormatError(what=str(package.path), field=f"the path {name!r}", problem="leaves the tree")
