"""Strict readers for the small texts of the format: numbers, switches and dates."""

from __future__ import annotations

from datetime import UTC, datetime

from outcrop.errors import FormatError

MAXIMUM_UINT64 = 2**64 - 1


def unsigned(text: str, *, what: str, field: str, maximum: int = MAXIMUM_UINT64) -> int:
    """The decimal number that `text` spells, from 0 to `maximum`; FormatError otherwise."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MAXIMUM_UINT64))) or int(text) > maximum:
        raise FormatError(what=what, field=field, problem=f"is not a number from 0 to {maximum}: {text[:80]!r}")
    return int(text)


def yes_or_no(text: str, *, what: str, field: str) -> bool:
    """The switch that `text` spells: `yes` or `no`."""
    if text not in ("yes", "no"):
        raise FormatError(what=what, field=field, problem=f"is neither yes nor no: {text[:80]!r}")
    return text == "yes"


def timestamp(text: str, *, what: str, field: str) -> datetime:
    """The UTC date that 14 digits `YYYYMMDDhhmmss` spell."""
    if len(text) == 14 and text.isascii() and text.isdigit():
        try:
            return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        except ValueError:
            pass
    raise FormatError(what=what, field=field, problem=f"is not a date of 14 digits: {text[:80]!r}")


def timestamp_text(moment: datetime) -> str:
    """`moment` as 14 digits, in UTC."""
    return moment.astimezone(UTC).strftime("%Y%m%d%H%M%S")
