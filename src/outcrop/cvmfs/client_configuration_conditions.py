"""What the conditions of a stock client's configuration file come to: `test`, `[` and `grep`.

A test that a shell would complain of is false, as it is for a shell. Files are asked for through a `FileView`, so that
nothing here touches a disk.

Sources: POSIX.1-2024, XCU `test` and `grep`; XBD 9 for the expressions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class FileState:
    """What a test may ask of a file that exists. A symbolic link that leads nowhere is only that."""

    is_file: bool = False
    is_directory: bool = False
    is_symlink: bool = False
    exists: bool = True
    size: int = 0
    readable: bool = True
    executable: bool = False


class FileView(Protocol):
    """The files that a configuration may ask for, by absolute path."""

    def read(self, path: str) -> bytes | None:
        """The bytes of the file at `path`; None where there is no file that can be read."""

    def state(self, path: str) -> FileState | None:
        """What lies at `path`; None where nothing does."""

    def names(self, path: str) -> Sequence[str]:
        """What the directory at `path` holds; nothing where there is none."""


class NoFiles:
    """A place without files."""

    def read(self, _path: str) -> bytes | None:
        return None

    def state(self, _path: str) -> FileState | None:
        return None

    def names(self, _path: str) -> Sequence[str]:
        return ()


class CannotJudge(Exception):
    """Only a shell could say whether the condition holds; the text says why. Translated by whoever evaluates."""


_FILE_TESTS: Mapping[str, Callable[[FileState], bool]] = {
    "-e": lambda state: state.exists,
    "-f": lambda state: state.is_file,
    "-d": lambda state: state.is_directory,
    "-r": lambda state: state.exists and state.readable,
    "-x": lambda state: state.exists and state.executable,
    "-s": lambda state: state.exists and state.size > 0,
    "-L": lambda state: state.is_symlink,
    "-h": lambda state: state.is_symlink,
}
_UNJUDGED_FILE_TESTS = frozenset({"-b", "-c", "-g", "-G", "-k", "-O", "-p", "-S", "-t", "-u", "-w"})
_NUMBER_TESTS: Mapping[str, Callable[[int, int], bool]] = {
    "-eq": lambda a, b: a == b,
    "-ne": lambda a, b: a != b,
    "-lt": lambda a, b: a < b,
    "-le": lambda a, b: a <= b,
    "-gt": lambda a, b: a > b,
    "-ge": lambda a, b: a >= b,
}
_TEXT_TESTS: Mapping[str, Callable[[str, str], bool]] = {
    "=": lambda a, b: a == b,
    # Not in POSIX, but in bash, which many systems have as `sh`.
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
}
_UNJUDGED_BINARY_TESTS = frozenset({"-nt", "-ot", "-ef", "<", ">", "=~"})
_BINARY = frozenset({*_NUMBER_TESTS, *_TEXT_TESTS, *_UNJUDGED_BINARY_TESTS})
_INTEGER = re.compile(r"\s*[+-]?[0-9]{1,18}\s*")


_MAXIMUM_ARGUMENTS = 64
"""Arguments of a test. Real ones have seven; the parser is recursive, and a file must not exhaust it."""


class _Malformed(Exception):
    """A test that a shell complains of, and takes for false."""


def bracket_holds(arguments: Sequence[str], files: FileView) -> bool:
    """Whether `test` with these arguments succeeds; CannotJudge for a test that is not known."""
    if len(arguments) > _MAXIMUM_ARGUMENTS:
        raise CannotJudge(f"a test with more than {_MAXIMUM_ARGUMENTS} arguments")
    try:
        return _by_count(list(arguments), files)
    except _Malformed:
        return False


def _by_count(arguments: list[str], files: FileView) -> bool:
    """POSIX decides by the number of arguments, so that a value that looks like an operator is none."""
    match arguments:
        case []:
            return False
        case [one]:
            return one != ""
        case ["!", one]:
            return one == ""
        case [operator, operand]:
            return _unary(operator, operand, files)
        case [left, operator, right] if operator in _BINARY:
            return _binary(left, operator, right)
        case [left, "-a", right]:
            return left != "" and right != ""
        case [left, "-o", right]:
            return left != "" or right != ""
        case ["!", *rest] if len(rest) <= 3:
            return not _by_count(rest, files)
        case ["(", one, ")"]:
            return one != ""
        case ["(", first, second, ")"]:
            return _by_count([first, second], files)
    return _Expression(arguments, files).value()


class _Expression:
    """A longer test with `-a`, `-o`, `!` and parentheses."""

    def __init__(self, arguments: list[str], files: FileView) -> None:
        self._arguments = arguments
        self._files = files
        self._at = 0

    def value(self) -> bool:
        result = self._or()
        if self._at < len(self._arguments):
            raise _Malformed
        return result

    def _peek(self, ahead: int = 0) -> str | None:
        at = self._at + ahead
        return self._arguments[at] if at < len(self._arguments) else None

    def _take(self) -> str:
        taken = self._peek()
        if taken is None:
            raise _Malformed
        self._at += 1
        return taken

    def _or(self) -> bool:
        result = self._and()
        while self._peek() == "-o":
            self._take()
            result = self._and() or result
        return result

    def _and(self) -> bool:
        result = self._primary()
        while self._peek() == "-a":
            self._take()
            result = self._primary() and result
        return result

    def _primary(self) -> bool:
        if self._peek(1) in _BINARY and self._peek(2) is not None:
            return _binary(self._take(), self._take(), self._take())
        first = self._take()
        if first == "!":
            return not self._primary()
        if first == "(":
            result = self._or()
            if self._take() != ")":
                raise _Malformed
            return result
        if first in _FILE_TESTS or first in _UNJUDGED_FILE_TESTS or first in ("-z", "-n"):
            return _unary(first, self._take(), self._files)
        return first != ""


def _unary(operator: str, operand: str, files: FileView) -> bool:
    if operator == "-z":
        return operand == ""
    if operator == "-n":
        return operand != ""
    if operator in _UNJUDGED_FILE_TESTS:
        raise CannotJudge(f"the test `{operator}`")
    if operator not in _FILE_TESTS:
        raise _Malformed
    state = files.state(operand) if operand else None
    return state is not None and _FILE_TESTS[operator](state)


def _binary(left: str, operator: str, right: str) -> bool:
    if operator in _UNJUDGED_BINARY_TESTS:
        raise CannotJudge(f"the test `{operator}`")
    if operator in _TEXT_TESTS:
        return _TEXT_TESTS[operator](left, right)
    if not _INTEGER.fullmatch(left) or not _INTEGER.fullmatch(right):
        raise _Malformed
    return _NUMBER_TESTS[operator](int(left), int(right))


# grep.

MAXIMUM_SEARCHED_BYTES = 1024 * 1024
"""Configurations look into files like `/etc/os-release`, of one kilobyte."""
_MAXIMUM_LINE = 4096
"""Characters of a line that are searched, so that no expression takes long."""


def grep_holds(arguments: Sequence[str], files: FileView) -> bool:
    """Whether `grep` with these arguments finds a line; CannotJudge for options and expressions that are not known."""
    options: set[str] = set()
    patterns: list[str] = []
    names: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument == "--":
            names += rest
        elif argument == "-e":
            patterns.append(next(rest, ""))
        elif argument.startswith("-") and len(argument) > 1:
            options |= set(argument[1:])
        else:
            names.append(argument)
    if not options <= set("qsiEF"):
        raise CannotJudge("`grep` with options other than -q, -s, -i, -E, -F and -e")
    if not patterns:
        patterns, names = names[:1], names[1:]
    if not patterns or not names:
        raise CannotJudge("`grep` without a pattern and a file")
    flags = re.IGNORECASE if "i" in options else re.NOFLAG
    expressions = [_expression(pattern, options) for pattern in patterns]
    compiled = [re.compile(one, flags) for one in expressions]
    for name in names:
        data = files.read(name)
        for line in (data or b"")[:MAXIMUM_SEARCHED_BYTES].decode("utf-8", "surrogateescape").splitlines():
            if any(one.search(line[:_MAXIMUM_LINE]) for one in compiled):
                return True
    return False


def _expression(pattern: str, options: set[str]) -> str:
    """`pattern` as Python writes it. Only what both mean alike is taken; no group is repeated, so that no expression
    takes time without end."""
    if "F" in options:
        return re.escape(pattern)
    extended = "E" in options
    written: list[str] = []
    at = 0
    while at < len(pattern):
        character = pattern[at]
        pair = pattern[at : at + 2]
        at += 1
        if character == "\\":
            at += 1
            if pair == r"\|" and not extended:
                written.append("|")
            elif len(pair) == 2 and not pair[1].isalnum() and (extended or pair[1] not in "(){}+?"):
                written.append(re.escape(pair[1]))
            else:
                raise CannotJudge(f"`grep` with {pair} in its pattern")
        elif character == "[":
            end = pattern.find("]", at + 1 + pattern.startswith("^", at))
            inside = pattern[at:end] if end >= 0 else ""
            if not re.fullmatch(r"\^?[^\[\]\\&~|^]+", inside):
                raise CannotJudge("`grep` with such brackets in its pattern")
            written.append(f"[{inside}]")
            at = end + 1
        elif character in "|+?(){}":
            if not extended:
                written.append(re.escape(character))
            elif character == "|":
                written.append("|")
            else:
                raise CannotJudge(f"`grep -E` with {character} in its pattern")
        elif character in ".^$":
            written.append(character)
        elif character == "*":
            if not written or written[-1] in ("*", "|", "^"):
                raise CannotJudge("`grep` with * at such a place of its pattern")
            written.append("*")
        else:
            written.append(re.escape(character))
    return "".join(written)
