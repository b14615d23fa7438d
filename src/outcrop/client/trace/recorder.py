"""From the paths that a program asked for to accesses of a repository: links are followed as the kernel followed them.

A system call says the path that the program has; what lies on the way, and the interpreters that the kernel starts, are
found by looking at the tree itself. A repository does not change while it is read, so that gives what the program saw.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from outcrop.client.trace.access import Access
from outcrop.client.trace.interpreters import MAXIMUM_INTERPRETERS, interpreter_of
from outcrop.cvmfs.names import RepositoryName, repository_name
from outcrop.cvmfs.paths import RepositoryPath, is_below
from outcrop.errors import InvalidValue
from outcrop.strace.asked_paths import AccessKind, AskedPath

MAXIMUM_SYMLINKS = 40
"""How many links one path may lead through, as in Linux (MAXSYMLINKS)."""


class FileTree(Protocol):
    """What is asked of the files that the program saw."""

    def target(self, path: bytes) -> bytes | None:
        """Where the symbolic link at `path` leads; None for what is no link, or not there."""

    def interpreter(self, path: bytes) -> bytes | None:
        """The interpreter that the program at `path` asks for; None where there is none."""


class LocalFiles:
    """The files of this machine."""

    def target(self, path: bytes) -> bytes | None:
        try:
            return os.readlink(path)
        except OSError:
            return None

    def interpreter(self, path: bytes) -> bytes | None:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return None
        try:
            return interpreter_of(lambda offset, size: os.pread(descriptor, size, offset))
        except (OSError, OverflowError):
            return None
        finally:
            os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Watched:
    """Where repositories are: each in the directory of `below` that has its name; or `repository` alone, in `below`
    itself."""

    below: Path
    repository: RepositoryName | None = None


@dataclass(frozen=True, slots=True)
class _Way:
    """Where a path ends, the links that were followed on its way, and the directories that were left again by `..`:
    they have to be there, too."""

    end: bytes
    links: list[bytes]
    left: list[bytes]


class Recorder:
    """Collects the accesses of one run to what is `watched`, each once and in the order of its first occurrence."""

    def __init__(self, watched: Watched, files: FileTree) -> None:
        self._repository = watched.repository
        self._files = files
        self._targets: dict[bytes, bytes | None] = {}
        self._names: dict[bytes, RepositoryName | None] = {}
        self._seen: set[AskedPath] = set()
        self._accesses: dict[Access, None] = {}
        self._below = self._walk(os.fsencode(os.path.abspath(watched.below)), follows=True).end.rstrip(b"/")

    @property
    def accesses(self) -> tuple[Access, ...]:
        return tuple(self._accesses)

    def record(self, asked: Iterable[AskedPath]) -> None:
        """Takes in what a program asked for."""
        for one in asked:
            if one not in self._seen:
                self._seen.add(one)
                self._record(one, MAXIMUM_INTERPRETERS)

    def _record(self, asked: AskedPath, interpreters: int) -> None:
        way = self._walk(asked.path, follows=asked.follows)
        for link in way.links:
            self._add(link, AccessKind.READLINK, found=True)
        for directory in way.left if asked.found else ():
            self._add(directory, AccessKind.STAT, found=True)
        self._add(way.end, asked.kind, found=asked.found)
        if asked.kind is AccessKind.EXEC and asked.found and interpreters:
            interpreter = self._files.interpreter(way.end)
            if interpreter is not None and interpreter.startswith(b"/"):
                self._record(AskedPath(interpreter, AccessKind.EXEC, found=True), interpreters - 1)

    def _walk(self, path: bytes, *, follows: bool) -> _Way:
        """The way of `path` when the links in it are followed. `..` goes to the parent of where a link led to, as in
        the kernel."""
        place, links, left = b"", list[bytes](), list[bytes]()
        remaining = _names(path)
        while remaining:
            name = remaining.pop(0)
            if name == b"..":
                left.append(place)
                place = place.rpartition(b"/")[0]
                continue
            reached = place + b"/" + name
            target = self._target(reached) if remaining or follows else None
            if target is None or len(links) >= MAXIMUM_SYMLINKS:
                place = reached
                continue
            links.append(reached)
            if target.startswith(b"/"):
                place = b""
            remaining = _names(target) + remaining
        return _Way(place or b"/", links, left)

    def _target(self, path: bytes) -> bytes | None:
        if path not in self._targets:
            self._targets[path] = self._files.target(path)
        return self._targets[path]

    def _add(self, path: bytes, kind: AccessKind, *, found: bool) -> None:
        if not is_below(path, self._below):
            return
        inner = path[len(self._below) :].rstrip(b"/")
        repository = self._repository
        if repository is None:
            name, separator, rest = inner.lstrip(b"/").partition(b"/")
            repository, inner = self._name(name), separator + rest
        if repository is not None:
            self._accesses[Access(repository, RepositoryPath(inner), kind, found)] = None

    def _name(self, text: bytes) -> RepositoryName | None:
        """The repository called `text`; None where no repository can be called so."""
        if text not in self._names:
            try:
                self._names[text] = repository_name(text.decode("utf-8", "replace"))
            except InvalidValue:
                self._names[text] = None
        return self._names[text]


def _names(path: bytes) -> list[bytes]:
    return [name for name in path.split(b"/") if name not in (b"", b".")]
