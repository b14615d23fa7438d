"""The statements of a stock client's configuration file.

What real files use is understood: assignments, `if`, `&&`, `||`, `!`, braces, plain commands. Loops, functions, pipes
and the like are `NotUnderstood` statements that know where they end, so that what stands around them still counts.
Nothing is evaluated here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from outcrop.cvmfs.client_configuration_words import (
    NotShell,
    Operator,
    Token,
    Word,
    assigned_name,
    assigned_value,
    tokens,
)

MAXIMUM_DEPTH = 16
"""Statements within statements. Real files have three; the parser is recursive, and a file must not exhaust it."""


@dataclass(frozen=True, slots=True)
class Assignment:
    name: str
    value: Word

    @property
    def line(self) -> int:
        return self.value.line


@dataclass(frozen=True, slots=True)
class Redirection:
    operator: str
    target: Word


@dataclass(frozen=True, slots=True)
class Command:
    """Assignments, or a command's words with assignments before them."""

    assignments: tuple[Assignment, ...]
    words: tuple[Word, ...]
    redirections: tuple[Redirection, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Negation:
    statement: Statement
    line: int


@dataclass(frozen=True, slots=True)
class Chain:
    """Statements joined by `&&` and `||`: each is run if the one before ended as its operator wants."""

    first: Statement
    rest: tuple[tuple[str, Statement], ...]
    line: int


@dataclass(frozen=True, slots=True)
class Group:
    """Statements between braces."""

    statements: tuple[Statement, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Branch:
    condition: tuple[Statement, ...]
    body: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class If:
    """The first branch whose condition holds; `otherwise` where none does."""

    branches: tuple[Branch, ...]
    otherwise: tuple[Statement, ...]
    line: int


@dataclass(frozen=True, slots=True)
class NotUnderstood:
    """A statement that only a shell could run; `what` names it in a message."""

    what: str
    line: int


Statement = Command | Negation | Chain | Group | If | NotUnderstood


@dataclass(frozen=True, slots=True)
class Script:
    """A file's statements. `failure` says what ended the reading early: what stands before it holds, as for a shell."""

    statements: tuple[Statement, ...]
    failure: NotUnderstood | None = None


_CLOSERS = {"for": "done", "while": "done", "until": "done", "select": "done", "case": "esac"}
_LOOP_NAMES = {"for": "a `for` loop", "while": "a `while` loop", "until": "an `until` loop", "case": "a `case`"}
_RESERVED_ENDS = frozenset({"then", "else", "elif", "fi", "do", "done", "esac", "}"})
_REDIRECTIONS = frozenset({"<", ">", ">>", ">&", "<&", ">|", "<>"})


def parse(text: str) -> Script:
    """The statements of `text`."""
    return _Parser(text).script()


@dataclass
class _Parser:
    """Recursive descent with one token of look-ahead."""

    text: str
    _tokens: list[Token] = field(default_factory=list)
    _broken: NotShell | None = None
    _at: int = 0
    _depth: int = 0

    def script(self) -> Script:
        try:
            for token in tokens(self.text):
                self._tokens.append(token)
        except NotShell as error:
            # What stands before is still taken, up to the statement that the error is in.
            self._broken = error
        statements: list[Statement] = []
        try:
            while self._skip_separators():
                statements.append(self._chain())
                self._end_of_statement()
        except NotShell as error:
            return Script(tuple(statements), NotUnderstood(error.what, error.line))
        if self._broken is not None:
            # The last statement may have been cut in two.
            return Script(
                tuple(one for one in statements if one.line < self._broken.line),
                NotUnderstood(self._broken.what, self._broken.line),
            )
        return Script(tuple(statements))

    def _peek(self) -> Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _line(self) -> int:
        token = self._peek() or (self._tokens[-1] if self._tokens else None)
        return token.line if token else 1

    def _is_operator(self, *texts: str) -> bool:
        token = self._peek()
        return isinstance(token, Operator) and token.text in texts

    def _keyword(self) -> str:
        token = self._peek()
        return token.bare if isinstance(token, Word) else ""

    def _skip_newlines(self) -> None:
        while self._is_operator("\n"):
            self._at += 1

    def _skip_separators(self) -> bool:
        """Goes to the next statement; False where there is none."""
        while self._is_operator("\n", ";"):
            self._at += 1
        return self._peek() is not None

    def _end_of_statement(self) -> None:
        if self._peek() is None or self._is_operator("\n", ";"):
            return
        token = self._peek()
        shown = token.text if isinstance(token, Operator) else f"`{token.bare}`" if token and token.bare else "a word"
        raise NotShell(f"{shown} is not expected here", self._line())

    def _expect(self, keyword: str, opened: int) -> None:
        if self._keyword() != keyword:
            if self._peek() is None:
                raise NotShell(f"`{keyword}` is missing", opened)
            raise NotShell(f"`{keyword}` is expected here", self._line())
        self._at += 1

    def _until(self, *ends: str) -> tuple[Statement, ...]:
        """Statements up to one of the keywords `ends`, which stays."""
        statements: list[Statement] = []
        while self._skip_separators() and self._keyword() not in ends:
            if self._keyword() in _RESERVED_ENDS:
                raise NotShell(f"`{self._keyword()}` is not expected here", self._line())
            statements.append(self._chain())
            if self._peek() is not None and not self._is_operator("\n", ";"):
                self._end_of_statement()
        if not statements and self._peek() is not None:
            raise NotShell(f"nothing stands before `{self._keyword()}`", self._line())
        return tuple(statements)

    def _chain(self) -> Statement:
        line = self._line()
        first = self._pipeline()
        rest: list[tuple[str, Statement]] = []
        while self._is_operator("&&", "||"):
            token = self._tokens[self._at]
            assert isinstance(token, Operator), "an operator was seen"
            self._at += 1
            self._skip_newlines()
            rest.append((token.text, self._pipeline()))
        statement: Statement = Chain(first, tuple(rest), line) if rest else first
        if self._is_operator("&"):
            self._at += 1
            return NotUnderstood("a command in the background (&)", line)
        return statement

    def _pipeline(self) -> Statement:
        line = self._line()
        negated = False
        while self._keyword() == "!":
            self._at += 1
            negated = not negated
        statement = self._statement()
        while self._is_operator("|"):
            self._at += 1
            self._skip_newlines()
            self._statement()
            statement = NotUnderstood("a pipe (|)", line)
        return Negation(statement, line) if negated else statement

    def _statement(self) -> Statement:
        self._depth += 1
        if self._depth > MAXIMUM_DEPTH:
            raise NotShell(f"more than {MAXIMUM_DEPTH} statements are within each other", self._line())
        try:
            return self._one_statement()
        finally:
            self._depth -= 1

    def _one_statement(self) -> Statement:
        line, keyword = self._line(), self._keyword()
        if keyword == "if":
            return self._with_redirections(self._if(), line)
        if keyword == "{":
            self._at += 1
            statements = self._until("}")
            self._expect("}", line)
            return self._with_redirections(Group(statements, line), line)
        if keyword in _CLOSERS:
            self._skip_to(_CLOSERS[keyword])
            return NotUnderstood(_LOOP_NAMES.get(keyword, f"a `{keyword}`"), line)
        if self._is_operator("("):
            self._skip_parentheses()
            return NotUnderstood("commands in parentheses", line)
        if keyword == "function" or self._is_function():
            self._skip_function()
            return NotUnderstood("a function", line)
        if keyword in _RESERVED_ENDS:
            raise NotShell(f"`{keyword}` is not expected here", line)
        return self._command()

    def _if(self) -> Statement:
        line = self._line()
        branches: list[Branch] = []
        otherwise: tuple[Statement, ...] = ()
        while not branches or self._keyword() == "elif":
            self._at += 1
            condition = self._until("then")
            self._expect("then", line)
            branches.append(Branch(condition, self._until("elif", "else", "fi")))
        if self._keyword() == "else":
            self._at += 1
            otherwise = self._until("fi")
        self._expect("fi", line)
        return If(tuple(branches), otherwise, line)

    def _with_redirections(self, statement: Statement, line: int) -> Statement:
        if not self._redirections():
            return statement
        return NotUnderstood("a redirection of several commands", line)

    def _command(self) -> Statement:
        line = self._line()
        assignments: list[Assignment] = []
        words: list[Word] = []
        redirections: list[Redirection] = []
        while True:
            redirections += self._redirections()
            token = self._peek()
            if not isinstance(token, Word):
                break
            self._at += 1
            name = assigned_name(token) if not words else ""
            if name:
                assignments.append(Assignment(name, assigned_value(token)))
            else:
                words.append(token)
        if not assignments and not words:
            token = self._peek()
            shown = token.text if isinstance(token, Operator) and token.text != "\n" else "the end of the line"
            raise NotShell(f"`{shown}` is not expected here" if token else "a command is missing", line)
        return Command(tuple(assignments), tuple(words), tuple(redirections), line)

    def _redirections(self) -> list[Redirection]:
        found: list[Redirection] = []
        while True:
            skipped = self._keyword().isdigit() and self._at + 1 < len(self._tokens)
            token = self._tokens[self._at + 1] if skipped else self._peek()
            if not isinstance(token, Operator) or token.text not in (*_REDIRECTIONS, "<<"):
                return found
            if token.text == "<<":
                raise NotShell("a here-document (<<) is not understood", token.line)
            self._at += 1 + skipped
            target = self._peek()
            if not isinstance(target, Word):
                raise NotShell(f"a file is missing after `{token.text}`", token.line)
            self._at += 1
            found.append(Redirection(token.text, target))

    def _is_function(self) -> bool:
        following = self._tokens[self._at + 1 : self._at + 3]
        return bool(self._keyword()) and [one.text for one in following if isinstance(one, Operator)] == ["(", ")"]

    def _skip_function(self) -> None:
        line = self._line()
        while not (self._keyword() == "{" or (self._is_operator("(") and not self._is_operator_pair())):
            if self._peek() is None:
                raise NotShell("the body of a function is missing", line)
            self._at += 1
        if self._keyword() == "{":
            self._skip_to("}")
        else:
            self._skip_parentheses()

    def _is_operator_pair(self) -> bool:
        """Whether `()` stands here."""
        following = self._tokens[self._at + 1] if self._at + 1 < len(self._tokens) else None
        return isinstance(following, Operator) and following.text == ")"

    def _skip_to(self, closer: str) -> None:
        """Goes past the `closer` that belongs to the opening keyword here."""
        opened = self._line()
        openers = {keyword for keyword, end in _CLOSERS.items() if end == closer} or {"{"}
        depth, starts = 0, True
        while (token := self._peek()) is not None:
            self._at += 1
            if isinstance(token, Operator):
                starts = True
                continue
            if starts and token.bare in openers:
                depth += 1
            elif starts and token.bare == closer:
                depth -= 1
                if depth == 0:
                    return
            # After these keywords a command begins; `in` is followed by the patterns of a `case`.
            starts = token.bare in {"then", "else", "elif", "do", "if", "!", "{", "in", *_CLOSERS.values(), *openers}
        raise NotShell(f"`{closer}` is missing", opened)

    def _skip_parentheses(self) -> None:
        opened, depth = self._line(), 0
        while self._peek() is not None:
            depth += self._is_operator("(") - self._is_operator(")")
            self._at += 1
            if depth == 0:
                return
        raise NotShell("`)` is missing", opened)
