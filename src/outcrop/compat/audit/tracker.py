"""The document of Debian's security tracker: for each source package and fault, how each release stands.

A fault that is *resolved* there is so in some suite of the release, not in the version of a lock; `fixed_version` is a
version of that release or of a newer one, so a version that is not below all that the release's suites have is fixed as
well. A fault that is *open* has no fix yet. Versions are those of source packages.

Releases that are no longer supported vanish from the document: then nothing can be said, and nothing is.

Sources: the security tracker's documentation and `bin/tracker_data.py` of its source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from outcrop.compat.audit.faults import State
from outcrop.compat.debian.version import compare_versions, version_key
from outcrop.errors import FormatError

NOT_AFFECTED_VERSION = "0"


class TrackedRelease(msgspec.Struct, frozen=True):
    """How one release stands."""

    status: str = ""
    urgency: str = ""
    fixed_version: str = ""
    repositories: dict[str, str] = {}
    nodsa_reason: str | None = None


class TrackedFault(msgspec.Struct, frozen=True):
    """A fault in one source package."""

    description: str = ""
    releases: dict[str, TrackedRelease] = {}


Tracker = Mapping[str, Mapping[str, TrackedFault]]
"""By source package, and by the fault's number."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a version stands with a fault that it has."""

    state: State
    fixed: str = ""


def parse_tracker(data: bytes, what: str) -> Tracker:
    """The document `data` of Debian's security tracker. FormatError."""
    try:
        return msgspec.json.decode(data, type=dict[str, dict[str, TrackedFault]])
    except msgspec.DecodeError as error:
        raise FormatError(
            what=what,
            field="the advisories",
            problem=f"are not those of Debian's security tracker ({error}), nor a record of OSV",
            hint="give the tracker's file `data/json`, or OSV's `all.zip` of the release, as they are or compressed",
        ) from error


def knows_release(tracker: Tracker, release: str) -> bool:
    """Whether anything is said of `release`."""
    return any(release in fault.releases for faults in tracker.values() for fault in faults.values())


def standing(version: str, here: TrackedRelease) -> Standing | None:
    """How `version` of a source package stands in a release; None where it does not have the fault."""
    if here.status == "resolved":
        fixed = _needed_version(version, here)
        return Standing(State.FIXABLE, fixed) if fixed else None
    if here.status == "undetermined":
        return Standing(State.UNDETERMINED)
    if here.nodsa_reason == "ignored":
        return Standing(State.IGNORED)
    return Standing(State.OPEN if here.nodsa_reason is None else State.DEFERRED)


def _needed_version(version: str, here: TrackedRelease) -> str:
    """The lowest version of the release that mends a fault; empty where `version` has it mended."""
    if here.fixed_version == NOT_AFFECTED_VERSION or compare_versions(version, here.fixed_version) >= 0:
        return ""
    offered = sorted(set(here.repositories.values()), key=version_key)
    if offered and compare_versions(version, offered[-1]) >= 0:
        return ""
    return next((one for one in offered if compare_versions(one, here.fixed_version) >= 0), here.fixed_version)
