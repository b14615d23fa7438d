"""What a check finds, as values: what is wrong, where, how bad that is, and how it is mended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from outcrop.cvmfs.objects import ObjectName
from outcrop.cvmfs.paths import RepositoryPath, shown
from outcrop.errors import FormatError


class Severity(Enum):
    """How bad a problem is, the worst first."""

    DAMAGE = "damage"
    """Bytes that were published are gone or altered. A healthy copy of them mends it."""
    DISTRUST = "distrust"
    """Readers refuse what is there: a signature, a name, a date or a fingerprint does not prove what it must."""
    INCONSISTENCY = "inconsistency"
    """Published that way: the bytes are the right ones, but they contradict each other or the format."""
    NOTE = "note"
    """Worth knowing; readers and publishers live with it."""

    @property
    def rank(self) -> int:
        """Its place in a report, from 0."""
        return list(Severity).index(self)


_REPAIR = "`outcrop repo repair {repository} --from URL` fetches it from a replica"
_RESIGN = "`outcrop repo resign {repository}` signs a new one"
_REFRESH = "`outcrop repo refresh {repository}` signs it anew"
_REPUBLISH = (
    "roll back to a revision without it, or publish the directory anew with `outcrop repo ingest {repository}`; where "
    "only older revisions have it, delete the tag that keeps them, then `outcrop repo gc {repository}`"
)
_OWN_KEY = "find out who published this; a publish with the repository's own keys puts it right"


class Kind(Enum):
    """What is wrong; the label is what reports in JSON say."""

    def __init__(self, label: str, severity: Severity, remedy: str) -> None:
        self.label = label
        self.severity = severity
        self.remedy = remedy

    MISSING = ("missing", Severity.DAMAGE, _REPAIR)
    ALTERED = ("altered", Severity.DAMAGE, _REPAIR)
    UNREADABLE = ("unreadable", Severity.DAMAGE, "look at the disk (`dmesg`); " + _REPAIR)
    ALTERED_LEFTOVER = (
        "altered-leftover",
        Severity.DAMAGE,
        "`outcrop repo repair {repository}` takes it away, before a publish takes it for good",
    )
    SIGNATURE = ("signature", Severity.DISTRUST, _OWN_KEY)
    WHITELIST = ("whitelist", Severity.DISTRUST, _RESIGN)
    FRESHNESS = ("freshness", Severity.DISTRUST, _REFRESH)
    OTHER_NAME = ("other-name", Severity.DISTRUST, _OWN_KEY)
    MANIFEST = ("manifest", Severity.INCONSISTENCY, _REPUBLISH)
    CERTIFICATE = ("certificate", Severity.INCONSISTENCY, _REPUBLISH)
    METAINFO = ("metainfo", Severity.INCONSISTENCY, _REPUBLISH)
    HISTORY = ("history", Severity.INCONSISTENCY, "give the tag anew with `outcrop repo tag {repository}`")
    REFLOG = ("reflog", Severity.INCONSISTENCY, "`outcrop repo repair {repository}` rebuilds it")
    OBJECT = ("object", Severity.INCONSISTENCY, _REPUBLISH)
    CATALOG = ("catalog", Severity.INCONSISTENCY, _REPUBLISH)
    ENTRY = ("entry", Severity.INCONSISTENCY, _REPUBLISH)
    CHUNKS = ("chunks", Severity.INCONSISTENCY, _REPUBLISH)
    LINKS = ("links", Severity.INCONSISTENCY, _REPUBLISH)
    NESTING = ("nesting", Severity.INCONSISTENCY, _REPUBLISH)
    COUNTERS = ("counters", Severity.INCONSISTENCY, _REPUBLISH)
    FRESHNESS_ENDING = ("freshness-ending", Severity.NOTE, _REFRESH)
    EXPIRING = ("expiring", Severity.NOTE, _RESIGN)
    BEHIND = ("behind", Severity.NOTE, "`outcrop repo repair {repository} --from URL --newer` takes it")
    REFLOG_DIFFERS = ("reflog-differs", Severity.NOTE, "the next publish puts it right")
    STRAY = ("stray", Severity.NOTE, "remove it, if nobody needs it")
    LEFTOVER = ("leftover", Severity.NOTE, "the next publish removes it")
    ODDITY = ("oddity", Severity.NOTE, "nothing needs to be done")

    @classmethod
    def of(cls, label: str) -> Kind:
        """The kind with this label; ValueError for another."""
        for kind in cls:
            if kind.label == label:
                return kind
        raise ValueError(f"no kind of problem is called {label!r}")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    `detail` says what, after the place. `path` is where in the tree, `catalog` the mountpoint of the catalog that says
    so, `name` the file of the store (relative to the address). `size` is what an object should hold, in bytes before
    compression, where that is known.
    """

    kind: Kind
    detail: str
    path: RepositoryPath | None = None
    catalog: RepositoryPath | None = None
    name: str = ""
    size: int | None = None

    @property
    def severity(self) -> Severity:
        return self.kind.severity

    @property
    def where(self) -> str:
        """The place, for people: the path in the tree comes first."""
        if self.path is not None:
            return f"{shown(self.path)} ({self.name})" if self.name else shown(self.path)
        if self.name:
            return self.name
        return f"the catalog of {shown(self.catalog)}" if self.catalog is not None else "the repository"

    def __str__(self) -> str:
        return f"{self.where}: {self.detail}"

    def remedy(self, repository: str) -> str:
        """How it is mended, as a hint."""
        return self.kind.remedy.format(repository=repository)

    @property
    def object(self) -> ObjectName | None:
        """The object that is concerned; None where it is another file, or none."""
        try:
            return ObjectName.parse(self.name)
        except FormatError:
            return None


def in_order(problems: Iterator[Problem] | list[Problem]) -> tuple[Problem, ...]:
    """Each problem once: the worst first, then by path, catalog and name."""
    return tuple(
        sorted(
            dict.fromkeys(problems),
            key=lambda one: (one.severity.rank, one.path or b"", one.catalog or b"", one.name, one.detail),
        )
    )
