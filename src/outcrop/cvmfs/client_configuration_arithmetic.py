"""What an arithmetic expansion, `$((…))`, of a stock client's configuration file comes to.

Signed numbers of 64 bits, decimal or octal, variables by name, and C's operators as far as they change nothing. Real
files use it to choose one of two lists by the number of the process.

Source: POSIX.1-2024, XCU 2.6.4.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from outcrop.cvmfs.client_configuration_conditions import CannotJudge

_ARITHMETIC_TOKEN = re.compile(r"\s*(?:(\d+)|([A-Za-z_]\w*)|(&&|\|\||[=!<>]=|[-+*/%()<>!]))")


def _quotient(dividend: int, divisor: int) -> int:
    """Division as in C: towards zero."""
    if divisor == 0:
        raise CannotJudge("a division by zero")
    quotient = abs(dividend) // abs(divisor)
    return quotient if (dividend < 0) == (divisor < 0) else -quotient


_LEVELS: Sequence[Mapping[str, Callable[[int, int], int]]] = (
    {"||": lambda a, b: int(bool(a) or bool(b))},
    {"&&": lambda a, b: int(bool(a) and bool(b))},
    {"==": lambda a, b: int(a == b), "!=": lambda a, b: int(a != b)},
    {
        "<": lambda a, b: int(a < b),
        "<=": lambda a, b: int(a <= b),
        ">": lambda a, b: int(a > b),
        ">=": lambda a, b: int(a >= b),
    },
    {"+": lambda a, b: a + b, "-": lambda a, b: a - b},
    {"*": lambda a, b: a * b, "/": _quotient, "%": lambda a, b: a - b * _quotient(a, b)},
)
"""The operators, those that bind weakest first."""
_MAXIMUM_EXPRESSION = 100
"""Characters of an expression. Real ones have ten."""


def arithmetic(text: str, value: Callable[[str], str]) -> int:
    """What the expression `text` comes to, in signed 64-bit numbers; `value` gives what a variable holds.

    CannotJudge for what is no plain expression."""
    if len(text) > _MAXIMUM_EXPRESSION:
        raise CannotJudge("an arithmetic expression of such length")
    return _Arithmetic(text, value).result()


class _Arithmetic:
    def __init__(self, text: str, value: Callable[[str], str]) -> None:
        self._value = value
        self._at = 0
        self._tokens: list[str] = []
        at = 0
        stripped = text.rstrip()
        while at < len(stripped):
            match = _ARITHMETIC_TOKEN.match(stripped, at)
            if match is None:
                raise CannotJudge(f"the arithmetic expression {text.strip()!r}")
            self._tokens.append(match[match.lastindex or 0])
            at = match.end()
        self._text = stripped.strip()

    def result(self) -> int:
        result = self._level(0)
        if self._at < len(self._tokens):
            raise self._wrong()
        return result

    def _wrong(self) -> CannotJudge:
        return CannotJudge(f"the arithmetic expression {self._text!r}")

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _level(self, level: int) -> int:
        if level == len(_LEVELS):
            return self._operand()
        result = self._level(level + 1)
        while (operator := self._peek()) in _LEVELS[level]:
            self._at += 1
            result = _wrapped(_LEVELS[level][operator](result, self._level(level + 1)))
        return result

    def _operand(self) -> int:
        token = self._peek()
        self._at += 1
        if token.isdigit():
            # A leading zero makes it octal, as in C.
            return self._number(token)
        if token in ("-", "+", "!"):
            operand = self._operand()
            return {"-": -operand, "+": operand, "!": int(not operand)}[token]
        if token == "(":
            result = self._level(0)
            if self._peek() != ")":
                raise self._wrong()
            self._at += 1
            return result
        if not token or not (token[0].isalpha() or token[0] == "_"):
            raise self._wrong()
        held = self._value(token).strip()
        if not held:
            return 0
        sign, digits = (-1, held[1:]) if held.startswith("-") else (1, held)
        return sign * self._number(digits)

    def _number(self, digits: str) -> int:
        try:
            if not digits.isdecimal() or not digits.isascii():
                raise self._wrong()
            return _wrapped(int(digits, 8 if len(digits) > 1 and digits.startswith("0") else 10))
        except ValueError as error:
            raise self._wrong() from error


def _wrapped(number: int) -> int:
    return (number + 2**63) % 2**64 - 2**63
