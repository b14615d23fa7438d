"""Moments as commands show them: always in UTC, and never an error, whatever number a repository says."""

from __future__ import annotations

from datetime import UTC, datetime

_NO_DATE = "-"


def moment_text(seconds: int) -> str:
    """`seconds` since 1970 for people, to the second; `-` for what no calendar has."""
    moment = _moment(seconds)
    return _NO_DATE if moment is None else f"{_day(moment)} {moment:%H:%M:%S}"


def moment_document(seconds: int) -> str | None:
    """`seconds` since 1970 in ISO 8601; None for what no calendar has."""
    moment = _moment(seconds)
    return None if moment is None else f"{_day(moment)}T{moment:%H:%M:%SZ}"


def _moment(seconds: int) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _day(moment: datetime) -> str:
    return f"{moment.year:04}-{moment:%m-%d}"  # %Y does not pad years before 1000
