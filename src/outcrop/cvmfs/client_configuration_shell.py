"""Running the statements of a stock client's configuration file, without a shell.

Understood are assignments (also by `export`, `readonly`, `${NAME:=value}` and `eval`), `unset`, `:`, `true`, `false`,
`test`, `[`, `grep`, and `.` or `source` for another file. Every variable knows the line that it was set on. What only a
shell could run is left out, the smallest statement that it stands in, and told of.

In a condition, what cannot be judged leaves out the whole `if`.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from outcrop.cvmfs.client_configuration_arithmetic import arithmetic
from outcrop.cvmfs.client_configuration_conditions import (
    CannotJudge,
    FileState,
    FileView,
    bracket_holds,
    grep_holds,
)
from outcrop.cvmfs.client_configuration_grammar import (
    Chain,
    Command,
    Group,
    If,
    Negation,
    NotUnderstood,
    Redirection,
    Statement,
    parse,
)
from outcrop.cvmfs.client_configuration_words import (
    Arithmetic,
    Literal,
    Parameter,
    Part,
    Unsupported,
    Word,
    assigned_name,
    assigned_value,
)
from outcrop.errors import FormatError

MAXIMUM_FILES = 32
"""Files that one file reads in, at most. Real ones read one; a file that reads itself in must come to an end."""
MAXIMUM_FILE_DEPTH = 4
"""Files that read in files. Each level runs statements within statements."""
MAXIMUM_VALUE = 64 * 1024
"""Characters of a value. The longest real one, a list of servers, has 3,000; a value can double on every line."""

_BLANKS = re.compile(r"[ \t\n]+")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Origin:
    """A line of a file."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Variable:
    """A value, and where it was set; None stands for the surroundings."""

    value: str
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class _Segment:
    """A piece of an expanded word. Blanks in it end a field if `splits`; quotes make a field even of nothing."""

    text: str
    splits: bool
    quoted: bool


class _LeftOut(Exception):
    """A statement that is not run, and why not."""

    def __init__(self, what: str, line: int, why: str = "only a shell could run it") -> None:
        super().__init__(what)
        self.what = what
        self.line = line
        self.why = why


class Run:
    """One file, run once. `variables` changes on the way, `own` collects the names that the file itself assigns,
    `warnings` sentences on what was left out; a FormatError is raised instead where the reading is `strict`."""

    def __init__(
        self, path: str, variables: dict[str, Variable], files: FileView, process: int, *, strict: bool
    ) -> None:
        self.variables = variables
        self.own: set[str] = set()
        self.warnings: list[str] = []
        self._path = path
        self._files = _Beside(files, posixpath.dirname(path))
        self._process = process
        self._strict = strict
        self._readonly: set[str] = set()
        self._files_read = 0
        self._depth = 0
        self._within = 0
        self._commands: Mapping[str, Callable[[Sequence[str], int], bool]] = {
            ":": lambda _arguments, _line: True,
            "true": lambda _arguments, _line: True,
            "false": lambda _arguments, _line: False,
            "[": self._bracket,
            "test": lambda arguments, _line: bracket_holds(arguments, self._files),
            "grep": lambda arguments, _line: grep_holds(arguments, self._files),
            "unset": self._unset,
            "eval": self._eval,
            ".": self._source,
            "source": self._source,
        }

    def read(self, text: str) -> None:
        """Runs the statements of `text`."""
        script = parse(text)
        self._run(script.statements)
        if script.failure is not None:
            self._tell("the rest of the file", script.failure.line, script.failure.what)

    def _run(self, statements: Sequence[Statement]) -> None:
        for statement in statements:
            try:
                self._status(statement)
            except _LeftOut as reason:
                self._tell(reason.what, reason.line, reason.why)

    def _tell(self, what: str, line: int, why: str) -> None:
        if self._strict:
            raise FormatError(
                what=self._path,
                field=f"line {line}",
                problem=f"has something that is not understood: {what} ({why})",
                hint=f"edit {self._path}: write what is meant as an assignment, or an `if` with `[ … ]`",
            )
        self.warnings.append(f"{Origin(self._path, line)}: {what} is left out: {why}")

    def _status(self, statement: Statement) -> bool:
        """Whether `statement` succeeds."""
        match statement:
            case Command():
                return self._command(statement)
            case Negation(inner, _line):
                return not self._status(inner)
            case Chain(first, rest, _line):
                status = self._status(first)
                for operator, following in rest:
                    if status == (operator == "&&"):
                        status = self._status(following)
                return status
            case Group(statements, _line):
                return self._all(statements)
            case If(branches, otherwise, _line):
                for branch in branches:
                    if self._all(branch.condition):
                        self._run(branch.body)
                        return True
                self._run(otherwise)
                return True
            case NotUnderstood(what, line):
                raise _LeftOut(what, line)

    def _all(self, statements: Sequence[Statement]) -> bool:
        """Whether the last one succeeds."""
        status = True
        for statement in statements:
            status = self._status(statement)
        return status

    def _command(self, command: Command) -> bool:
        for redirection in command.redirections:
            self._check(redirection, command.line)
        if not command.words:
            for assignment in command.assignments:
                self._assign_word(assignment.name, assignment.value)
            return True
        name = command.words[0].bare
        if command.assignments:
            raise _LeftOut(f"variables for one command ({name or 'a command'})", command.line)
        if name in ("export", "readonly"):
            return self._declare(name, command.words[1:])
        fields = [field for word in command.words for field in self._fields(word)]
        if not fields:
            return True
        run = self._commands.get(fields[0])
        if run is None:
            raise _LeftOut(f"the command `{fields[0]}`", command.line)
        try:
            return run(fields[1:], command.line)
        except CannotJudge as reason:
            raise _LeftOut(str(reason), command.line) from reason

    def _check(self, redirection: Redirection, line: int) -> None:
        """Output into nothing does not matter; any other redirection does something."""
        target = redirection.target.bare
        silences = redirection.operator in (">", ">>") and target == "/dev/null"
        if not silences and not (redirection.operator == ">&" and target.isdigit()):
            raise _LeftOut(f"a redirection ({redirection.operator})", line)

    # Commands.

    def _bracket(self, arguments: Sequence[str], line: int) -> bool:
        if not arguments or arguments[-1] != "]":
            raise _LeftOut("a `[` without its `]`", line)
        return bracket_holds(arguments[:-1], self._files)

    def _declare(self, command: str, words: Sequence[Word]) -> bool:
        for word in words:
            name = assigned_name(word)
            if name:
                self._assign_word(name, assigned_value(word))
            names = [name] if name else self._fields(word)
            for one in names:
                if not _NAME.fullmatch(one):
                    raise _LeftOut(f"`{command} {one}`", word.line)
                if command == "readonly":
                    self._readonly.add(one)
        return True

    def _unset(self, arguments: Sequence[str], line: int) -> bool:
        for name in arguments:
            if not _NAME.fullmatch(name):
                raise _LeftOut(f"`unset {name}`", line)
            self._check_writable(name, line)
            self.variables.pop(name, None)
        return True

    def _eval(self, arguments: Sequence[str], line: int) -> bool:
        self._enter(line)
        # Empty lines in front keep the numbers of lines right.
        try:
            self.read("\n" * (line - 1) + " ".join(arguments))
        finally:
            self._depth -= 1
        return True

    def _source(self, arguments: Sequence[str], line: int) -> bool:
        if len(arguments) != 1:
            raise _LeftOut("`.` with something else than one file", line)
        path = self._files.path(arguments[0])
        data = self._files.read(arguments[0])
        if data is None:
            raise _LeftOut(f"`. {arguments[0]}`", line, "there is no such file that can be read")
        self._enter(line)
        outer, self._path = self._path, path
        self._within += 1
        try:
            self.read(data.decode("utf-8", "surrogateescape"))
        finally:
            self._within -= 1
            self._depth -= 1
            self._path = outer
        return True

    def _enter(self, line: int) -> None:
        if self._files_read == MAXIMUM_FILES or self._depth == MAXIMUM_FILE_DEPTH:
            raise _LeftOut("a file that is read in", line, "there are too many of them")
        self._files_read += 1
        self._depth += 1

    # Variables.

    def _assign_word(self, name: str, word: Word) -> None:
        value = "".join(segment.text for segment in self._segments(word.parts, word.line))
        before = self.variables.get(name)
        if before is not None and before.value == value and _mentions(word.parts, name):
            # `X="$X"` and `X=${X:-y}` hand on what is there; who has set it stays the same.
            self._note_own(name)
            return
        self._assign(name, value, word.line)

    def _assign(self, name: str, value: str, line: int) -> None:
        self._check_writable(name, line)
        if len(value) > MAXIMUM_VALUE:
            raise _LeftOut(f"a value of {name}", line, f"it has more than {MAXIMUM_VALUE:,} characters")
        self._note_own(name)
        self.variables[name] = Variable(value, Origin(self._path, line))

    def _note_own(self, name: str) -> None:
        if not self._within:
            self.own.add(name)

    def _check_writable(self, name: str, line: int) -> None:
        if name in self._readonly:
            raise _LeftOut(f"a change of {name}", line, "it is read-only")

    # Expansion.

    def _fields(self, word: Word) -> list[str]:
        """The arguments that `word` becomes: none, one or several."""
        fields: list[str] = []
        current: str | None = None
        for segment in self._segments(word.parts, word.line):
            pieces = _BLANKS.split(segment.text) if segment.splits else [segment.text]
            for index, piece in enumerate(pieces):
                if index and current is not None:
                    fields.append(current)
                    current = None
                if piece or segment.quoted:
                    current = (current or "") + piece
        return fields if current is None else [*fields, current]

    def _segments(self, parts: Sequence[Part], line: int, *, splits: bool = False) -> Iterator[_Segment]:
        """What `parts` become; `splits` says that blanks in them, too, are the result of an expansion."""
        for part in parts:
            match part:
                case Literal(text, quoted):
                    yield _Segment(text, splits and not quoted, quoted)
                case Parameter():
                    yield from self._parameter(part, line)
                case Arithmetic(expression, quoted):
                    text = "".join(segment.text for segment in self._segments(expression, line))
                    try:
                        number = arithmetic(text, self._value)
                    except CannotJudge as reason:
                        raise _LeftOut(str(reason), line) from reason
                    yield _Segment(str(number), not quoted, quoted)
                case Unsupported(what):
                    raise _LeftOut(what, line)

    def _parameter(self, part: Parameter, line: int) -> Iterator[_Segment]:
        if part.name == "$":
            yield _Segment(str(self._process), not part.quoted, part.quoted)
            return
        held = self.variables.get(part.name)
        present = held is not None and not (part.operator.startswith(":") and held.value == "")
        kind = part.operator[-1:]
        if kind == "+":
            if present:
                yield from self._segments(part.argument, line, splits=True)
            return
        if kind and not present:
            if kind == "-":
                yield from self._segments(part.argument, line, splits=True)
                return
            value = "".join(segment.text for segment in self._segments(part.argument, line))
            self._assign(part.name, value, line)
        yield _Segment(self._value(part.name), not part.quoted, part.quoted)

    def _value(self, name: str) -> str:
        held = self.variables.get(name)
        return held.value if held is not None else ""


def _mentions(parts: Sequence[Part], name: str) -> bool:
    return any(isinstance(part, Parameter) and part.name == name for part in parts)


@dataclass(frozen=True, slots=True)
class _Beside:
    """The files as a shell sees them that was started in `directory`."""

    files: FileView
    directory: str

    def path(self, path: str) -> str:
        return posixpath.normpath(posixpath.join(self.directory, path))

    def read(self, path: str) -> bytes | None:
        return self.files.read(self.path(path))

    def state(self, path: str) -> FileState | None:
        return self.files.state(self.path(path))

    def names(self, path: str) -> Sequence[str]:
        return self.files.names(self.path(path))
