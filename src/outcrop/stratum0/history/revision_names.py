"""What people call a revision, and which one they mean.

| written | means |
|---|---|
| `41` | the revision of that number |
| `stable` | the one that the tag names |
| `trunk`, `trunk-previous` | the current one, the one before |
| 40 hexadecimal digits (and `-rmd160`, `-shake128`) | the one with this root catalog |
| `@2026-06-01`, `@2026-06-01T12:00` | the latest published on that day or before, at that moment or before (UTC) |
| `stable~2`, `~1` | so many revisions before another, or before the current one |
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice

from outcrop.cvmfs.digest import Digest
from outcrop.cvmfs.history import TRUNK, TRUNK_PREVIOUS, Tag
from outcrop.cvmfs.manifest import Manifest
from outcrop.errors import FormatError, InvalidValue, NotFound
from outcrop.stratum0.history.log import RevisionRecord, record_of_root, revisions
from outcrop.stratum0.repository import OwnedRepository

_NUMBER = re.compile(r"[0-9]{1,20}", re.ASCII)
_BACK = re.compile(r"(?P<base>.*)~(?P<steps>[0-9]{1,9})", re.ASCII | re.DOTALL)
_DATE_SIGN = "@"
_DAY = re.compile(r"\d{4}-\d\d-\d\d|\d{8}", re.ASCII)

_TAGS_TOLD = 10
"""How many tags an error names: what fits on a line or two."""

Matches = Callable[[RevisionRecord], bool]


def named_revision(repository: OwnedRepository, manifest: Manifest, text: str) -> RevisionRecord:
    """The revision that `text` names; NotFound, with those that there are, where it names none."""
    match = _BACK.fullmatch(text)
    base, steps = (match["base"], int(match["steps"])) if match else (text, 0)
    record = _record(repository, manifest, base or TRUNK, steps)
    if record is None:
        raise NotFound(what=f"the revision {text!r} of {repository.name}", hint=_known(repository, manifest))
    return record


def is_ambiguous_name(text: str) -> bool:
    """Whether `text` as the name of a tag would also name a revision in another way."""
    return bool(_NUMBER.fullmatch(text)) or text.startswith(_DATE_SIGN) or _digest(text) is not None


def moment(text: str, *, ends_day: bool) -> int | None:
    """The date or time that `text` spells in ISO 8601, in seconds since 1970; None if it spells none.

    Without a time zone it is UTC. A day begins with its first second and, with `ends_day`, stands for its last.
    """
    try:
        spelled = datetime.fromisoformat(text)
    except ValueError:
        return None
    if ends_day and _DAY.fullmatch(text):
        spelled = spelled.replace(hour=23, minute=59, second=59)
    zoned = spelled if spelled.tzinfo else spelled.replace(tzinfo=UTC)
    return (zoned - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)


def _record(repository: OwnedRepository, manifest: Manifest, base: str, steps: int) -> RevisionRecord | None:
    if base == TRUNK_PREVIOUS:
        return _at(revisions(repository, manifest), lambda record: record.revision == manifest.revision, steps + 1)
    found = _at(revisions(repository, manifest), _matcher(repository, manifest, base), steps)
    digest = _digest(base)
    if found is None and digest is not None and steps == 0:
        return record_of_root(repository, digest)
    return found


def _at(records: Iterator[RevisionRecord], matches: Matches, steps: int) -> RevisionRecord | None:
    """The record that is so many `steps` behind the first that matches."""
    for record in records:
        if matches(record):
            return record if steps == 0 else next(islice(records, steps - 1, None), None)
    return None


def _matcher(repository: OwnedRepository, manifest: Manifest, base: str) -> Matches:
    if _NUMBER.fullmatch(base):
        return lambda record: record.revision == int(base)
    if base == TRUNK:
        return lambda record: record.revision == manifest.revision
    if base.startswith(_DATE_SIGN):
        latest = moment(base.removeprefix(_DATE_SIGN), ends_day=True)
        if latest is None:
            raise InvalidValue(
                what=f"the date {base.removeprefix(_DATE_SIGN)!r}",
                problem="cannot be read",
                hint="write it as in `@2026-06-01` or `@2026-06-01T12:00`",
            )
        return lambda record: record.published_at <= latest
    tag = _tag(repository.tags(manifest), base)
    if tag is not None:
        return lambda record: record.revision == tag.revision
    digest = _digest(base)
    return lambda record: record.root_catalog == digest


def _tag(tags: Iterable[Tag], name: str) -> Tag | None:
    return next((tag for tag in tags if tag.name == name), None)


def _digest(text: str) -> Digest | None:
    try:
        return Digest.parse(text)
    except FormatError:
        return None


def _known(repository: OwnedRepository, manifest: Manifest) -> str:
    """A hint with the revisions that there are."""
    numbers = [record.revision for record in revisions(repository, manifest)]
    tags = [tag.name for tag in repository.tags(manifest)]
    shown = ", ".join(tags[:_TAGS_TOLD]) + (f" and {len(tags) - _TAGS_TOLD} more" if len(tags) > _TAGS_TOLD else "")
    oldest, newest = numbers[-1], numbers[0]
    span = f"there is revision {newest}" if oldest == newest else f"there are the revisions {oldest} to {newest}"
    named = f", and the tags {shown}" if tags else ""
    return f"{span}{named}; `outcrop repo log {repository.name}` lists them"
