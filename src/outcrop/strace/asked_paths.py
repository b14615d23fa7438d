"""Which paths a program asked for, by the system calls that it made; nothing is run or looked up here.

Relative paths begin at the descriptor that the call names, or at the process's current directory. That is followed
through `chdir`, `fchdir` and `fork`, and set right whenever strace writes it behind AT_FDCWD. A process may be heard of
before the call that made it ends: it is then taken for a child of the one that began such a call last.

What changes files is left out, since a repository cannot be changed; but a socket that has a path is asked for by who
connects to it, and by who makes it. Not seen are programs that read through io_uring, and messages to a socket that
nobody connected to; paths of a program that changed its root directory are taken as they are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto

from outcrop.strace.lines import Argument, Descriptor, Event, Line, Text, Word, unescaped


class AccessKind(Enum):
    """What was asked for; the value is how a trace writes it."""

    OPEN = "open"
    STAT = "stat"
    READLINK = "readlink"
    EXEC = "exec"
    DIRECTORY = "directory"
    """The names in a directory were listed."""


TRACED_CALLS = (
    "%file", "fchdir", "?getdents", "?getdents64", "?clone", "?clone3", "?fork", "?vfork", "?connect", "?bind",
)  # fmt: skip
"""What strace is asked for. A question mark lets it pass over what this machine's kernel does not have."""


@dataclass(frozen=True, slots=True)
class AskedPath:
    """An absolute path that a program asked for, links and `..` in it not followed yet.

    `follows` says whether a link that the path itself names was followed, too, and `is_named` whether the program wrote
    the path: where it begins at a descriptor, the kernel did, which knows no links."""

    path: bytes
    kind: AccessKind
    found: bool
    follows: bool = True
    is_named: bool = True


class _Last(Enum):
    """What a call does with a symbolic link at the end of its path."""

    FOLLOWS = auto()
    SHOWS = auto()
    BY_FLAG = auto()


@dataclass(frozen=True, slots=True)
class _Call:
    """How a system call names its path: the positions of the descriptor it begins at, and of the path."""

    kind: AccessKind
    directory: int | None = None
    path: int = 0
    last: _Last = _Last.FOLLOWS


_STAT, _OPEN, _EXEC, _LINK = AccessKind.STAT, AccessKind.OPEN, AccessKind.EXEC, AccessKind.READLINK

_CALLS = {
    b"open": _Call(_OPEN, last=_Last.BY_FLAG),
    b"openat": _Call(_OPEN, 0, 1, _Last.BY_FLAG),
    b"openat2": _Call(_OPEN, 0, 1, _Last.BY_FLAG),
    b"execve": _Call(_EXEC),
    b"execveat": _Call(_EXEC, 0, 1, _Last.BY_FLAG),
    b"readlink": _Call(_LINK, last=_Last.SHOWS),
    b"readlinkat": _Call(_LINK, 0, 1, _Last.SHOWS),
    **{name: _Call(_STAT) for name in (
        b"stat", b"stat64", b"oldstat", b"access", b"statfs", b"statfs64", b"chdir", b"getxattr", b"listxattr",
    )},
    **{name: _Call(_STAT, last=_Last.SHOWS) for name in (
        b"lstat", b"lstat64", b"oldlstat", b"lgetxattr", b"llistxattr",
    )},
    **{name: _Call(_STAT, 0, 1, _Last.BY_FLAG) for name in (
        b"newfstatat", b"fstatat64", b"statx", b"faccessat", b"faccessat2", b"getxattrat", b"listxattrat",
    )},
    b"name_to_handle_at": _Call(_STAT, 0, 1, _Last.SHOWS),
}  # fmt: skip

_SOCKET_CALLS = frozenset({b"connect", b"bind"})
_SOCKET_PATH = re.compile(rb'sun_path="(?P<path>[^"\\]*(?:\\.[^"\\]*)*)"(?!\.)', re.DOTALL)
"""In the second argument. A name that is no path has an @ before it."""

_LISTING_CALLS = frozenset({b"getdents", b"getdents64"})
_FORKING_CALLS = frozenset({b"clone", b"clone3", b"fork", b"vfork"})
_NOT_THERE = frozenset({b"ENOENT", b"ENOTDIR", b"ENAMETOOLONG"})
_NO_ANSWER = frozenset({
    b"EAGAIN", b"EBADF", b"EFAULT", b"EINTR", b"ENOSYS", b"ERESTARTNOHAND", b"ERESTARTNOINTR", b"ERESTARTSYS",
    b"ERESTART_RESTARTBLOCK",
})  # fmt: skip
"""With these a call failed before it came to the path, or will be made again."""


@dataclass(slots=True)
class _CurrentDirectory:
    """Shared by the threads of a process."""

    path: bytes


class AskedPaths:
    """Follows the processes of one run that began in `directory`."""

    def __init__(self, directory: bytes) -> None:
        self._first = directory
        self._directories: dict[int, _CurrentDirectory] = {}
        self._forking: dict[int, bool] = {}

    def read(self, line: Line) -> list[AskedPath]:
        """The paths for which `line` asks; a call that opens a file gives the file's own path as well."""
        if line.event is Event.ENDED:
            self._directories.pop(line.process, None)
            self._forking.pop(line.process, None)
            return []
        current = self._directory_of(line.process)
        for argument in line.arguments:
            if isinstance(argument, Descriptor) and argument.number is None and argument.path is not None:
                current.path = argument.path
        if line.name in _FORKING_CALLS:
            self._fork(line, current)
            return []
        if line.event is Event.BEGUN or line.error in _NO_ANSWER or (line.result is None and not line.error):
            return []
        asked = self._asked(line, current)
        self._change_directory(line, current)
        return asked

    def _directory_of(self, process: int) -> _CurrentDirectory:
        known = self._directories.get(process)
        if known is None:
            # A child whose parent has not been told of it yet; or the first process of all.
            known = self._child(*next(reversed(self._forking.items()), (0, False)))
            self._directories[process] = known
        return known

    def _child(self, parent: int, shares: bool) -> _CurrentDirectory:
        directory = self._directories.get(parent)
        if directory is None:
            return _CurrentDirectory(self._first)
        return directory if shares else _CurrentDirectory(directory.path)

    def _fork(self, line: Line, current: _CurrentDirectory) -> None:
        shares = any(isinstance(word, Word) and b"CLONE_FS" in word.value for word in line.arguments)
        self._forking.pop(line.process, None)
        if line.event is Event.BEGUN:
            self._forking[line.process] = shares
        elif line.result and line.result > 0 and line.result not in self._directories:
            self._directories[line.result] = current if shares else _CurrentDirectory(current.path)

    def _change_directory(self, line: Line, current: _CurrentDirectory) -> None:
        if line.result != 0 or not line.arguments:
            return
        first = line.arguments[0]
        if line.name == b"chdir" and isinstance(first, Text) and first.whole:
            current.path = _joined(current.path, first.value)
        elif line.name == b"fchdir" and isinstance(first, Descriptor) and first.path is not None:
            current.path = first.path

    def _asked(self, line: Line, current: _CurrentDirectory) -> list[AskedPath]:
        if line.name in _LISTING_CALLS:
            first = line.arguments[0] if line.arguments else None
            if isinstance(first, Descriptor) and first.path is not None and not line.error:
                return [AskedPath(first.path, AccessKind.DIRECTORY, True, is_named=False)]
            return []
        if line.name in _SOCKET_CALLS:
            return _socket(line, current.path)
        call = _CALLS.get(line.name)
        if call is None or len(line.arguments) <= call.path:
            return []
        place = _place(call, line.arguments, current.path)
        if place is None:
            return []
        flags = b"|".join(word.value for word in line.arguments if isinstance(word, Word))
        kind = _STAT if call.kind is _OPEN and b"O_PATH" in flags else call.kind
        shows = call.last is _Last.SHOWS or (call.last is _Last.BY_FLAG and b"NOFOLLOW" in flags)
        named = not _begins_at_descriptor(call, line.arguments)
        asked = [AskedPath(place, kind, line.error not in _NOT_THERE, not shows, named)]
        if line.opened is not None and line.opened != place:
            asked.append(AskedPath(line.opened, kind, True, is_named=False))
        return asked


def _socket(line: Line, current: bytes) -> list[AskedPath]:
    address = line.arguments[1] if len(line.arguments) > 1 else None
    match = _SOCKET_PATH.search(address.value) if isinstance(address, Word) else None
    if match is None or not match["path"]:
        return []
    found = line.error == b"EADDRINUSE" if line.name == b"bind" else line.error not in _NOT_THERE
    return [AskedPath(_joined(current, unescaped(match["path"])), _STAT, found)]


def _place(call: _Call, arguments: tuple[Argument, ...], current: bytes) -> bytes | None:
    """The absolute path that `arguments` name; None if that cannot be known."""
    text = arguments[call.path]
    if not isinstance(text, Text) or not text.whole:
        return None
    if text.value.startswith(b"/"):
        return text.value
    if call.directory is None:
        return _joined(current, text.value) if text.value else None
    start = arguments[call.directory]
    if not isinstance(start, Descriptor):
        return None
    base = current if start.number is None else start.path
    return None if base is None else _joined(base, text.value)


def _begins_at_descriptor(call: _Call, arguments: tuple[Argument, ...]) -> bool:
    text = arguments[call.path]
    start = arguments[call.directory] if call.directory is not None else None
    is_relative = isinstance(text, Text) and not text.value.startswith(b"/")
    return is_relative and isinstance(start, Descriptor) and start.number is not None


def _joined(directory: bytes, path: bytes) -> bytes:
    if path.startswith(b"/"):
        return path
    return directory.rstrip(b"/") + b"/" + path if path else directory
