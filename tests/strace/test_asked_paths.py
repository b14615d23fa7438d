"""From system calls to the paths that a program asked for."""

from __future__ import annotations

import pytest

from outcrop.strace.asked_paths import AccessKind, AskedPath, AskedPaths
from outcrop.strace.lines import LineReader

START = b"/start"


def asked(*lines: bytes) -> list[AskedPath]:
    """What the lines ask for, of a program that began in `/start`."""
    reader, paths = LineReader(), AskedPaths(START)
    found: list[AskedPath] = []
    for text in lines:
        line = reader.read(text)
        if line is not None:
            found += paths.read(line)
    return found


@pytest.mark.parametrize(
    ("call", "path", "kind", "follows"),
    [
        (b'open("/a", O_RDONLY) = 3', b"/a", AccessKind.OPEN, True),
        (b'open("a", O_RDONLY|O_NOFOLLOW) = 3', b"/start/a", AccessKind.OPEN, False),
        (b'openat(3</d>, "a", O_RDONLY) = 4', b"/d/a", AccessKind.OPEN, True),
        (b'openat(3</d>, "/a", O_RDONLY|O_PATH) = 4', b"/a", AccessKind.STAT, True),
        (b'openat2(3</d>, "a", {flags=O_RDONLY, resolve=0}, 24) = 4', b"/d/a", AccessKind.OPEN, True),
        (b'newfstatat(3</d>, "", {st_mode=S_IFDIR, ...}, AT_EMPTY_PATH) = 0', b"/d", AccessKind.STAT, True),
        (b'newfstatat(AT_FDCWD, "a", 0x1, AT_SYMLINK_NOFOLLOW) = 0', b"/start/a", AccessKind.STAT, False),
        (b'lstat("a", 0x1) = 0', b"/start/a", AccessKind.STAT, False),
        (b'statx(AT_FDCWD</now>, "a", AT_STATX_SYNC_AS_STAT, STATX_ALL, 0x1) = 0', b"/now/a", AccessKind.STAT, True),
        (b'readlink("/a", "b", 10) = 1', b"/a", AccessKind.READLINK, False),
        (b'execve("/bin/x", ["x"], 0x1 /* 3 vars */) = 0', b"/bin/x", AccessKind.EXEC, True),
        (b'execveat(3</bin/x>, "", ["x"], 0x1, AT_EMPTY_PATH) = 0', b"/bin/x", AccessKind.EXEC, True),
        (b"getdents64(3</d>, 0x1 /* 8 entries */, 32768) = 208", b"/d", AccessKind.DIRECTORY, True),
    ],
)
def test_calls(call: bytes, path: bytes, kind: AccessKind, follows: bool) -> None:
    by_descriptor = b"(3<" in call and b'"/' not in call
    assert asked(b"1 " + call) == [AskedPath(path, kind, True, follows, is_named=not by_descriptor)]


@pytest.mark.parametrize(
    ("call", "path", "found"),
    [
        (b'connect(3<\\x73>, {sa_family=AF_UNIX, sun_path="\\x2f\\x61"}, 4) = 0', b"/a", True),
        (b'connect(3, {sa_family=AF_UNIX, sun_path="/a"}, 110) = -1 ECONNREFUSED (Connection refused)', b"/a", True),
        (b'connect(3, {sa_family=AF_UNIX, sun_path="a"}, 4) = -1 ENOENT (No such file)', b"/start/a", False),
        (b'bind(3, {sa_family=AF_UNIX, sun_path="/a"}, 4) = 0', b"/a", False),
        (b'bind(3, {sa_family=AF_UNIX, sun_path="/a"}, 4) = -1 EADDRINUSE (Address in use)', b"/a", True),
    ],
)
def test_a_socket_with_a_path_is_asked_for(call: bytes, path: bytes, found: bool) -> None:
    assert asked(b"1 " + call) == [AskedPath(path, AccessKind.STAT, found)]


@pytest.mark.parametrize(("error", "found"), [(b"ENOENT", False), (b"ENOTDIR", False), (b"EACCES", True)])
def test_what_is_not_there_is_told_apart(error: bytes, found: bool) -> None:
    assert asked(b'1 stat("/a", 0x1) = -1 ' + error + b" (text)") == [AskedPath(b"/a", AccessKind.STAT, found)]


@pytest.mark.parametrize(
    "call",
    [
        b'open("/a", O_RDONLY) = -1 EINTR (Interrupted system call)',
        b'open("/a", O_RDONLY) = ?',
        b'open("/a"..., O_RDONLY) = 3',
        b"open(0x7fff, O_RDONLY) = -1 EFAULT (Bad address)",
        b'openat(3<socket:[1]>, "a", O_RDONLY) = -1 ENOTDIR (Not a directory)',
        b'unlink("/a") = 0',
        b'connect(3, {sa_family=AF_UNIX, sun_path=@"\\x61"}, 4) = 0',
        b'connect(3, {sa_family=AF_INET, sin_port=htons(9), sin_addr=inet_addr("127.0.0.1")}, 16) = 0',
        b'stat("", 0x1) = -1 ENOENT (No such file or directory)',
    ],
)
def test_calls_that_ask_for_nothing(call: bytes) -> None:
    assert asked(b"1 " + call) == []


def test_file_that_was_opened_through_a_link_gives_its_own_path_too() -> None:
    assert asked(b'1 open("/link", O_RDONLY) = 3</target>') == [
        AskedPath(b"/link", AccessKind.OPEN, True),
        AskedPath(b"/target", AccessKind.OPEN, True, is_named=False),
    ]


def relative(*lines: bytes) -> list[bytes]:
    return [one.path for one in asked(*lines) if one.kind is AccessKind.OPEN]


def test_current_directory_is_followed() -> None:
    assert relative(
        b'1 chdir("d") = 0',
        b'1 open("a", O_RDONLY) = 3',
        b"1 fchdir(4</e>) = 0",
        b'1 open("b", O_RDONLY) = 3',
        b'1 chdir("/no") = -1 ENOENT (No such file or directory)',
        b'1 openat(AT_FDCWD</f>, "c", O_RDONLY) = 3',
        b'1 open("d", O_RDONLY) = 3',
    ) == [b"/start/d/a", b"/e/b", b"/f/c", b"/f/d"]


def test_children_begin_where_their_parent_is_and_go_their_own_way() -> None:
    assert relative(
        b'1 chdir("/d") = 0',
        b"1 fork() = 2",
        b'2 chdir("/e") = 0',
        b'2 open("a", O_RDONLY) = 3',
        b'1 open("a", O_RDONLY) = 3',
    ) == [b"/e/a", b"/d/a"]


def test_child_that_is_heard_of_before_its_parent_returns() -> None:
    assert relative(
        b'1 chdir("/d") = 0',
        b"1 vfork( <unfinished ...>",
        b'2 open("a", O_RDONLY) = 3',
        b'2 chdir("/e") = 0',
        b"1 <... vfork resumed>) = 2",
        b'2 open("a", O_RDONLY) = 3',
        b'1 open("a", O_RDONLY) = 3',
    ) == [b"/d/a", b"/e/a", b"/d/a"]


def test_threads_share_their_directory() -> None:
    assert relative(
        b"1 clone(child_stack=0x1, flags=CLONE_VM|CLONE_FS|CLONE_THREAD, tls=0x2) = 2",
        b'2 chdir("/e") = 0',
        b'1 open("a", O_RDONLY) = 3',
    ) == [b"/e/a"]


def test_process_number_that_is_used_again_begins_anew() -> None:
    assert relative(
        b"1 fork() = 2",
        b'2 chdir("/e") = 0',
        b"2 +++ exited with 0 +++",
        b"1 fork() = 2",
        b'2 open("a", O_RDONLY) = 3',
    ) == [b"/start/a"]
