"""A suite's `InRelease`: what it is, until when it is good, and the digests of its indices.

Source: the description of Debian's repositories, "Release files".
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from outcrop.compat.debian.control import paragraph
from outcrop.compat.debian.packages import SHA256
from outcrop.errors import FormatError, TrustError


@dataclass(frozen=True, slots=True)
class ReleaseFile:
    """The signed facts of a suite. `digests`: each index's SHA-256 and size in bytes, by its path below the suite."""

    suite: str
    codename: str
    version: str
    date: datetime
    valid_until: datetime | None
    architectures: frozenset[str]
    digests: dict[str, tuple[str, int]]

    def require_current(self, now: datetime, what: str) -> None:
        """Raises TrustError where the file's time is over, or has not come."""
        if self.valid_until is not None and now > self.valid_until:
            raise TrustError(
                what=what,
                problem=f"it was good until {self.valid_until:%Y-%m-%d %H:%M} UTC",
                hint="choose a mirror that is up to date; check this machine's clock",
            )
        if self.date > now:
            raise TrustError(
                what=what,
                problem=f"it is of {self.date:%Y-%m-%d %H:%M} UTC, which is yet to come",
                hint="check this machine's clock",
            )


def parse_release(text: str, what: str) -> ReleaseFile:
    """The facts in `text`, which is the signed part of the file `what`; FormatError."""
    fields = paragraph(text)
    date = _date(fields, "Date", what)
    if date is None:
        raise FormatError(what=what, field="Date", problem="is missing")
    if "SHA256" not in fields:
        raise FormatError(what=what, field="SHA256", problem="is missing")
    return ReleaseFile(
        suite=fields.get("Suite", ""),
        codename=fields.get("Codename", ""),
        version=fields.get("Version", ""),
        date=date,
        valid_until=_date(fields, "Valid-Until", what),
        architectures=frozenset(fields.get("Architectures", "").split()),
        digests=dict(_digests(fields["SHA256"], what)),
    )


def _date(fields: dict[str, str], name: str, what: str) -> datetime | None:
    text = fields.get(name)
    if not text:
        return None
    try:
        return parsedate_to_datetime(text.replace("UTC", "+0000")).astimezone(UTC)
    except (ValueError, TypeError) as error:
        raise FormatError(what=what, field=name, problem=f"is no date: {text!r}") from error


def _digests(text: str, what: str) -> list[tuple[str, tuple[str, int]]]:
    found = []
    for line in text.splitlines():
        words = line.split()
        if not words:
            continue
        if len(words) != 3 or not SHA256.fullmatch(words[0].lower()) or not words[1].isdecimal():
            raise FormatError(what=what, field="SHA256", problem=f"has the line {line.strip()!r}")
        found.append((words[2], (words[0].lower(), int(words[1]))))
    return found
