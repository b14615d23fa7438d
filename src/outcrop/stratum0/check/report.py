"""What a check says in the end."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.names import RepositoryName, Revision
from outcrop.cvmfs.objects import ObjectName
from outcrop.errors import FormatError, IntegrityError, OutcropError, TrustError
from outcrop.stratum0.check.problems import Problem, Severity


class Depth(Enum):
    """How closely objects are looked at; catalogs and other databases are always read."""

    EXISTENCE = "fast"
    """Every object that is referred to is there."""
    CONTENT = "full"
    """Every object has the digest of its name, and holds exactly as many bytes as the catalog says."""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What was looked at, and everything that was found, the worst first.

    `objects` and `bytes` (as stored in catalogs, before compression) count each object once. `unreferenced` objects
    belong to neither the current revision nor any tag that was looked at. `superseded` says that somebody published
    meanwhile, so that what is missing may have been collected rightly.
    """

    repository: RepositoryName
    depth: Depth
    problems: tuple[Problem, ...]
    revision: Revision | None = None
    root_catalog: Digest | None = None
    revisions: int = 0
    catalogs: int = 0
    entries: int = 0
    objects: int = 0
    bytes: int = 0
    unreferenced: int = 0
    resumed: bool = False
    superseded: bool = False

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong; notes are no wrong."""
        return not any(problem.severity is not Severity.NOTE for problem in self.problems)

    def of(self, severity: Severity) -> tuple[Problem, ...]:
        """The problems of one severity."""
        return tuple(problem for problem in self.problems if problem.severity is severity)

    @property
    def damaged_objects(self) -> frozenset[ObjectName]:
        """The objects that a healthy copy would mend."""
        objects = (problem.object for problem in self.of(Severity.DAMAGE))
        return frozenset(one for one in objects if one is not None)

    def error(self) -> OutcropError | None:
        """The error that this report amounts to: damage before distrust before inconsistency; None if it is clean."""
        counts = {severity: len(self.of(severity)) for severity in Severity}
        worst = self.problems[0] if self.problems else None
        if worst is None or worst.severity is Severity.NOTE:
            return None
        hint = worst.remedy(self.repository)
        what = f"the repository {self.repository}"
        if counts[Severity.DAMAGE]:
            return IntegrityError(
                what=what, problem=_counted(counts[Severity.DAMAGE], "file", "gone or altered"), hint=hint
            )
        if counts[Severity.DISTRUST]:
            return TrustError(what=what, problem=str(worst), hint=hint)
        number = counts[Severity.INCONSISTENCY]
        field, problem = ("1 place", "contradicts") if number == 1 else (f"{number:,} places", "contradict")
        return FormatError(what=what, field=field, problem=f"{problem} the format", hint=hint)


def _counted(number: int, noun: str, state: str) -> str:
    return f"1 {noun} is {state}" if number == 1 else f"{number:,} {noun}s are {state}"
