"""Records of OSV, one fault each: which versions of which packages have it.

A package is affected by a version that `versions` lists, or that is in a range of the ecosystem's own order: from an
`introduced` on (`0` is before everything), below a `fixed`, not above a `last_affected`. Ranges of commits say nothing
of packages. A record that was withdrawn says nothing. Names of Debian are those of source packages, and an ecosystem
`Debian:12` is one release.

For Debian there are two kinds of records. `DEBIAN-CVE-…` is what the security tracker said of one fault on some day;
`DSA-…`, `DLA-…` are advisories that name the faults which one update mends, as `upstream` or, in older ones, `aliases`.

Source: the OSV schema, 1.7.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from packaging.utils import canonicalize_name
from packaging.version import Version

from outcrop.compat.audit.faults import DEBIAN, PYPI, Severity, State, urgency_severity
from outcrop.compat.audit.score import base_score, score_severity, word_severity
from outcrop.compat.audit.tracker import Standing
from outcrop.compat.debian.version import version_key
from outcrop.errors import FormatError

_CVE = "CVE-"
_OF_THE_TRACKER = "DEBIAN-"
_EVERYTHING = "0"
_RANGE_OF_VERSIONS = "ECOSYSTEM"
_DESCRIPTION_CHARACTERS = 300


class _Package(msgspec.Struct, frozen=True, gc=False):
    name: str = ""
    ecosystem: str = ""


class _Event(msgspec.Struct, frozen=True, gc=False):
    introduced: str = ""
    fixed: str = ""
    last_affected: str = ""


class _Range(msgspec.Struct, frozen=True, gc=False):
    type: str = ""
    events: tuple[_Event, ...] | None = None


class _Rating(msgspec.Struct, frozen=True, gc=False):
    type: str = ""
    score: str = ""


class _Words(msgspec.Struct, frozen=True, gc=False):
    """What a database adds of its own: Debian's urgency, a word of GitHub's for how bad it is."""

    urgency: Any = None
    severity: Any = None


class AffectedPackage(msgspec.Struct, frozen=True, gc=False):
    """A package that a record speaks of."""

    package: _Package | None = None
    ranges: tuple[_Range, ...] | None = None
    versions: tuple[str, ...] | None = None
    severity: tuple[_Rating, ...] | None = None
    ecosystem_specific: _Words | None = None

    @property
    def ecosystem(self) -> str:
        return _name(self.package)[0]

    @property
    def name(self) -> str:
        """As its ecosystem writes it in one way only."""
        return _name(self.package)[1]


class OsvRecord(msgspec.Struct, frozen=True, gc=False):
    """A record, without what an audit does not ask for."""

    id: str
    withdrawn: str | None = None
    aliases: tuple[str, ...] | None = None
    upstream: tuple[str, ...] | None = None
    summary: str | None = None
    details: str | None = None
    severity: tuple[_Rating, ...] | None = None
    affected: tuple[AffectedPackage, ...] | None = None
    database_specific: _Words | None = None

    @property
    def is_the_trackers(self) -> bool:
        """Whether it repeats the security tracker, which knows more of a fault than an advisory."""
        return self.id.startswith(_OF_THE_TRACKER)

    @property
    def description(self) -> str:
        text = " ".join((self.summary or self.details or "").split())
        return text if len(text) <= _DESCRIPTION_CHARACTERS else f"{text[:_DESCRIPTION_CHARACTERS]}…"

    def packages(self, ecosystems: Collection[str]) -> Iterator[AffectedPackage]:
        """Those of any of `ecosystems`."""
        return (one for one in self.affected or () if one.ecosystem in ecosystems)

    def faults(self) -> tuple[str, ...]:
        """The CVEs that it is about, or else its own name."""
        names = {self.id.removeprefix(_OF_THE_TRACKER), *(self.upstream or ()), *(self.aliases or ())}
        return tuple(sorted(name for name in names if name.startswith(_CVE))) or (self.id,)

    def one_fault(self) -> str:
        """The one name by which records that are each other's aliases are told together."""
        names = {self.id, *(self.aliases or ()), *(self.upstream or ())}
        return min(names, key=lambda name: (not name.startswith(_CVE), name))


class _Outline(msgspec.Struct, frozen=True, gc=False):
    """What tells whether the rest of a record is worth reading, which is ten times as long."""

    id: str
    withdrawn: str | None = None
    affected: tuple[_Named, ...] | None = None


class _Named(msgspec.Struct, frozen=True, gc=False):
    package: _Package | None = None


_RECORDS = msgspec.json.Decoder(OsvRecord)
_OUTLINES = msgspec.json.Decoder(_Outline)

Named = tuple[str, str]
"""An ecosystem and the name of a package in it."""


def packages_named(data: bytes, what: str) -> frozenset[Named]:
    """The packages that the record `data` is about; none where it was withdrawn. FormatError."""
    outline = _decoded(_OUTLINES, data, what)
    if outline.withdrawn:
        return frozenset()
    return frozenset(_name(one.package) for one in outline.affected or ())


def _name(package: _Package | None) -> Named:
    if package is None:
        return "", ""
    return package.ecosystem, canonicalize_name(package.name) if package.ecosystem == PYPI else package.name


def parse_record(data: bytes, what: str) -> OsvRecord:
    """The record that `data` is; FormatError."""
    return _decoded(_RECORDS, data, what)


T = TypeVar("T")


def _decoded(decoder: msgspec.json.Decoder[T], data: bytes, what: str) -> T:
    try:
        return decoder.decode(data)
    except msgspec.DecodeError as error:
        raise FormatError(
            what=what,
            field="the record",
            problem=f"is none of OSV ({error})",
            hint="fetch OSV's `all.zip` of the release or of PyPI once more",
        ) from error


def is_record(data: bytes) -> bool:
    """Whether `data` names itself as a record does, whatever else it has."""
    try:
        return bool(msgspec.json.decode(data, type=_Identified).id)
    except msgspec.DecodeError:
        return False


class _Identified(msgspec.Struct, frozen=True):
    id: str


def order_of(ecosystem: str) -> Callable[[str], Any]:
    """The key by which versions of `ecosystem` sort; it raises ValueError for what is no version of PyPI's."""
    return Version if ecosystem == PYPI else version_key


def osv_standing(affected: AffectedPackage, version: str, ecosystem: str) -> Standing | None:
    """How `version` of the package stands; None where it does not have the fault."""
    key, listed = order_of(ecosystem), affected.versions or ()
    ranges = [one for one in affected.ranges or () if one.type == _RANGE_OF_VERSIONS]
    if not ranges and not listed:
        return Standing(State.UNDETERMINED)
    try:
        here = key(version)
        spans = [span for one in ranges for span in _spans(one.events or (), key)]
    except ValueError:
        return Standing(State.OPEN if version in listed else State.UNDETERMINED)
    has_it = [span for span in spans if span.holds(here)]
    if not has_it and not _is_listed(version, listed, key):
        return None
    ends = has_it or [span for span in spans if span.end is not None and span.end > here]
    if not ends or any(span.end is None for span in ends):
        return Standing(State.OPEN)
    return Standing(State.FIXABLE, max(ends, key=lambda span: span.end).mended)


@dataclass(frozen=True, slots=True)
class _Span:
    """The versions from the key `start` (None for all) up to the key `end` (None for all), which belongs to it if
    `inclusive`; `mended` is how people are told the end."""

    start: Any
    end: Any = None
    inclusive: bool = False
    mended: str = ""

    def holds(self, key: Any) -> bool:
        if self.start is not None and key < self.start:
            return False
        return self.end is None or bool(key < self.end) or (self.inclusive and bool(key == self.end))


def _spans(events: Sequence[_Event], key: Callable[[str], Any]) -> Iterator[_Span]:
    """The spans of a range's events, in whatever order these are. ValueError for what is no version."""
    ends = [(key(one.fixed), False, one.fixed) for one in events if one.fixed]
    ends += [(key(one.last_affected), True, f"above {one.last_affected}") for one in events if one.last_affected]
    for one in events:
        if not one.introduced:
            continue
        start = None if one.introduced == _EVERYTHING else key(one.introduced)
        after = [end for end in ends if start is None or end[0] > start or (end[1] and end[0] == start)]
        yield _Span(start, *min(after, key=lambda end: end[:2])) if after else _Span(start)


def _is_listed(version: str, versions: Sequence[str], key: Callable[[str], Any]) -> bool:
    if version in versions:
        return True
    here = key(version)
    for one in versions:
        try:
            if key(one) == here:
                return True
        except ValueError:
            continue
    return False


def rating(record: OsvRecord, affected: AffectedPackage) -> tuple[Severity, float | None, str]:
    """How bad the fault is in the package, with CVSS's score and vector: by Debian's word for it, or else by CVSS, or
    else by the database's own word."""
    scored = [(score, one.score) for one in _ratings(record, affected) if (score := base_score(one.score)) is not None]
    score, vector = max(scored, default=(None, ""))
    said = affected.ecosystem_specific
    severity = urgency_severity(said.urgency if said else None)
    if severity is Severity.UNKNOWN and score is not None:
        severity = score_severity(score)
    if severity is Severity.UNKNOWN and record.database_specific is not None:
        severity = word_severity(record.database_specific.severity)
    return severity, score, vector


def _ratings(record: OsvRecord, affected: AffectedPackage) -> Sequence[_Rating]:
    """Those of the newest CVSS that is used; of the package, where it has its own."""
    given = affected.severity or record.severity or ()
    for kind in ("CVSS_V4", "CVSS_V3", "CVSS_V2"):
        if of_kind := [one for one in given if one.type == kind]:
            return of_kind
    return ()


def ecosystems_of(release_number: str) -> frozenset[str]:
    """What OSV calls the release of Debian with this number, and what it calls all of them."""
    return frozenset({f"{DEBIAN}:{release_number}", DEBIAN})
