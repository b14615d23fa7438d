"""Lines of strace read as the calls that they tell of, whatever is in them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outcrop.strace.lines import Descriptor, Event, Line, LineReader, Text, Word, unescaped


def read(*lines: bytes) -> list[Line | None]:
    reader = LineReader()
    return [reader.read(line) for line in lines]


def test_call_with_directory_and_path() -> None:
    (line,) = read(b'41  openat(AT_FDCWD</tmp>, "lib/x", O_RDONLY|O_CLOEXEC) = 3</tmp/lib/x>\n')
    assert line == Line(
        41,
        Event.CALL,
        b"openat",
        (Descriptor(None, b"/tmp"), Text(b"lib/x"), Word(b"O_RDONLY|O_CLOEXEC")),
        3,
        b"",
        b"/tmp/lib/x",
    )


def test_call_that_failed() -> None:
    (line,) = read(b'7 access("/etc/ld.so.preload", R_OK) = -1 ENOENT (No such file or directory)')
    assert line is not None
    assert (line.result, line.error) == (-1, b"ENOENT")


@pytest.mark.parametrize(
    ("written", "path"),
    [
        (rb"\x2f\x61", b"/a"),
        (rb"/caf\303\251", "/café".encode()),
        (rb"/a\"b\\c\n\t", b'/a"b\\c\n\t'),
        (rb"/\0011", b"/\x011"),
        (rb"/), 5) = 3", b"/), 5) = 3"),
        (rb"/<unfinished ...>", b"/<unfinished ...>"),
    ],
)
def test_strings_are_unescaped(written: bytes, path: bytes) -> None:
    (line,) = read(b'1 stat("' + written + b'", {st_mode=S_IFREG|0644, st_size=3, ...}) = 0')
    assert line is not None
    assert line.arguments[0] == Text(path)


def test_string_that_was_cut_off_is_not_whole() -> None:
    (line,) = read(b'1 readlink("/a", "b"..., 64) = 21')
    assert line is not None
    assert line.arguments[:2] == (Text(b"/a"), Text(b"b", whole=False))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (b"3</we\\74i\\76rd>", Descriptor(3, b"/we<i>rd")),
        (b"3</gone>(deleted)", Descriptor(3, b"/gone")),
        (b"3<pipe:[4711]>", Descriptor(3, None)),
        (b"AT_FDCWD", Descriptor(None, None)),
        (b"-1", Descriptor(-1, None)),
        (b"0x7ffe", Word(b"0x7ffe")),
        (
            b"{flags=O_RDONLY|O_PATH, resolve=RESOLVE_BENEATH}",
            Word(b"{flags=O_RDONLY|O_PATH, resolve=RESOLVE_BENEATH}"),
        ),
        (b'["sh", "-c", "a, b)"]', Word(b'["sh", "-c", "a, b)"]')),
    ],
)
def test_arguments_of_all_kinds(written: bytes, expected: object) -> None:
    (line,) = read(b"1 call(" + written + b", 1) = 0")
    assert line is not None
    assert line.arguments == (expected, Descriptor(1, None))


def test_interrupted_call_is_put_together() -> None:
    begun, between, ended = read(
        b'1 openat(AT_FDCWD, "/a", O_RDONLY <unfinished ...>',
        b'2 stat("/b", 0x1) = 0',
        b"1 <... openat resumed>) = 4</a>",
    )
    assert begun is not None
    assert begun.event is Event.BEGUN
    assert between is not None
    assert between.process == 2
    assert ended is not None
    assert (ended.name, ended.arguments[1], ended.opened) == (b"openat", Text(b"/a"), b"/a")


def test_end_of_another_call_than_the_one_that_began_is_none() -> None:
    assert read(b"1 openat(AT_FDCWD, <unfinished ...>", b"1 <... stat resumed>) = 0")[1] is None
    assert read(b"1 <... stat resumed>) = 0") == [None]


@pytest.mark.parametrize("text", [b"+++ exited with 0 +++", b"+++ killed by SIGKILL (core dumped) +++"])
def test_end_of_a_process(text: bytes) -> None:
    assert read(b"9 " + text) == [Line(9, Event.ENDED)]


def test_numbers_of_processes_on_a_terminal() -> None:
    (line,) = read(b'[pid  4711] stat("/a", 0x1) = 0')
    assert line is not None
    assert line.process == 4711


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"strace: Process 12 attached",
        b"1 --- SIGCHLD {si_signo=SIGCHLD, si_pid=2} ---",
        b"1 ???( <unfinished",
        b'1 stat("/a',
        b'1 stat("/a"',
        b'1 stat("/a") = what',
    ],
)
def test_what_tells_of_no_call_is_passed_over(text: bytes) -> None:
    assert read(text) == [None]


def test_unknown_result() -> None:
    (line,) = read(b'1 openat(AT_FDCWD, "/a", O_RDONLY) = ? ERESTARTSYS (To be restarted if SA_RESTART is set)')
    assert line is not None
    assert (line.result, line.error) == (None, b"ERESTARTSYS")


def hexadecimal(text: bytes) -> bytes:
    """As `strace -xx` writes a string."""
    return b"".join(b"\\x%02x" % byte for byte in text)


def octal(text: bytes) -> bytes:
    """As strace writes a string by default, with as many escapes as it ever has."""
    plain = b"abcdefghijklmnopqrstuvwxyz/. "
    return b"".join(bytes((byte,)) if byte in plain else b"\\%03o" % byte for byte in text)


paths = st.binary(min_size=1, max_size=60).map(lambda raw: b"/" + raw.replace(b"\0", b""))


@pytest.mark.property
@given(paths, st.sampled_from([hexadecimal, octal]))
def test_every_path_comes_out_as_it_went_in(path: bytes, escape: object) -> None:
    assert callable(escape)
    written = escape(path)
    assert unescaped(written) == path
    first, second = read(
        b'5 openat(3<%s>, "%s", O_RDONLY <unfinished ...>' % (written, written),
        b"5 <... openat resumed>) = 4<%s>" % written,
    )
    assert first is not None
    assert second is not None
    assert second.arguments[:2] == (Descriptor(3, path), Text(path))
    assert second.opened == path


@pytest.mark.property
@given(st.binary(max_size=200) | st.text('0123 opensta(){}<>,"\\.=+- ', max_size=80).map(str.encode))
def test_no_line_is_too_odd(text: bytes) -> None:
    reader = LineReader()
    reader.read(text)
    reader.read(b"1 " + text)
