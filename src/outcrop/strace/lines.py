r"""The lines that `strace -f -y` writes, read without running anything.

A line is a process number, then a system call, the end of an interrupted one, a signal or the end of a process:

    4541  openat(AT_FDCWD</tmp>, "lib/\303\251", O_RDONLY|O_CLOEXEC) = 3</tmp/lib/\303\251>
    4541  vfork( <unfinished ...>
    4541  <... vfork resumed>) = 4542
    4542  +++ exited with 0 +++

Rules:
- Strings stand between double quotes, with C's escapes (`\"`, `\n`, `\303`, `\x2f`); three dots after one say that it
  was cut off, and such a path is not used. With `-xx` everything is `\x..`, which we ask for; both are read.
- With `-y` the name of what a descriptor shows stands behind it in angle brackets, escaped in the same way; AT_FDCWD
  has the current directory there in recent versions. Whatever is no path (sockets, pipes) has no `/` at its beginning.
  A file that was removed has `(deleted)` behind the bracket, or before it in old versions.
- A call that another process's line interrupts comes in two parts, which together read as one.
- What cannot be understood is no call: programs have odd arguments, and new kernels new system calls.

Source: strace(1), and its output in versions 5.10 to 6.1.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass
from enum import Enum

_LINE = re.compile(rb"(?:\[pid +)?(?P<process>[0-9]+)\]? +(?P<rest>.*)", re.DOTALL)
_CALL = re.compile(rb"(?P<name>[a-z_][a-z0-9_]*)\((?P<rest>.*)", re.DOTALL)
_RESUMED = re.compile(rb"<\.\.\. (?P<name>[a-z_][a-z0-9_]*) resumed>(?P<rest>.*)", re.DOTALL)
_UNFINISHED = b"<unfinished ...>"
_RESULT = re.compile(
    rb"= (?P<value>-?[0-9]+|\?|0x[0-9a-f]+)(?:<(?P<place>[^\\<>]*(?:\\.[^\\<>]*)*)>(?:\(deleted\))?)?"
    rb"(?: (?P<error>[A-Z0-9_]+))?(?: \(.*\))?\s*"
)
_ENDED = re.compile(rb"\+\+\+ (?:exited with|killed by) .*")
_STRING = re.compile(rb'"(?P<text>[^"\\]*(?:\\.[^"\\]*)*)"(?P<cut>\.\.\.)?', re.DOTALL)
_DESCRIPTOR = re.compile(rb"(?P<number>-?[0-9]+|AT_FDCWD)(?:<(?P<place>[^\\<>]*(?:\\.[^\\<>]*)*)>)?(?:\(deleted\))?")
_BRACKET = re.compile(rb"<[^\\<>]*(?:\\.[^\\<>]*)*>", re.DOTALL)
_HEXADECIMAL = re.compile(rb"(?:\\x[0-9a-fA-F]{2})+")
_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{2}|[0-7]{1,3}|.)", re.DOTALL)
_NAMED_ESCAPES = {
    b"n": b"\n",
    b"t": b"\t",
    b"r": b"\r",
    b"v": b"\v",
    b"f": b"\f",
    b"a": b"\a",
    b"b": b"\b",
    b"e": b"\x1b",
}
_OPENING, _CLOSING = b"([{", b")]}"
_MARK = re.compile(rb'["<,()\[\]{}]')
"""What ends a plain word, or may."""


class Event(Enum):
    """What a line tells of a process."""

    CALL = "call"
    BEGUN = "begun"
    """A call has begun, and its end comes on a later line."""
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Text:
    """A string among the arguments; `whole` unless strace cut it off."""

    value: bytes
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Descriptor:
    """An open file among the arguments, or the current directory (`number` is None). `path` is where it is, as far as
    that is known and a path."""

    number: int | None
    path: bytes | None


@dataclass(frozen=True, slots=True)
class Word:
    """Any other argument, as it is written: flags, addresses, structures."""

    value: bytes


Argument = Text | Descriptor | Word


@dataclass(frozen=True, slots=True)
class Line:
    """What one line says: of `process`, that the call `name` with `arguments` has ended (or begun) with `result`,
    which is None where strace does not know, and the name of the `error` if it failed.

    `opened` is the path of the descriptor that a call gave back."""

    process: int
    event: Event
    name: bytes = b""
    arguments: tuple[Argument, ...] = ()
    result: int | None = None
    error: bytes = b""
    opened: bytes | None = None


class LineReader:
    """Puts the lines of one run together, in their order."""

    def __init__(self) -> None:
        self._begun: dict[int, bytes] = {}

    def read(self, line: bytes) -> Line | None:
        """What `line` says; None for one that tells nothing of a call, or makes no sense."""
        match = _LINE.fullmatch(line.rstrip(b"\n"))
        if match is None:
            return None
        process, rest = int(match["process"]), match["rest"]
        if _ENDED.fullmatch(rest):
            self._begun.pop(process, None)
            return Line(process, Event.ENDED)
        resumed = _RESUMED.fullmatch(rest)
        if resumed is not None:
            begun = self._begun.pop(process, b"")
            rest = begun + resumed["rest"]
            if not begun.startswith(resumed["name"] + b"("):
                return None
        elif rest.rstrip().endswith(_UNFINISHED):
            begun = rest.rstrip().removesuffix(_UNFINISHED).rstrip()
            self._begun[process] = begun
            name, separator, arguments = begun.partition(b"(")
            return Line(process, Event.BEGUN, name, _arguments(arguments + b")")[0]) if separator else None
        return _call(process, rest)


def unescaped(text: bytes) -> bytes:
    """The bytes for which the escapes in `text` stand."""
    if _HEXADECIMAL.fullmatch(text):
        return binascii.unhexlify(text.replace(b"\\x", b""))
    return _ESCAPE.sub(_byte, text) if b"\\" in text else text


def _byte(match: re.Match[bytes]) -> bytes:
    code = match[1]
    if code[:1] == b"x" and len(code) == 3:
        return bytes((int(code[1:], 16),))
    if code[:1].isdigit():
        return bytes((int(code, 8) & 0xFF,))
    return _NAMED_ESCAPES.get(code, code)


def _call(process: int, text: bytes) -> Line | None:
    match = _CALL.fullmatch(text)
    if match is None:
        return None
    arguments, rest = _arguments(match["rest"])
    result = _RESULT.fullmatch(rest.lstrip())
    if result is None:
        return None
    value = result["value"]
    return Line(
        process,
        Event.CALL,
        match["name"],
        arguments,
        None if value == b"?" else int(value, 0) if value.startswith(b"0x") else int(value),
        result["error"] or b"",
        _place(result["place"]),
    )


def _arguments(text: bytes) -> tuple[tuple[Argument, ...], bytes]:
    """The arguments up to the parenthesis that closes them, and what follows it."""
    arguments: list[Argument] = []
    begin = position = depth = 0
    while mark := _MARK.search(text, position):
        position, character = mark.start(), mark[0]
        if character == b'"':
            string = _STRING.match(text, position)
            if string is None:
                break
            position = string.end()
            continue
        if character == b"<":
            position = _behind_bracket(text, position)
            continue
        if depth == 0 and character in (b",", b")"):
            word = text[begin:position].strip()
            if word:
                arguments.append(_argument(word))
            begin = position + 1
            if character == b")":
                return tuple(arguments), text[begin:]
        elif character in _OPENING:
            depth += 1
        elif character in _CLOSING:
            depth -= 1
        position += 1
    return tuple(arguments), b""


def _behind_bracket(text: bytes, position: int) -> int:
    """Where the name in angle brackets that begins at `position` has ended; shifts (`1<<20`) begin none."""
    if text[position : position + 2] == b"<<":
        return position + 2
    match = _BRACKET.match(text, position)
    return match.end() if match else position + 1


def _argument(word: bytes) -> Argument:
    string = _STRING.fullmatch(word)
    if string is not None:
        return Text(unescaped(string["text"]), string["cut"] is None)
    descriptor = _DESCRIPTOR.fullmatch(word)
    if descriptor is not None:
        number = descriptor["number"]
        return Descriptor(None if number == b"AT_FDCWD" else int(number), _place(descriptor["place"]))
    return Word(word)


def _place(text: bytes | None) -> bytes | None:
    """The path that stands in angle brackets; None for what is no path."""
    if text is None:
        return None
    path = unescaped(text)
    return path if path.startswith(b"/") else None
