"""What strace saw of a run, as far as a proof cares: who asked for paths of the old prefix, and what was read.

Every path that a system call names counts, found or not, sockets' too, and so does the place of every file that was
opened: it may be behind a link. Where links lead behind which nothing was found is for
`outcrop.client.relocate.old_links`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from outcrop.client.relocate.prefix import Prefix
from outcrop.strace.asked_paths import AccessKind, AskedPaths
from outcrop.strace.lines import Line, LineReader, Text, Word, unescaped

_EXEC = frozenset({b"execve", b"execveat"})
_SOCKET_CALLS = frozenset({b"connect", b"bind"})
_SOCKET_PATH = re.compile(rb'sun_path="((?:[^"\\]|\\.)*)"')
_FORK = frozenset({b"clone", b"clone3", b"fork", b"vfork"})


@dataclass(frozen=True, slots=True)
class OldAccess:
    """`path`, at or below the old prefix, was asked for by a process that ran `program` (empty where nobody knows);
    it or its ancestors read the files `read`."""

    path: bytes
    program: bytes
    read: tuple[bytes, ...]


@dataclass(slots=True)
class Observation:
    """A run: what it asked for below the old prefix, each path once, and every file that it found."""

    old: list[OldAccess] = field(default_factory=list)
    found: set[bytes] = field(default_factory=set)
    asked: dict[bytes, OldAccess] = field(default_factory=dict)
    """Every path that was asked for, found or not, but for those of the old prefix, with who asked first."""
    programs: int = 0


@dataclass(slots=True)
class _Process:
    program: bytes = b""
    parent: int = 0
    read: dict[bytes, None] = field(default_factory=dict)


def observe(lines: Iterable[bytes], directory: bytes, original: Prefix) -> Observation:
    """What the lines of `strace -f -y` tell of a run that began in `directory`."""
    reader, asked = LineReader(), AskedPaths(directory)
    observation = Observation()
    processes: dict[int, _Process] = {}
    old: dict[bytes, int] = {}
    others: dict[bytes, int] = {}
    for text in lines:
        line = reader.read(text)
        if line is None:
            continue
        process = processes.setdefault(line.process, _Process())
        for one in asked.read(line):
            if one.found:
                observation.found.add(one.path)
                if one.kind in (AccessKind.OPEN, AccessKind.EXEC):
                    process.read[one.path] = None
            (old if original.holds(normal(one.path)) else others).setdefault(one.path, line.process)
        for path in _named_paths(line):
            if original.holds(normal(path)):
                old.setdefault(path, line.process)
        if line.result is not None:
            _follow(line, process, processes)
    observation.programs = len({process.program for process in processes.values() if process.program})
    observation.old = [_access(path, number, processes) for path, number in old.items()]
    observation.asked = {path: _access(path, number, processes) for path, number in others.items()}
    return observation


def normal(path: bytes) -> bytes:
    """The absolute `path` as the kernel takes it, were there no links: `os.path.normpath` keeps two slashes at its
    beginning."""
    return os.path.normpath(b"/" + path.lstrip(b"/"))


def _named_paths(line: Line) -> Iterable[bytes]:
    """Absolute paths among the arguments, whatever the call does with them, and the one that it gave back."""
    for argument in line.arguments:
        if isinstance(argument, Text) and argument.whole and argument.value.startswith(b"/"):
            yield argument.value
        elif isinstance(argument, Word) and line.name in _SOCKET_CALLS:
            yield from _socket_path(argument)
    if line.opened is not None:
        yield line.opened


def _socket_path(address: Word) -> Iterable[bytes]:
    found = _SOCKET_PATH.search(address.value)
    if found is not None and (path := unescaped(found.group(1))).startswith(b"/"):
        yield path


def _follow(line: Line, process: _Process, processes: dict[int, _Process]) -> None:
    """Keeps up with which process runs what."""
    if line.name in _EXEC and line.result == 0:
        process.program = next((one.value for one in line.arguments if isinstance(one, Text)), process.program)
    elif line.name in _FORK and line.result is not None and line.result > 0:
        processes.setdefault(line.result, _Process()).parent = line.process


def _access(path: bytes, number: int, processes: dict[int, _Process]) -> OldAccess:
    """Who asked for `path`: the process itself or, if it runs what its parent runs, that one. What its ancestors read
    counts, too: a script hands paths on to other programs."""
    read: dict[bytes, None] = {}
    program = b""
    seen: set[int] = set()
    while number in processes and number not in seen:
        seen.add(number)
        process = processes[number]
        program = program or process.program
        read.update(process.read)
        number = process.parent
    return OldAccess(path, program, tuple(read))
