"""What is said of a fault in a lock: how bad it is, how it stands, and whose word that is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

DEBIAN, PYPI = "Debian", "PyPI"
"""The ecosystems that packages of a lock are from, as OSV calls them."""

TRACKER = "Debian's tracker"
"""Whose word it is where no record of OSV is named."""


class Severity(Enum):
    """How bad a fault is, worst first. The values are how people are told."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    UNKNOWN = "not yet assigned"
    LOW = "low"
    UNIMPORTANT = "unimportant"

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return list(Severity).index(self)


class State(Enum):
    """How a fault in a lock stands."""

    FIXABLE = "a fix is there"
    OPEN = "no fix yet"
    DEFERRED = "no fix yet: put off"
    IGNORED = "will not be fixed"
    UNDETERMINED = "not known whether it is affected"


@dataclass(frozen=True, slots=True)
class Affected:
    """A fault that a lock has: in the package `source` of an `ecosystem` (a source package of Debian, of which the lock
    has `packages`, or a wheel). `fixed` is the version that mends it; empty where there is none. `said_by` is the
    tracker or a record; `score` and `vector` are those of CVSS where anybody gave them."""

    fault: str
    source: str
    version: str
    packages: tuple[str, ...]
    severity: Severity
    state: State
    fixed: str
    description: str
    ecosystem: str = DEBIAN
    said_by: str = TRACKER
    score: float | None = None
    vector: str = ""

    @property
    def counts(self) -> bool:
        """Whether it is a fault to act on: judged to matter, and known to be there."""
        return self.severity is not Severity.UNIMPORTANT and self.state is not State.UNDETERMINED


def urgency_severity(urgency: object) -> Severity:
    """What Debian's word means. Two stars are severities that others gave; a package without support is as bad as is
    known."""
    word = urgency.rstrip("*") if isinstance(urgency, str) else ""
    return next((severity for severity in Severity if severity.value == word), Severity.UNKNOWN)
