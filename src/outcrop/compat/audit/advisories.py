"""What is known of faults in a release's packages, and which of them a lock has.

Debian's security tracker gives one JSON document: for each source package and fault, how each release stands. A fault
that is *resolved* there is so in some suite of the release, not in the version of a lock; `fixed_version` is a version
of that release or of a newer one, so a version that is not below all that the release's suites have is fixed as well.
A fault that is *open* has no fix yet. Versions are those of source packages.

Releases that are no longer supported vanish from the document: then nothing can be said, and nothing is.

Sources: the security tracker's documentation and `bin/tracker_data.py` of its source.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

import msgspec

from outcrop.compat.debian.version import compare_versions, version_key
from outcrop.compat.lock import Lock
from outcrop.errors import FormatError, InvalidValue

NOT_AFFECTED_VERSION = "0"


class Severity(Enum):
    """How bad a fault is, worst first. The values are how people are told."""

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


class _Release(msgspec.Struct, frozen=True):
    status: str = ""
    urgency: str = ""
    fixed_version: str = ""
    repositories: dict[str, str] = {}
    nodsa_reason: str | None = None


class _Fault(msgspec.Struct, frozen=True):
    description: str = ""
    releases: dict[str, _Release] = {}


Advisories = Mapping[str, Mapping[str, _Fault]]
"""By source package, and by the fault's number."""


@dataclass(frozen=True, slots=True)
class Affected:
    """A fault that a lock has: in the source package `source`, of which it has `packages`. `fixed` is the version that
    mends it; empty where there is none."""

    fault: str
    source: str
    version: str
    packages: tuple[str, ...]
    severity: Severity
    state: State
    fixed: str
    description: str


def parse_advisories(data: bytes, what: str) -> Advisories:
    """The document `data` of Debian's security tracker. FormatError."""
    try:
        return msgspec.json.decode(data, type=dict[str, dict[str, _Fault]])
    except msgspec.DecodeError as error:
        raise FormatError(
            what=what,
            field="the advisories",
            problem=f"are not those of Debian's security tracker ({error})",
            hint="give the tracker's file `data/json`, as it is or compressed",
        ) from error


def audit(lock: Lock, advisories: Advisories, what: str) -> tuple[Affected, ...]:
    """The faults that the shipped packages of `lock` have, worst first, those that can be mended before others.

    InvalidValue where the advisories, named `what`, do not know the lock's release."""
    if not any(lock.release in fault.releases for faults in advisories.values() for fault in faults.values()):
        raise InvalidValue(
            what=what,
            problem=f"says nothing of the release {lock.release}",
            hint="it may be too old for Debian's support: build the layer from a newer release",
        )
    sources: dict[tuple[str, str], list[str]] = {}
    for package in lock.packages:
        if package.ships:
            sources.setdefault((package.source, package.source_version), []).append(package.name)
    found = [
        affected
        for (source, version), names in sources.items()
        for number, fault in advisories.get(source, {}).items()
        if (affected := _judged(number, source, version, names, fault, lock.release)) is not None
    ]
    return tuple(
        sorted(found, key=lambda one: (one.state is not State.FIXABLE, one.severity.rank, one.source, one.fault))
    )


def _judged(
    number: str, source: str, version: str, names: Iterable[str], fault: _Fault, release: str
) -> Affected | None:
    here = fault.releases.get(release)
    if here is None:
        return None
    fixed = ""
    if here.status == "resolved":
        fixed = _needed_version(version, here)
        if not fixed:
            return None
        state = State.FIXABLE
    elif here.status == "undetermined":
        state = State.UNDETERMINED
    elif here.nodsa_reason == "ignored":
        state = State.IGNORED
    else:
        state = State.OPEN if here.nodsa_reason is None else State.DEFERRED
    return Affected(number, source, version, tuple(names), _severity(here.urgency), state, fixed, fault.description)


def _needed_version(version: str, here: _Release) -> str:
    """The lowest version of the release that mends a fault; empty where `version` has it mended."""
    if here.fixed_version == NOT_AFFECTED_VERSION or compare_versions(version, here.fixed_version) >= 0:
        return ""
    offered = sorted(set(here.repositories.values()), key=version_key)
    if offered and compare_versions(version, offered[-1]) >= 0:
        return ""
    return next((one for one in offered if compare_versions(one, here.fixed_version) >= 0), here.fixed_version)


def _severity(urgency: str) -> Severity:
    """What the tracker's word means. Two stars are severities that others gave; a package without support is as bad as
    is known."""
    word = urgency.rstrip("*")
    return next((severity for severity in Severity if severity.value == word), Severity.UNKNOWN)
