"""What a mount reports of itself, as `outcrop mount status` asks for it.

The report is the value of an attribute of the root directory, `user.outcrop.status`: a JSON object with the fields of
`Report`. So a mount can be asked by whoever may look into it, and nothing is written down anywhere.
"""

from __future__ import annotations

import os

import msgspec

from outcrop import __version__
from outcrop.client.mount.activity import Activity
from outcrop.client.mount.tree import MountedTree
from outcrop.client.network.proxies import DIRECT
from outcrop.errors import FormatError, OutcropError

REPORT_ATTRIBUTE = "user.outcrop.status"
_MAXIMUM_NOTICES = 50
"""An attribute has 64 KiB; the file of notices has the others."""


class CheckReport(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """The last look for a new revision: seconds since 1970, how it ended, what went wrong."""

    at: float
    outcome: str
    problem: str


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=False):
    """What is mounted, and how it goes. Moments in seconds since 1970, `ttl` in seconds, `log` empty if there is none.

    `shown_since` is when this mount began to show this revision; `follows` says whether it goes on to the next one. The
    first of `servers` is asked first, by the `proxy` (`DIRECT` for none)."""

    repository: str
    revision: int
    root_hash: str
    tag: str
    follows: bool
    ttl: int
    mounted_at: float
    shown_since: float
    check: CheckReport | None
    servers: list[str]
    cache: str
    log: str
    pid: int
    requests: int
    errors: int
    last_error: str
    last_error_at: float
    notices: list[str]
    version: str
    proxy: str = DIRECT


def report_of(tree: MountedTree, activity: Activity) -> bytes:
    """The report of a mount of `tree`. Takes as long as reading the notices does."""
    about = tree.about
    check = activity.last_check
    return msgspec.json.encode(
        Report(
            repository=about.fqrn,
            revision=about.revision,
            root_hash=about.root_hash,
            tag=about.tag,
            follows=about.follows,
            ttl=about.ttl,
            mounted_at=activity.started,
            shown_since=activity.shown_since,
            check=None if check is None else CheckReport(check.at, check.outcome.value, check.problem),
            servers=list(about.network.servers),
            cache=about.cache,
            log=str(activity.log or ""),
            pid=os.getpid(),
            requests=activity.requests,
            errors=activity.errors,
            last_error=activity.last_error,
            last_error_at=activity.last_error_at,
            notices=_notices(tree),
            version=__version__,
            proxy=about.network.proxy,
        )
    )


def parse_report(data: bytes, what: str) -> Report:
    """The report in `data`; FormatError if it is none."""
    try:
        return msgspec.json.decode(data, type=Report)
    except msgspec.DecodeError as error:
        raise FormatError(what=what, field="its report", problem=f"cannot be read ({error})") from error


def _notices(tree: MountedTree) -> list[str]:
    try:
        found = list(tree.notices())
    except OutcropError as error:
        return [f"the notices cannot be read: {error}"]
    more = len(found) - _MAXIMUM_NOTICES
    return found[:_MAXIMUM_NOTICES] + ([f"and {more} more"] if more > 0 else [])
