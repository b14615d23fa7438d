"""Notices that something will be taken out of a repository: when, why, and what to use instead.

They lie in the tree, at `/.outcrop/notices.json`, so they are signed, replicated and mounted like everything else, and
any client can show them. Other programs pass the file over. It is a JSON object in UTF-8:

    {
      "version": 1,
      "notices": [
        {
          "path": "/versions/2026.06/software/gcc",
          "on": "2027-06-01",
          "successor": "/versions/2027.06/software/gcc",
          "message": "GCC 13 gets no fixes any more.",
          "since": "2026-11-21T12:00:00Z",
          "by": "ada",
          "done": "2027-06-02T08:15:00Z"
        }
      ]
    }

`path`, `on` and `since` are there always. `successor` (a path), `message` and `by` are left out where they are not
known, `done` until the path is gone. There is one notice a path; they are sorted by path. `on` is a day, from 00:00
UTC on; the times are in UTC. Whoever adds a field counts `version` up: a publisher that rewrites the file must not lose
what it does not know.

Where a directory was, a directory with one file `RETIRED` remains; where anything else was, a text file. Both say what
the notice said (`stub_text`).
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import Enum
from typing import Any

from outcrop.cvmfs.names import RepositoryName
from outcrop.cvmfs.paths import ROOT, RepositoryPath, ancestors, is_below, is_canonical, join, shown
from outcrop.errors import FormatError, InvalidValue

OUTCROP_DIRECTORY = RepositoryPath(b"/.outcrop")
"""What Outcrop adds to a tree for its own clients lies here; nobody else publishes into it."""
NOTICES_PATH = join(OUTCROP_DIRECTORY, b"notices.json")
STUB_NAME = b"RETIRED"
VERSION = 1
MAXIMUM_NOTICES_BYTES = 16 * 1024 * 1024
"""Some 50,000 notices: a larger file would cost every client more than it tells."""

_MOMENT_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
_REQUIRED = ("path", "on", "since")


class NoticeState(Enum):
    """How far a retirement is."""

    PENDING = "pending"
    DUE = "due"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Notice:
    """`path` is taken away on the day `on`; use `successor` instead. `by` gave this notice at `since`.

    `done` is when the path was taken away. InvalidValue for what a notice cannot say.
    """

    path: RepositoryPath
    on: date
    since: datetime
    successor: RepositoryPath | None = None
    message: str = ""
    by: str = ""
    done: datetime | None = None

    def __post_init__(self) -> None:
        _require_nameable(self.path)
        if self.successor is not None:
            _require_nameable(self.successor)
        for text in (self.message, self.by):
            _require_unicode(text)

    def state(self, now: datetime) -> NoticeState:
        """How far the retirement is at `now`."""
        if self.done is not None:
            return NoticeState.DONE
        return NoticeState.DUE if now.astimezone(UTC).date() >= self.on else NoticeState.PENDING


class Notices:
    """The notices of one revision, at most one for a path, by path. Never changes; `with_notice` makes another."""

    def __init__(self, notices: Iterable[Notice] = ()) -> None:
        self._by_path = {notice.path: notice for notice in sorted(notices, key=lambda notice: notice.path)}
        self._paths = list(self._by_path)

    def __iter__(self) -> Iterator[Notice]:
        return iter(self._by_path.values())

    def __len__(self) -> int:
        return len(self._by_path)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Notices) and list(self) == list(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"Notices({list(self)!r})"

    def at(self, path: RepositoryPath) -> Notice | None:
        """The notice for `path` itself."""
        return self._by_path.get(path)

    def above(self, path: RepositoryPath) -> list[Notice]:
        """The notices for `path` and for directories that lead to it, the deepest last."""
        return [self._by_path[one] for one in (*ancestors(path), path) if one in self._by_path]

    def below(self, path: RepositoryPath) -> list[Notice]:
        """The notices for `path` and for what lies below it."""
        # In order of bytes, what begins with `path` and a slash ends where the character behind the slash begins.
        first, end = bisect_left(self._paths, path + b"/"), bisect_left(self._paths, path + b"0")
        return [self._by_path[one] for one in ([path] if path in self._by_path else []) + self._paths[first:end]]

    def in_state(self, state: NoticeState, now: datetime) -> list[Notice]:
        """The notices that are as far as `state` at `now`."""
        return [notice for notice in self if notice.state(now) is state]

    def with_notice(self, notice: Notice) -> Notices:
        """These, with `notice` in the place of one for the same path."""
        return Notices([*(one for one in self if one.path != notice.path), notice])

    def without(self, path: RepositoryPath) -> Notices:
        """These, without the one for `path`."""
        return Notices(one for one in self if one.path != path)

    def encode(self) -> bytes:
        """The file: the same bytes for the same notices."""
        document = {"version": VERSION, "notices": [_document(notice) for notice in self]}
        return json.dumps(document, indent=2, ensure_ascii=False).encode("utf-8") + b"\n"

    @classmethod
    def parse(cls, data: bytes, what: str) -> Notices:
        """The notices in the file `what`; FormatError names the field that is malformed."""
        if len(data) > MAXIMUM_NOTICES_BYTES:
            raise FormatError(what=what, field="the file", problem=f"has more than {MAXIMUM_NOTICES_BYTES} bytes")
        try:
            document = json.loads(data.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise FormatError(what=what, field="the JSON text", problem=f"cannot be read ({error})") from error
        if not isinstance(document, dict):
            raise FormatError(what=what, field="the document", problem="is not an object")
        if document.get("version") != VERSION or isinstance(document["version"], bool):
            raise FormatError(
                what=what,
                field="version",
                problem=f"is {document.get('version')!r:.80}, not {VERSION}",
                hint="a newer Outcrop may be able to read it",
            )
        if document.keys() != {"version", "notices"} or not isinstance(document["notices"], list):
            raise FormatError(what=what, field="notices", problem="is not the one list beside the version")
        notices = [_notice(one, what, f"notice {number}") for number, one in enumerate(document["notices"], start=1)]
        found = cls(notices)
        if len(found) != len(notices):
            raise FormatError(what=what, field="notices", problem="names a path twice")
        return found


NO_NOTICES = Notices()


def stub_text(notice: Notice, repository: RepositoryName, retired: datetime) -> bytes:
    """What stands where `notice.path` was until `retired`: what happened, what to use instead, and why."""
    lines = [f"{_mounted(repository, notice.path)} was retired on {retired.astimezone(UTC):%Y-%m-%d}."]
    if notice.successor is not None:
        lines.append(f"Use {_mounted(repository, notice.successor)} instead.")
    if notice.message:
        lines += ["", notice.message]
    lines += ["", f"This was announced on {notice.since.astimezone(UTC):%Y-%m-%d}.", ""]
    return "\n".join(lines).encode("utf-8")


def _mounted(repository: RepositoryName, path: RepositoryPath) -> str:
    return f"/cvmfs/{repository}{shown(path)}"


def _require_nameable(path: RepositoryPath) -> None:
    if path == ROOT or is_below(path, OUTCROP_DIRECTORY) or not is_canonical(path):
        raise InvalidValue(what=f"the path {shown(path)}", problem="cannot be retired or succeed what is retired")
    try:
        path.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidValue(
            what=f"the path {shown(path)}",
            problem="is not UTF-8, as the text of a notice must be",
            hint="name a directory above it",
        ) from error


def _require_unicode(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidValue(what=f"the text {text!r:.80} of a notice", problem="is not Unicode") from error


def _document(notice: Notice) -> dict[str, str]:
    document = {"path": shown(notice.path), "on": notice.on.isoformat()}
    if notice.successor is not None:
        document["successor"] = shown(notice.successor)
    if notice.message:
        document["message"] = notice.message
    document["since"] = moment_text(notice.since)
    if notice.by:
        document["by"] = notice.by
    if notice.done is not None:
        document["done"] = moment_text(notice.done)
    return document


def _notice(value: object, what: str, where: str) -> Notice:
    if not isinstance(value, dict):
        raise FormatError(what=what, field=where, problem="is not an object")
    for key in _REQUIRED:
        if key not in value:
            raise FormatError(what=what, field=f"{key} of {where}", problem="is missing")
    fields: dict[str, Any] = {}
    for key, text in value.items():
        field = f"{key!s:.80} of {where}"
        if key not in _READERS:
            raise FormatError(what=what, field=field, problem="is not known")
        if not isinstance(text, str) or not text:
            raise FormatError(what=what, field=field, problem="is not a text, or an empty one")
        try:
            fields[key] = _READERS[key](text)
        except (InvalidValue, ValueError) as error:
            raise FormatError(what=what, field=field, problem=f"is not valid: {error}") from error
    return Notice(**fields)


def _path(text: str) -> RepositoryPath:
    path = RepositoryPath(_text(text).encode("utf-8"))
    _require_nameable(path)
    return path


def _text(text: str) -> str:
    _require_unicode(text)
    return text


def _day(text: str) -> date:
    day = date.fromisoformat(text)
    if day.isoformat() != text:
        raise ValueError(f"{text[:80]!r} is not of the form YYYY-MM-DD")
    return day


def _moment(text: str) -> datetime:
    moment = datetime.strptime(text, _MOMENT_FORMAT).replace(tzinfo=UTC)
    if moment_text(moment) != text:
        raise ValueError(f"{text[:80]!r} is not of the form YYYY-MM-DDThh:mm:ssZ")
    return moment


def moment_text(moment: datetime) -> str:
    """`moment` in UTC, to the second, as notices spell it."""
    utc = moment.astimezone(UTC)
    return f"{utc.year:04}{utc:-%m-%dT%H:%M:%SZ}"  # %Y does not pad years before 1000


_READERS: Mapping[str, Callable[[str], object]] = {
    "path": _path,
    "on": _day,
    "since": _moment,
    "successor": _path,
    "message": _text,
    "by": _text,
    "done": _moment,
}
"""How each field of a notice is read."""
