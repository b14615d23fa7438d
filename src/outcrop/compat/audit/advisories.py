"""Which known faults a lock has, and whose word that is.

For Debian's packages the security tracker has the last word: it alone knows which versions a release's suites have,
what is put off, and what does not matter there. OSV's records are believed where the tracker says nothing of a fault or
is not asked at all; of what both know, they only add how bad it is where Debian has not said. A fault that OSV names
and the tracker denies is told, and does not count.

For wheels only OSV knows anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from outcrop.compat.audit.faults import DEBIAN, PYPI, Affected, Severity, State, urgency_severity
from outcrop.compat.audit.osv import AffectedPackage, OsvRecord, ecosystems_of, order_of, osv_standing, rating
from outcrop.compat.audit.tracker import Standing, TrackedRelease, Tracker, knows_release, standing
from outcrop.compat.lock import Lock, LockedWheel
from outcrop.errors import InvalidValue

_OSV = "OSV "
_NUMBERS = {"bullseye": "11", "bookworm": "12", "trixie": "13", "forky": "14"}
"""For locks that do not say which version of Debian their suites are."""


@dataclass(frozen=True, slots=True)
class Interest:
    """What of a lock a record may be about: names of shipped source packages, what its release is called, wheels."""

    release: frozenset[str]
    sources: frozenset[str]
    wheels: frozenset[str]

    def concerned(self, ecosystem: str, name: str) -> bool:
        """Whether this package of that ecosystem is any of it."""
        return name in (self.wheels if ecosystem == PYPI else self.sources if ecosystem in self.release else ())


def interest_in(lock: Lock) -> Interest:
    """What records may say of `lock`."""
    told = next((suite.version for suite in lock.suites if suite.version), "")
    number = told.partition(".")[0] or _NUMBERS.get(lock.release, lock.release)
    return Interest(
        ecosystems_of(number),
        frozenset(package.source for package in lock.packages if package.ships),
        frozenset(wheel.name for wheel in lock.wheels),
    )


@dataclass(frozen=True, slots=True)
class Advisories:
    """What is known of faults: the tracker's document, if there is one, and those of OSV's records that concern a lock.
    `ecosystems` are all that the records speak of."""

    tracker: Tracker | None = None
    records: tuple[OsvRecord, ...] = ()
    ecosystems: frozenset[str] = frozenset()

    def joined(self, other: Advisories) -> Advisories:
        """Both together; of two trackers, the later one's word counts."""
        return Advisories(
            self.tracker if other.tracker is None else other.tracker,
            self.records + other.records,
            self.ecosystems | other.ecosystems,
        )


@dataclass(frozen=True, slots=True)
class Audit:
    """What a lock has. `denied`: faults of OSV's that the tracker says are not there. `packages_looked_at` is False
    where nothing was said of Debian's packages; `not_looked_at` are wheels of which nothing was said."""

    found: tuple[Affected, ...]
    denied: tuple[Affected, ...]
    packages_looked_at: bool
    not_looked_at: tuple[LockedWheel, ...]

    @property
    def serious(self) -> tuple[Affected, ...]:
        """Those that count."""
        return tuple(one for one in self.found if one.counts)


def audit(lock: Lock, advisories: Advisories, what: str) -> Audit:
    """The faults that the shipped packages and the wheels of `lock` have, worst first, those that can be mended before
    others. InvalidValue where the advisories, named `what`, know neither the lock's release nor its wheels."""
    interest = interest_in(lock)
    if advisories.tracker is not None and not knows_release(advisories.tracker, lock.release) and advisories.records:
        # The tracker has dropped the release: what others say of it is neither confirmed nor denied.
        advisories = replace(advisories, tracker=None)
    _require_known(lock, advisories, interest, what)
    found, denied = _of_packages(lock, advisories, interest)
    found += _of_wheels(lock, advisories.records)
    return Audit(
        tuple(sorted(found, key=_worst_first)),
        tuple(sorted(denied, key=_worst_first)),
        advisories.tracker is not None or bool(interest.release & advisories.ecosystems),
        () if PYPI in advisories.ecosystems else lock.wheels,
    )


def _worst_first(one: Affected) -> tuple[bool, int, float, str, str]:
    return one.state is not State.FIXABLE, one.severity.rank, -(one.score or 0), one.source, one.fault


def _require_known(lock: Lock, advisories: Advisories, interest: Interest, what: str) -> None:
    if advisories.tracker is not None:
        known = knows_release(advisories.tracker, lock.release)
    elif any(one.startswith(DEBIAN) for one in advisories.ecosystems):
        known = bool(interest.release & advisories.ecosystems)
    else:
        known = PYPI in advisories.ecosystems and bool(lock.wheels)
    if not known:
        raise InvalidValue(
            what=what,
            problem=f"says nothing of the release {lock.release}",
            hint="it may be about something else; or the release is too old for Debian's support: build the layer from "
            "a newer one",
        )


@dataclass(slots=True)
class _Said:
    """What records say together of one fault in one package."""

    by: list[OsvRecord] = field(default_factory=list)
    standings: list[tuple[OsvRecord, AffectedPackage, Standing]] = field(default_factory=list)

    def add(self, record: OsvRecord, affected: AffectedPackage, here: Standing | None) -> None:
        self.by.append(record)
        if here is not None:
            self.standings.append((record, affected, here))

    def settled(self) -> _Said:
        """The tracker's own records alone, where there are any: an advisory says less."""
        if not any(record.is_the_trackers for record in self.by):
            return self
        return _Said(
            [one for one in self.by if one.is_the_trackers], [one for one in self.standings if one[0].is_the_trackers]
        )


def _affected(
    said: _Said, fault: str, source: str, version: str, names: Iterable[str], ecosystem: str
) -> Affected | None:
    """What `said` comes to: the worst of all, and the version that mends every part of it."""
    if not said.standings:
        return None
    first = said.standings[0][0]
    severity, score, vector = min(
        (rating(record, affected) for record, affected, _ in said.standings),
        key=lambda rated: (rated[0].rank, -(rated[1] or 0)),
    )
    here = _last_mended([one for _, _, one in said.standings], ecosystem)
    ids = ", ".join(dict.fromkeys(record.id for record, _, _ in said.standings))
    return Affected(
        fault,
        source,
        version,
        tuple(names),
        severity,
        here.state,
        here.fixed,
        first.description,
        ecosystem,
        f"{_OSV}{ids}",
        score,
        vector,
    )


def _last_mended(standings: list[Standing], ecosystem: str) -> Standing:
    certain = [one for one in standings if one.state is not State.UNDETERMINED] or standings
    unmended = next((one for one in certain if one.state is not State.FIXABLE), None)
    if unmended is not None:
        return unmended
    key = order_of(ecosystem)
    return max(certain, key=lambda one: key(one.fixed.removeprefix("above ")))


def _of_packages(lock: Lock, advisories: Advisories, interest: Interest) -> tuple[list[Affected], list[Affected]]:
    sources: dict[tuple[str, str], list[str]] = {}
    for package in lock.packages:
        if package.ships:
            sources.setdefault((package.source, package.source_version), []).append(package.name)
    records: dict[str, list[tuple[OsvRecord, AffectedPackage]]] = {}
    for record in advisories.records:
        for affected in record.packages(interest.release):
            records.setdefault(affected.name, []).append((record, affected))
    found, denied = [], []
    for (source, version), names in sources.items():
        told = dict(_told_by_osv(source, version, names, records.get(source, ())))
        for fault, here in _tracked(advisories.tracker, source, lock.release).items():
            by_osv = told.pop(fault, None)
            stands = standing(version, here.release)
            if stands is not None:
                found.append(_judged(fault, source, version, names, here, stands, by_osv))
            elif by_osv is not None:
                denied.append(by_osv)
        found += told.values()
    return found, denied


def _told_by_osv(
    source: str, version: str, names: Iterable[str], records: Iterable[tuple[OsvRecord, AffectedPackage]]
) -> Iterator[tuple[str, Affected]]:
    groups: dict[str, _Said] = {}
    for record, affected in records:
        here = osv_standing(affected, version, DEBIAN)
        for fault in record.faults():
            groups.setdefault(fault, _Said()).add(record, affected, here)
    for fault, said in groups.items():
        if (one := _affected(said.settled(), fault, source, version, names, DEBIAN)) is not None:
            yield fault, one


@dataclass(frozen=True, slots=True)
class _Tracked:
    release: TrackedRelease
    description: str


def _tracked(tracker: Tracker | None, source: str, release: str) -> Mapping[str, _Tracked]:
    """What the tracker says of `source` in `release`, by fault."""
    return {
        number: _Tracked(here, fault.description)
        for number, fault in (tracker or {}).get(source, {}).items()
        if (here := fault.releases.get(release)) is not None
    }


def _judged(
    fault: str,
    source: str,
    version: str,
    names: Iterable[str],
    tracked: _Tracked,
    here: Standing,
    by_osv: Affected | None,
) -> Affected:
    severity = urgency_severity(tracked.release.urgency)
    judged = Affected(fault, source, version, tuple(names), severity, here.state, here.fixed, tracked.description)
    if by_osv is None:
        return judged
    if severity is Severity.UNKNOWN:
        severity = by_osv.severity
    return replace(judged, severity=severity, score=by_osv.score, vector=by_osv.vector)


def _of_wheels(lock: Lock, records: Iterable[OsvRecord]) -> Iterator[Affected]:
    versions = {wheel.name: wheel.version for wheel in lock.wheels}
    groups: dict[tuple[str, str], _Said] = {}
    for record in records:
        for affected in record.packages({PYPI}):
            if affected.name in versions:
                here = osv_standing(affected, versions[affected.name], PYPI)
                groups.setdefault((affected.name, record.one_fault()), _Said()).add(record, affected, here)
    for (name, fault), said in groups.items():
        if (one := _affected(said, fault, name, versions[name], (name,), PYPI)) is not None:
            yield one
