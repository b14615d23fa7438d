"""What the checker reports."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum


class Severity(Enum):
    """Whether stock tools refuse what was found, or only work worse with it."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Violation:
    """One place where a repository breaks one rule."""

    rule: str
    where: str
    problem: str
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        return f"{self.severity.value} {self.rule} at {self.where}: {self.problem}"


def warning(rule: str, where: str, problem: str) -> Violation:
    """A violation that stock tools live with."""
    return Violation(rule, where, problem, Severity.WARNING)


def guarded(rule: str, where: str, findings: Iterable[Violation]) -> Iterator[Violation]:
    """Yields the findings; a crash while looking for them becomes one more finding of the same rule.

    The checker reads whatever a broken publisher left behind, so no input may end it.
    """
    try:
        yield from findings
    except Exception as error:
        yield Violation(rule, where, f"cannot be checked: {type(error).__name__}: {error}")


def shown(path: bytes) -> str:
    """A path of the repository for people to read; bytes that are not UTF-8 are escaped."""
    return path.decode("utf-8", "backslashreplace") or "/"
