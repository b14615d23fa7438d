"""`/.cvmfsdirtab`: which directories of a repository are to be nested catalogs, one rule a line.

- Empty lines and lines that begin with `#` say nothing; blanks around a rule do not count.
- A plain rule is an absolute path, component by component. `*` stands for any bytes of one name, `?` for one byte,
  `[abc]`, `[a-z]` and `[!a]` for one byte of a set; names that begin with a dot are no exception. A backslash takes the
  meaning from the special character behind it. A `[` that nothing closes is itself.
- A rule behind `!` excludes what it matches. There `*` stands for `/` too. An absolute exclusion is compared with the
  whole path, a relative one with its end: `! */common`, `! *.git` and `! common` all do what they look like.
- Slashes at the end, and several in a row, make no difference.

A directory is to be nested where a plain rule matches and no exclusion does. What the reference implementation refuses
(a relative plain rule, an unknown escape, a rule that is excluded by itself) is a FormatError here too.

Sources: the reference's documentation ("Managing Nested Catalogs") and its observed behaviour. It gives a relative
exclusion that begins with no wildcard nothing to match and takes brackets in exclusions literally; both are read here
as the same line would be read elsewhere in the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from outcrop.errors import FormatError

DIRTAB_NAME = b".cvmfsdirtab"
"""The file's name in the root directory."""

MAXIMUM_DIRTAB_BYTES = 1024 * 1024
"""Every publish reads the file: the longest known ones have a few hundred lines."""

_BLANKS = b" \t\r\v\f"
_SLASH, _BACKSLASH, _OPENING, _CLOSING, _DASH = b"/\\[]-"
_SPECIAL = frozenset(b"*?[]\\")
_COLLATIONS = re.compile(rb"\[[:.=]")

_ByteSet = frozenset[int]
_ANY_BYTE: _ByteSet = frozenset(range(256)) - {_SLASH}
_STAR: _ByteSet = frozenset()
"""Any number of bytes. (A set that no byte is in cannot be written otherwise.)"""

_Glob = tuple[_ByteSet, ...]
_NOTHING = re.compile(rb"(?!)")


@dataclass(frozen=True, slots=True)
class _Rule:
    """The components of one pattern, and whether it begins with a slash."""

    components: tuple[_Glob, ...]
    is_absolute: bool


class Dirtab:
    """The rules of one file. Paths are those of the repository: absolute, `b""` for the root."""

    def __init__(self, inclusions: Iterable[_Rule], exclusions: Iterable[_Rule]) -> None:
        rules = [rule.components for rule in inclusions]
        deepest = max(map(len, rules), default=0)
        self._inclusions = _alternatives(_strict(rule) for rule in rules)
        self._exclusions = _alternatives(_crossing(rule) for rule in exclusions)
        self._leading = [
            _alternatives(_strict(rule[:depth]) for rule in rules if len(rule) > depth) for depth in range(deepest)
        ]

    @classmethod
    def parse(cls, data: bytes, what: str = "/.cvmfsdirtab") -> Dirtab:
        """The rules in the file `data`; FormatError names `what` and the first line that is wrong."""
        if len(data) > MAXIMUM_DIRTAB_BYTES:
            raise FormatError(what=what, field="its size", problem=f"is more than {MAXIMUM_DIRTAB_BYTES} bytes")
        inclusions: dict[_Rule, int] = {}
        exclusions: dict[_Rule, int] = {}
        for number, line in enumerate(data.split(b"\n"), start=1):
            text = line.strip(_BLANKS)
            excludes = text.startswith(b"!")
            pattern = text[1:].strip(_BLANKS) if excludes else text
            if not pattern or text.startswith(b"#"):
                continue
            rule = _parsed(pattern, what, number)
            if not excludes and not rule.is_absolute:
                raise _wrong(what, number, "is no absolute path: a rule begins with `/`, an exclusion with `!`")
            (exclusions if excludes else inclusions).setdefault(rule, number)
        for rule, number in exclusions.items():
            if rule in inclusions:
                raise _wrong(what, number, f"excludes exactly what line {inclusions[rule]} asks for")
        return cls(inclusions, exclusions)

    def matches(self, path: bytes) -> bool:
        """Whether the directory at `path` is to be a nested catalog."""
        return self._inclusions.fullmatch(path) is not None and self._exclusions.fullmatch(path) is None

    def leads_to(self, path: bytes) -> bool:
        """Whether something below `path` may match: a walk that looks for matches ends where this is false."""
        depth = path.count(b"/")
        return depth < len(self._leading) and self._leading[depth].fullmatch(path) is not None


def _wrong(what: str, line: int, problem: str) -> FormatError:
    return FormatError(
        what=what, field=f"line {line}", problem=problem, hint=f"mend line {line} of {what} and publish it again"
    )


def _parsed(pattern: bytes, what: str, line: int) -> _Rule:
    texts = [text for text in pattern.split(b"/") if text]
    if not texts:
        raise _wrong(what, line, "names the root, which is a catalog anyway")
    if not {b".", b".."}.isdisjoint(texts):
        raise _wrong(what, line, "has `.` or `..` in it, which no path of a repository has")
    try:
        components = tuple(tuple(_glob(text)) for text in texts)
    except ValueError as error:
        raise _wrong(what, line, str(error)) from error
    return _Rule(components, pattern.startswith(b"/"))


def _glob(text: bytes) -> Iterator[_ByteSet]:
    """The byte sets that `text` spells, one for each byte of a name; ValueError says what is wrong with it."""
    at = 0
    while at < len(text):
        byte = text[at]
        at += 1
        if byte == _BACKSLASH:
            if at == len(text) or text[at] not in _SPECIAL:
                raise ValueError("has a backslash before something other than `*`, `?`, `[`, `]` and `\\`")
            yield frozenset((text[at],))
            at += 1
        elif byte == _OPENING and (end := _closing(text, at)) is not None:
            yield _byte_set(text[at:end])
            at = end + 1
        elif byte == ord("*"):
            yield _STAR
        else:
            yield _ANY_BYTE if byte == ord("?") else frozenset((byte,))


def _closing(text: bytes, begin: int) -> int | None:
    """Where the bracket closes whose inside begins at `begin`: the first one inside is a byte like others."""
    at = begin + (text[begin : begin + 1] in (b"!", b"^"))
    first = at
    while at < len(text):
        if text[at] == _CLOSING and at > first:
            return at
        at += 2 if text[at] == _BACKSLASH else 1
    return None


def _byte_set(inside: bytes) -> _ByteSet:
    if _COLLATIONS.search(inside):
        raise ValueError("names a class of characters in brackets; write its characters or a range of them")
    negated = inside[:1] in (b"!", b"^")
    letters = list(_letters(inside[negated:]))
    found: set[int] = set()
    at = 0
    while at < len(letters):
        first = last = letters[at][0]
        if at + 2 < len(letters) and letters[at + 1] == (_DASH, True):
            last = letters[at + 2][0]
            at += 2
        if last < first:
            raise ValueError(f"has the range {bytes((first, _DASH, last))!r} in brackets, which holds nothing")
        found.update(range(first, last + 1))
        at += 1
    chosen = (_ANY_BYTE - found) if negated else (_ANY_BYTE & found)
    if not chosen:
        raise ValueError("has brackets that no byte fits")
    return chosen


def _letters(inside: bytes) -> Iterator[tuple[int, bool]]:
    """The bytes between brackets, each with whether it stands there without a backslash."""
    at = 0
    while at < len(inside):
        escaped = inside[at] == _BACKSLASH and at + 1 < len(inside)
        at += escaped
        yield inside[at], not escaped
        at += 1


def _alternatives(expressions: Iterable[bytes]) -> re.Pattern[bytes]:
    unique = list(dict.fromkeys(expressions))
    return re.compile(b"|".join(unique), re.DOTALL) if unique else _NOTHING


def _strict(components: Sequence[_Glob]) -> bytes:
    """The expression for a path whose names match `components`, one each."""
    return b"".join(b"/" + _expression(component, b"[^/]") for component in components)


def _crossing(rule: _Rule) -> bytes:
    """The expression for a path that `rule` excludes: stars cross slashes, a relative rule matches the end."""
    slash = frozenset((_SLASH,))
    glob: list[_ByteSet] = []
    for component in rule.components:
        glob += [slash, *component]
    if not rule.is_absolute:
        glob = glob[1:] if glob[1] == _STAR else [_STAR, *glob]
    return _expression(glob, b".")


def _expression(glob: Sequence[_ByteSet], star: bytes) -> bytes:
    """`glob` as a regular expression in which each star but the last takes as little as it can, once and for all.

    That is enough for a whole match, and keeps the time from growing with every star.
    """
    pieces = [
        (is_star, b"" if is_star else b"".join(map(_one_byte, group)))
        for is_star, group in groupby(glob, key=lambda each: each == _STAR)
    ]
    last = max((index for index, (is_star, _) in enumerate(pieces) if is_star), default=-1)
    written = b""
    for index, (is_star, text) in enumerate(pieces):
        if not is_star:
            after_lazy_star = 0 < index <= last
            written += text + (b")" if after_lazy_star else b"")
        else:
            written += star + b"*" if index == last else b"(?>" + star + b"*?"
    return written


def _one_byte(choice: _ByteSet) -> bytes:
    if choice == _ANY_BYTE:
        return b"[^/]"
    if len(choice) == 1:
        return re.escape(bytes(choice))
    return b"[" + b"".join(b"\\x%02x" % byte for byte in sorted(choice)) + b"]"


NO_RULES = Dirtab((), ())
"""What a repository without a `.cvmfsdirtab` has."""


def rule_for(path: bytes) -> bytes | None:
    """The rule that matches `path` alone; None for the root, and for a name with a line end, which no line can hold."""
    if not path or b"\n" in path:
        return None
    return b"".join(b"[%c]" % byte if byte in _BLANKS else _escaped(byte) for byte in path)


def _escaped(byte: int) -> bytes:
    return b"\\%c" % byte if byte in _SPECIAL else bytes((byte,))
