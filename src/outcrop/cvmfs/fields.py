"""Strict readers for the small texts of the format: numbers, switches and dates."""

from __future__ import annotations

from datetime import UTC, datetime

from outcrop.cvmfs.names import RepositoryName, repository_name
from outcrop.errors import FormatError, InvalidValue

MAXIMUM_UINT64 = 2**64 - 1
MAXIMUM_UNIX_TIME = 253402300799
"""The last second of the year 9999: later ones are no dates to Python."""


def unsigned(text: str, *, what: str, field: str, maximum: int = MAXIMUM_UINT64) -> int:
    """The decimal number that `text` spells, from 0 to `maximum`; FormatError otherwise."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MAXIMUM_UINT64))) or int(text) > maximum:
        raise FormatError(what=what, field=field, problem=f"is not a number from 0 to {maximum}: {text[:80]!r}")
    return int(text)


def repository(text: str, *, what: str, field: str) -> RepositoryName:
    """The repository's name that `text` spells; FormatError otherwise."""
    try:
        return repository_name(text)
    except InvalidValue as error:
        raise FormatError(what=what, field=field, problem=f"is not of the form name.domain: {text[:80]!r}") from error


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
    utc = moment.astimezone(UTC)
    return f"{utc.year:04}{utc:%m%d%H%M%S}"  # %Y does not pad years before 1000
