"""The revision that was proved current a moment ago, so that a command which is run again and again asks no server.

The rules:

- What is kept was proved by this user's own process and lies in the state directory, beside what has been seen.
- It holds for as long as a mount would go on without a look: the repository's time to live, though never longer than
  `LONGEST_SECONDS`, nor beyond the end of the whitelist or the age that the repository promises for its records.
- It answers the same question only: the same words and the same settings in the environment.
- It is void as soon as any file that had a say has changed: configuration, keys, blacklists, and what this machine has
  seen of the repository, since another reader may have seen a newer revision.

The file is a cache. One that is damaged, or cannot be written, costs a question to a server.

    {"format": 1, "root_catalog": "90af6b…", "at": <seconds since 1970>, "until": …, "files": {"<path>": "<stamp>"}}
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from outcrop.errors import StorageError
from outcrop.whole_file import write_whole_file

if TYPE_CHECKING:
    from outcrop.client.trust import TrustedManifest

LONGEST_SECONDS = 3600.0
"""A repository may state a time to live of years; nobody expects that of a command."""

_FORMAT = 1
_NAME_CHARACTERS = 16
_MAXIMUM_FILES = 2000
"""A directory with more files than this is no configuration, and is not looked through at every start."""
_TOO_MANY = "?"


@dataclass(frozen=True, slots=True)
class RecentProof:
    """What is kept in the file `path`."""

    path: Path
    clock: Callable[[], float] = time.time

    @classmethod
    def of(cls, state_directory: Path, repository: str, question: Sequence[str]) -> RecentProof:
        """What is kept of `repository` for `question`: the words and settings that say how it is read."""
        digest = hashlib.sha256("\0".join(question).encode("utf-8", "surrogateescape")).hexdigest()
        return cls(state_directory / "proved" / f"{repository}-{digest[:_NAME_CHARACTERS]}.json")

    def root_catalog(self) -> str | None:
        """The text of the root catalog's digest that was proved; None if that does not hold any more."""
        try:
            document = json.loads(self.path.read_bytes())
            is_ours = document["format"] == _FORMAT
            at, until = float(document["at"]), float(document["until"])
            files, root_catalog = dict(document["files"]), str(document["root_catalog"])
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return None
        holds = is_ours and at <= self.clock() < until
        return root_catalog if holds and all(stamp_of(path) == stamp for path, stamp in files.items()) else None

    def keep(self, root_catalog: str, until: float, files: Iterable[Path]) -> None:
        """Keeps that `root_catalog` was proved now, until `until` (seconds since 1970) and as long as `files` stay what
        they are. Where that is not possible, nothing happens."""
        stamps = {os.fspath(path): stamp_of(path) for path in files}
        if _TOO_MANY in stamps.values():
            return
        document = {
            "format": _FORMAT, "root_catalog": root_catalog, "at": self.clock(), "until": until, "files": stamps,
        }  # fmt: skip
        # Where it cannot be written, the next run asks again.
        with suppress(OSError, StorageError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_whole_file(self.path, json.dumps(document).encode())


def holds_until(trusted: TrustedManifest, now: float) -> float:
    """Until when (seconds since 1970) `trusted`, proved at `now`, may be taken for current without a look."""
    ends = [now + min(float(trusted.manifest.ttl), LONGEST_SECONDS), trusted.whitelist.expires.timestamp()]
    freshness = trusted.seen.freshness
    if freshness is not None and freshness.announcement is not None and freshness.issued is not None:
        ends.append(freshness.issued + freshness.announcement.maximum_age)
    return min(ends)


def stamp_of(path: str | Path) -> str:
    """What changes when the file at `path` does, or any file below the directory at `path`."""
    try:
        status = os.stat(path)
    except OSError as error:
        return f"-{error.errno}"
    own = f"{status.st_ino}-{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}"
    if not os.path.isdir(path):
        return own
    below: list[str] = []
    for directory, directories, names in os.walk(path):
        directories.sort()
        below += [f"{directory}/{name}" for name in sorted(names)]
        if len(below) > _MAXIMUM_FILES:
            return _TOO_MANY
    stamps = (f"{name}\0{stamp_of(name)}" for name in below)
    return hashlib.sha256("\n".join((own, *stamps)).encode("utf-8", "surrogateescape")).hexdigest()
