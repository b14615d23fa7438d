"""The words of a stock client's configuration file, as a POSIX shell cuts them.

The files are written for a shell, and this takes them apart by its rules (POSIX.1-2024, XCU 2.2 and 2.3) without
running one: quotes, backslashes, comments, operators, `$NAME`, `${NAME}` with a default, `$((…))`. What only a shell
can do, as `$(command)`, becomes an `Unsupported` part: it matters where the word is used, not where it stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

MAXIMUM_NESTING = 16
"""Expansions within expansions. Real files have two; the parser is recursive, and a file must not exhaust it."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_EXPANSION = re.compile(r"([A-Za-z_][A-Za-z0-9_]*|\$)(:?[-=+])?")
_OPERATORS = ("&&", "||", ";;", "<<", ">>", ">&", "<&", ">|", "<>", ";", "&", "|", "(", ")", "<", ">")
_OPERATOR_CHARACTERS = frozenset("&|;()<>")
_BLANKS = frozenset(" \t")
_END_OF_ARITHMETIC = "))"
_ESCAPED_IN_QUOTES = frozenset('$`"\\')


@dataclass(frozen=True, slots=True)
class Literal:
    """Characters that stand for themselves."""

    text: str
    quoted: bool


@dataclass(frozen=True, slots=True)
class Parameter:
    """The value of the variable `name` (`$` is the process's number). `operator` is one of `-`, `=`, `+`, also with a
    colon before it, and says what `argument` is for; it is empty for a plain value."""

    name: str
    quoted: bool
    operator: str = ""
    argument: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """The number that an expression comes to, after its own expansions."""

    expression: tuple[Part, ...]
    quoted: bool


@dataclass(frozen=True, slots=True)
class Unsupported:
    """Something that only a shell can work out; `what` names it in a message."""

    what: str


Part = Literal | Parameter | Arithmetic | Unsupported


@dataclass(frozen=True, slots=True)
class Word:
    """A word: its parts, and the line it begins on."""

    parts: tuple[Part, ...]
    line: int

    @property
    def bare(self) -> str:
        """The word where nothing of it is quoted or expanded, else nothing: only such a word can be a keyword."""
        if len(self.parts) == 1 and isinstance(self.parts[0], Literal) and not self.parts[0].quoted:
            return self.parts[0].text
        return ""


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator, or the end of a line (`\\n`)."""

    text: str
    line: int


Token = Word | Operator


class NotShell(Exception):
    """The text from `line` on is not what a shell could read; `what` says why. Translated by whoever parses a file."""

    def __init__(self, what: str, line: int) -> None:
        super().__init__(what)
        self.what = what
        self.line = line


def tokens(text: str) -> Iterator[Token]:
    """The words and operators of `text`, as they come; NotShell where a quote or a brace is never closed."""
    return _Cutter(text).tokens()


def assigned_name(word: Word) -> str:
    """The name that `word` assigns to, as in `NAME=value`; nothing where it is no assignment."""
    first = word.parts[0] if word.parts else None
    if not isinstance(first, Literal) or first.quoted:
        return ""
    match = _NAME.match(first.text)
    return match[0] if match and first.text[match.end() : match.end() + 1] == "=" else ""


def assigned_value(word: Word) -> Word:
    """What an assignment assigns."""
    first = word.parts[0]
    assert isinstance(first, Literal), "an assignment begins with a name"
    rest = first.text.partition("=")[2]
    begin: tuple[Part, ...] = (Literal(rest, quoted=False),) if rest else ()
    return Word((*begin, *word.parts[1:]), word.line)


class _Cutter:
    """Goes through a text once, from the front."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._depth = 0

    def tokens(self) -> Iterator[Token]:
        while self._skip_to_token():
            character = self._text[self._at]
            if character == "\n":
                yield Operator("\n", self._line)
                self._take()
            elif character in _OPERATOR_CHARACTERS:
                text = next(one for one in _OPERATORS if self._text.startswith(one, self._at))
                yield Operator(text, self._line)
                self._at += len(text)
            else:
                line = self._line
                yield Word(self._parts(in_word=True), line)

    def _skip_to_token(self) -> bool:
        while self._at < len(self._text):
            if self._text[self._at] in _BLANKS:
                self._at += 1
            elif self._text.startswith("\\\n", self._at):
                self._at += 2
                self._line += 1
            elif self._text[self._at] == "#":
                end = self._text.find("\n", self._at)
                self._at = len(self._text) if end < 0 else end
            else:
                return True
        return False

    def _take(self) -> str:
        character = self._text[self._at]
        self._at += 1
        self._line += character == "\n"
        return character

    def _parts(self, *, in_word: bool = False, closing: str = "", quoted: bool = False) -> tuple[Part, ...]:
        """The parts up to the end of the word (`in_word`) or to `closing`, which is taken off, too.

        `quoted` says that double quotes stand around it, in which single quotes are like other characters."""
        begin, parentheses = self._line, 0
        found = _Parts()
        while self._at < len(self._text):
            character = self._text[self._at]
            if closing and not parentheses and self._text.startswith(closing, self._at):
                self._at += len(closing)
                return found.parts()
            if closing == _END_OF_ARITHMETIC and character in "()":
                parentheses += 1 if character == "(" else -1
            if in_word and (character in _BLANKS or character == "\n" or character in _OPERATOR_CHARACTERS):
                return found.parts()
            if character == "\\":
                self._backslash(found, escaped=_ESCAPED_IN_QUOTES | set(closing[:1]) if quoted else None)
            elif character == "'" and not quoted:
                found.add(self._single_quoted(), quoted=True)
            elif character == '"':
                self._take()
                found.extend(self._parts(closing='"', quoted=True))
                found.add("", quoted=True)
            elif character == "$":
                found.extend((self._dollar(quoted=quoted),))
            elif character == "`":
                self._backquoted()
                found.extend((Unsupported("the output of a command (`…`)"),))
            elif character == "~" and in_word and found.is_home_position():
                self._take()
                found.extend((Unsupported("a home directory (~)"),))
            else:
                found.add(self._take(), quoted=quoted)
        if in_word:
            return found.parts()
        raise NotShell(f"`{closing}` is missing", begin)

    def _backslash(self, found: _Parts, *, escaped: frozenset[str] | None) -> None:
        """A backslash: it takes the meaning from any character, between double quotes only from those in `escaped`."""
        self._take()
        following = self._text[self._at : self._at + 1]
        if following == "\n":
            self._take()
        elif not following or (escaped is not None and following not in escaped):
            found.add("\\", quoted=True)
        else:
            found.add(self._take(), quoted=True)

    def _single_quoted(self) -> str:
        begin = self._line
        end = self._text.find("'", self._at + 1)
        if end < 0:
            raise NotShell("`'` is missing", begin)
        text = self._text[self._at + 1 : end]
        self._at = end + 1
        self._line += text.count("\n")
        return text

    def _dollar(self, *, quoted: bool) -> Part:
        self._take()
        if self._text.startswith("((", self._at):
            return self._arithmetic(quoted=quoted)
        if self._text.startswith("(", self._at):
            self._take()
            self._balanced()
            return Unsupported("the output of a command ($(…))")
        if self._text.startswith("{", self._at):
            return self._in_braces(quoted=quoted)
        name = _NAME.match(self._text, self._at)
        if name:
            self._at = name.end()
            return Parameter(name[0], quoted)
        following = self._text[self._at : self._at + 1]
        if following == "$":
            self._take()
            return Parameter("$", quoted)
        if following and (following.isdigit() or following in "@*#?-!"):
            self._take()
            return Unsupported(f"the shell's own variable ${following}")
        return Literal("$", quoted=True)

    def _in_braces(self, *, quoted: bool) -> Part:
        begin = self._line
        self._take()
        match = _EXPANSION.match(self._text, self._at)
        if match and self._text.startswith("}", match.end()) and not match[2]:
            self._at = match.end() + 1
            return Parameter(match[1], quoted)
        if match and match[2]:
            self._at = match.end()
            argument = self._nested("}", begin, quoted=quoted)
            return Parameter(match[1], quoted, match[2], argument)
        self._nested("}", begin, quoted=quoted)
        return Unsupported("an expansion other than ${NAME}, :-, :=, :+, -, = and +")

    def _arithmetic(self, *, quoted: bool) -> Part:
        begin = self._line
        self._at += 2
        return Arithmetic(self._nested(_END_OF_ARITHMETIC, begin, quoted=True), quoted)

    def _nested(self, closing: str, line: int, *, quoted: bool) -> tuple[Part, ...]:
        self._depth += 1
        if self._depth > MAXIMUM_NESTING:
            raise NotShell(f"more than {MAXIMUM_NESTING} expansions are within each other", line)
        parts = self._parts(closing=closing, quoted=quoted)
        self._depth -= 1
        return parts

    def _balanced(self) -> None:
        """Goes past the `)` that belongs to a `(` which is behind us."""
        begin, depth = self._line, 1
        while self._at < len(self._text):
            character = self._take()
            if character == "\\" and self._at < len(self._text):
                self._take()
            elif character == "'":
                self._at -= 1
                self._single_quoted()
            elif character in "()":
                depth += 1 if character == "(" else -1
                if depth == 0:
                    return
        raise NotShell("`)` is missing", begin)

    def _backquoted(self) -> None:
        begin = self._line
        self._take()
        while self._at < len(self._text):
            character = self._take()
            if character == "`":
                return
            if character == "\\" and self._at < len(self._text):
                self._take()
        raise NotShell("a backquote is missing", begin)


class _Parts:
    """Parts as they are found; neighbours of one kind are one literal."""

    def __init__(self) -> None:
        self._found: list[Part] = []
        self._text: list[str] = []
        self._quoted = False

    def add(self, text: str, *, quoted: bool) -> None:
        if quoted != self._quoted:
            self._flush()
            self._quoted = quoted
        self._text.append(text)

    def extend(self, parts: tuple[Part, ...]) -> None:
        self._flush()
        self._found += parts

    def is_home_position(self) -> bool:
        """Whether a `~` here would stand for a home directory: it begins the word, or what is assigned."""
        if not self._found and not self._quoted:
            text = "".join(self._text)
            return not text or (text.endswith(("=", ":")) and _NAME.match(text) is not None and "=" in text)
        return False

    def parts(self) -> tuple[Part, ...]:
        self._flush()
        return tuple(self._found)

    def _flush(self) -> None:
        if self._text:
            self._found.append(Literal("".join(self._text), self._quoted))
            self._text = []
