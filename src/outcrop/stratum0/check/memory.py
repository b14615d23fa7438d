"""What a check remembers of itself, so that one that was interrupted goes on where it was.

A file of JSON lines. The first says what is checked; each further one is a directory of objects that is done, with what
was found in it. Lines are only ever added, so a crash leaves a torn last line, which is passed over. A check of
something else begins the file anew; one that reaches its end removes it.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from outcrop.cvmfs.paths import RepositoryPath
from outcrop.errors import Busy, storage_error
from outcrop.stratum0.check.problems import Kind, Problem

VERSION = "1"


@dataclass(frozen=True, slots=True)
class DirectoryOutcome:
    """One directory of objects, looked at: what was found, how many objects nothing refers to."""

    problems: tuple[Problem, ...] = ()
    unreferenced: int = 0


class Memory(Protocol):
    """Where a check keeps what it has done."""

    def begin(self, subject: Mapping[str, str]) -> Mapping[str, DirectoryOutcome]:
        """What was done already of a check of exactly `subject`, by directory."""

    def done(self, prefix: str, outcome: DirectoryOutcome) -> None:
        """The directory `prefix` is done."""

    def end(self) -> None:
        """The check has come to its end."""


class Forgetful:
    """A memory that keeps nothing: for checks that are quickly made."""

    def begin(self, subject: Mapping[str, str]) -> Mapping[str, DirectoryOutcome]:
        return {}

    def done(self, prefix: str, outcome: DirectoryOutcome) -> None: ...

    def end(self) -> None: ...


class FileMemory:
    """The memory in the file `path`. `close` lets go of it; a second check of the same is Busy until then."""

    def __init__(self, path: Path, *, fresh: bool = False) -> None:
        """`fresh` forgets what is there."""
        self._path = path
        self._fresh = fresh
        self._is_needed = True
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise storage_error(error) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._descriptor)
            raise Busy(what="the memory of this check", holder="another check of the same repository") from error

    def begin(self, subject: Mapping[str, str]) -> Mapping[str, DirectoryOutcome]:
        self._is_needed = True
        head = json.dumps({"version": VERSION, **subject}, sort_keys=True)
        try:
            lines = self._path.read_bytes().split(b"\n")
            if not self._fresh and lines[0] == head.encode():
                # What follows the last newline is torn, or nothing: later lines must not join it.
                torn = lines.pop()
                if torn:
                    os.ftruncate(self._descriptor, os.fstat(self._descriptor).st_size - len(torn))
                return dict(_outcome(line) for line in lines[1:])
            os.ftruncate(self._descriptor, 0)
            self._add(head)
        except OSError as error:
            raise storage_error(error) from error
        return {}

    def done(self, prefix: str, outcome: DirectoryOutcome) -> None:
        problems = [_encoded(problem) for problem in outcome.problems]
        try:
            self._add(json.dumps({"done": prefix, "unreferenced": outcome.unreferenced, "problems": problems}))
        except OSError as error:
            raise storage_error(error) from error

    def end(self) -> None:
        os.ftruncate(self._descriptor, 0)
        self._is_needed = False

    def close(self) -> None:
        if not self._is_needed:
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)

    def _add(self, line: str) -> None:
        os.write(self._descriptor, line.encode() + b"\n")


def _outcome(line: bytes) -> tuple[str, DirectoryOutcome]:
    document = json.loads(line)
    problems = tuple(_decoded(problem) for problem in document["problems"])
    return document["done"], DirectoryOutcome(problems, document["unreferenced"])


def _encoded(problem: Problem) -> dict[str, object]:
    path = None if problem.path is None else problem.path.decode("utf-8", "surrogateescape")
    return {
        "kind": problem.kind.label,
        "detail": problem.detail,
        "path": path,
        "name": problem.name,
        "size": problem.size,
    }


def _decoded(document: Mapping[str, object]) -> Problem:
    path, size = document["path"], document["size"]
    return Problem(
        Kind.of(str(document["kind"])),
        str(document["detail"]),
        path=RepositoryPath(path.encode("utf-8", "surrogateescape")) if isinstance(path, str) else None,
        name=str(document["name"]),
        size=size if isinstance(size, int) else None,
    )
